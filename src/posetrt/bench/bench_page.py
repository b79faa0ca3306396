"""The benchmark as a folder: index.html with its charts inside, report.json and bench.png. The page loads nothing."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from posetrt.bench.benchmark_report import Report, columns, machine_name
from posetrt.bench.charts import bench_chart, bench_svg
from posetrt.runtime.files import write_json, write_text

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0;font-size:13px}td,th{padding:.25em .45em;border-bottom:1px solid #ccc;text-align:right}"
    "th small{font-weight:400;color:#666}td:first-child,th:first-child{text-align:left;white-space:nowrap}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.1em 1em}dt{color:#666}dd{margin:0}svg{max-width:100%;height:auto}"
    ".wide{overflow-x:auto}.note{color:#666}"
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
        f"<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>{html.escape(title)}"
        f"</title><style>{_STYLE}</style><h1>{html.escape(title)}</h1><p>{html.escape(report.network)} at {width}x{height}; {report.frames} "
        f"frames of {html.escape(report.source)}, {report.rounds} interleaved rounds.</p>{bench_svg(report)}<div class='wide'><table><tr>"
        f"<th>precision</th>{head}</tr>{body}</table></div>{notes}<h2>The machine</h2><dl>{_machine(report)}</dl></html>\n"
    )


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
