"""Charts of what was measured, as PNG or, inside a page, as SVG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from posetrt.bench.benchmark_report import Report, Result, machine_name
from posetrt.runtime.files import written_whole

STAGES = ("decode", "prepare", "network", "parse")
_COLOURS = {"network alone": "#4477aa", "end to end": "#66ccee", "decode": "#bbbbbb", "prepare": "#ccbb44", "network": "#4477aa"}
_COLOURS |= {"parse": "#ee6677", "AP": "#228833", "power": "#aa3377", "energy": "#ee8866"}


def bench_chart(report: Report, path: Path) -> None:
    """Draw a benchmark as PNG: fps, latency by stage, and where they were measured accuracy and power; a bar a precision and power mode.

    Raises:
        PosetrtError: the file cannot be written.
    """
    figure = _figure(report)
    with written_whole(path.with_suffix(".png")) as temporary:
        figure.savefig(temporary, dpi=120)


def bench_svg(report: Report) -> str:
    """The same as SVG text to stand inside an HTML page."""
    import matplotlib

    stream = io.StringIO()
    # Letters stay letters: the page can be searched and read aloud.
    with matplotlib.rc_context({"svg.fonttype": "none", "font.family": "sans-serif"}):
        _figure(report, titled=False).savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()[stream.getvalue().index("<svg") :]


def _figure(report: Report, *, titled: bool = True) -> Any:
    from matplotlib.figure import Figure

    rows = report.results
    panels = [_fps, _latency]
    if any(row.ap is not None for row in rows):
        panels.append(_accuracy)
    if any(row.watts is not None for row in rows):
        panels.append(_power)
    height = 2.1 + 0.55 * len(rows)
    figure = Figure(figsize=(11, 2 * height if len(panels) > 2 else height), layout="constrained")
    grid = figure.subplots(2 if len(panels) > 2 else 1, 2, squeeze=False).ravel()
    if titled:
        width, height_px = report.input_wh
        figure.suptitle(f"{report.model} ({report.network}, {width}x{height_px}) on {machine_name(report)}", fontsize=10)
    for axes, panel in zip(grid, panels, strict=False):
        panel(axes, rows)
        axes.set_yticks(range(len(rows)), [row.label for row in rows])
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
        # Room for the numbers at the ends of the bars.
        axes.margins(x=0.16)
        axes.set_xlim(left=0)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    return figure


def _bars(axes: Any, places: Sequence[float], values: Sequence[float | None], height: float, name: str, form: str) -> None:
    known = [(place, value) for place, value in zip(places, values, strict=True) if value is not None]
    bars = axes.barh([place for place, _ in known], [value for _, value in known], height, label=name, color=_COLOURS[name])
    axes.bar_label(bars, fmt=form, fontsize=8, padding=3)


def _fps(axes: Any, rows: Sequence[Result]) -> None:
    for name, field, shift in (("network alone", "network_fps", -0.2), ("end to end", "end_to_end_fps", 0.2)):
        places = [place + shift for place in range(len(rows))]
        values = [float(getattr(row, field)) for row in rows]
        axes.barh(places, values, 0.38, label=name, color=_COLOURS[name])
        for place, row, value in zip(places, rows, values, strict=True):
            rounds = row.rounds.get(field, ())
            axes.plot(rounds, [place] * len(rounds), ".", color="#222222", markersize=3)
            # Right of the bar and of its dots.
            axes.annotate(f"{value:.1f}", (max(value, *rounds, 0.0), place), (5, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_title("frames a second (dots: the rounds)", fontsize=10)
    _legend_below(axes, 2)


def _legend_below(axes: Any, columns: int) -> None:
    """Where no bar can reach."""
    axes.legend(fontsize=8, ncols=columns, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14))


def _latency(axes: Any, rows: Sequence[Result]) -> None:
    left = [0.0] * len(rows)
    for name in STAGES:
        values = [float(getattr(row, f"{name}_ms")) for row in rows]
        axes.barh(range(len(rows)), values, 0.6, left=left, label=name, color=_COLOURS[name])
        left = [low + value for low, value in zip(left, values, strict=True)]
    axes.plot([row.latency_p90_ms for row in rows], range(len(rows)), "d", color="#777777", markersize=5, label="p90 of a frame")
    axes.plot([row.latency_p99_ms for row in rows], range(len(rows)), "D", color="#222222", markersize=5, label="p99")
    axes.set_title("latency of one frame, ms (bars: medians of its stages)", fontsize=10)
    _legend_below(axes, 6)


def _accuracy(axes: Any, rows: Sequence[Result]) -> None:
    _bars(axes, range(len(rows)), [row.ap for row in rows], 0.6, "AP", "%.3f")
    for place, row in enumerate(rows):
        if row.ap is not None and row.delta_ap is not None and row.delta_ap_low is not None and row.delta_ap_high is not None:
            reference = row.ap - row.delta_ap
            axes.plot([reference + row.delta_ap_low, reference + row.delta_ap_high], [place + 0.22] * 2, "k-", linewidth=1)
    axes.set_title("AP (OKS .50:.95); line: 95 % interval of the loss", fontsize=10)


def _power(axes: Any, rows: Sequence[Result]) -> None:
    _bars(axes, [place - 0.2 for place in range(len(rows))], [row.watts for row in rows], 0.38, "power", "%.2f W")
    axes.set_title("power, W, and energy of a frame, mJ", fontsize=10)
    twin = axes.twiny()
    energies = [None if row.joules_per_frame is None else row.joules_per_frame * 1000 for row in rows]
    _bars(twin, [place + 0.2 for place in range(len(rows))], energies, 0.38, "energy", "%.1f mJ")
    twin.margins(x=0.2)
    twin.set_xlim(left=0)
    twin.set_xticks([])
    twin.spines[["top", "right"]].set_visible(False)
