"""The benchmark as a folder: index.html with its charts inside, report.json and bench.png. The page loads nothing."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from posetrt.bench.benchmark_report import Report, columns, machine_name
from posetrt.bench.charts import bench_chart, bench_svg
from posetrt.calib.accuracy.choice import Cost, choose
from posetrt.calib.accuracy.report import PAGE_STYLE
from posetrt.runtime.files import write_json, write_text

_STYLE = (
    PAGE_STYLE + "table{font-size:13px}td,th{padding:.25em .45em}th small{font-weight:400;color:var(--quiet)}"
    "td:first-child,th:first-child{white-space:nowrap}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.1em 1em}dt,.note{color:var(--quiet)}dd{margin:0;overflow-wrap:anywhere}"
    "svg{max-width:100%;height:auto;background:#fff;border-radius:.4em}@media(max-width:40em){svg{max-width:none;width:40em}}"
)


def write_bench_report(report: Report, folder: Path) -> Path:
    """Write the report.

    Returns:
        The page.

    Raises:
        PosetrtError: the folder cannot be written.
    """
    write_json(folder / "report.json", report.to_dict())
    bench_chart(report, folder / "bench.png")
    page = folder / "index.html"
    write_text(page, _page(report))
    return page


def _page(report: Report) -> str:
    width, height = report.input_wh
    title = f"{report.model} on {machine_name(report)}"
    told = columns(report)
    head = "".join(f"<th>{html.escape(name)}<br><small>{html.escape(unit)}</small></th>" for name, unit, _ in told)
    body = "".join(
        f"<tr><td>{html.escape(row.label)}</td>" + "".join(f"<td>{html.escape(cells[place])}</td>" for _, _, cells in told) + "</tr>"
        for place, row in enumerate(report.results)
    )
    notes = "".join(f"<p class='note'>{html.escape(note)}</p>" for note in (*_remarks(report), *report.notes))
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style><h1>{html.escape(title)}</h1>"
        f"<p class='choice'>{html.escape(_choice(report))}</p><p>{html.escape(report.network)} at {width}x{height}; {report.frames} "
        f"frames of {html.escape(report.source)}, {report.rounds} interleaved rounds.</p><div class='wide'>{bench_svg(report)}</div>"
        f"<div class='wide'><table><tr><th>precision</th>{head}</tr>{body}</table></div>{notes}"
        f"<h2>The machine</h2><dl>{_machine(report)}</dl></html>\n"
    )


def _choice(report: Report) -> str:
    """What to choose: the faster ones by their accuracy, where that was measured."""
    first, *others = report.results
    speeds = f"End to end, fps: {'; '.join(f'{row.label} {row.end_to_end_fps:.1f}' for row in report.results)}."
    if not others:
        return f"{first.label} alone was measured, so there is nothing to choose from: build another precision. {speeds}"
    faster = sorted((row for row in others if row.end_to_end_fps > first.end_to_end_fps), key=lambda row: -row.end_to_end_fps)
    if not faster:
        return f"Choose {first.label}: nothing that was measured is faster. {speeds}"
    if report.photographs is not None and any(row.delta_ap_low is not None for row in faster):
        costs = [Cost(row.label, row.precision, row.delta_ap, row.delta_ap_low, row.delta_ap_high) for row in (first, *faster)]
        return f"{choose(costs, 'AP', report.photographs)} {speeds}"
    return f"Choose {faster[0].label} for speed, once posetrt eval, or --coco here, shows that its accuracy holds. {speeds}"


def _remarks(report: Report) -> list[str]:
    """What the columns mean, as far as they are there."""
    rows = report.results
    told = [
        "network: the network alone. end-to-end: decoding, letterbox, network and parser, overlapped as posetrt run works; age: a frame's, from "
        "leaving its source to its people, in that mode. p50, p90 and p99: one frame at a time."
    ]
    if any(row.watts is not None for row in rows):
        cost = f" Sampling took {report.telemetry_cost:.2%} of one core." if report.telemetry_cost is not None else ""
        told.append(f"Power: {report.power_source}; energy is integrated over the overlapped rounds.{cost}")
    else:
        told.append("Power: not measured; this machine has no sensor that could be read.")
    if report.photographs is not None:
        told.append(
            f"AP on {report.photographs} photographs. "
            + "; ".join(
                f"{row.label}: ΔAP {row.delta_ap:+.3f}, 95 % interval {row.delta_ap_low:+.3f} to {row.delta_ap_high:+.3f}"
                for row in rows
                if row.delta_ap is not None and row.delta_ap_low is not None and row.delta_ap_high is not None
            )
        )
    if any(row.throttled for row in rows):
        held = ", ".join(row.label for row in rows if row.throttled)
        told.append(f"Throttled: {held}. These figures are of a device that was held back by heat, current or power.")
    return told


def _machine(report: Report) -> str:
    board: dict[str, Any] | None = report.machine.get("board")
    facts = {name: value for name, value in report.machine.items() if name != "board"}
    if board:
        clocks = board.get("clocks") or {}
        facts |= {name.replace("_", " "): value for name, value in board.items() if name != "clocks"}
        facts |= {f"clocks {name.replace('_', ' ')}": value for name, value in clocks.items()}
    rows = []
    for name, value in facts.items():
        text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else "unknown" if value is None else str(value)
        rows.append(f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>")
    return "".join(rows)
