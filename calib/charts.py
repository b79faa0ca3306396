"""Charts of what was measured, as PNG."""

from __future__ import annotations

from pathlib import Path

from posetrt.runtime.benchmark import Report
from posetrt.runtime.files import written_whole


def bench_chart(report: Report, path: Path) -> None:
    """Draw a benchmark: fps of network and whole program, latency by stage, and accuracy where it was measured, a bar a precision.

    Raises:
        PosetrtError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    rows = report.results
    names = [row.precision for row in rows]
    places = range(len(rows))
    with_ap = any(row.ap is not None for row in rows)
    figure = Figure(figsize=(12 if with_ap else 8.5, 3.8), layout="constrained")
    axes = figure.subplots(1, 3 if with_ap else 2)
    width, height = report.input_wh
    figure.suptitle(f"{report.model} ({report.network}, {width}x{height}) on {report.machine['cpu']}", fontsize=10)

    fps = axes[0]
    bars = [
        fps.bar([place - 0.2 for place in places], [row.network_fps for row in rows], 0.38, label="network alone"),
        fps.bar([place + 0.2 for place in places], [row.end_to_end_fps for row in rows], 0.38, label="end to end"),
    ]
    for container in bars:
        fps.bar_label(container, fmt="%.1f", fontsize=8)
    fps.set(title="frames a second", xticks=list(places), xticklabels=names)
    fps.legend(fontsize=8)

    stages = axes[1]
    bottom = [0.0] * len(rows)
    for name in ("decode", "prepare", "network", "parse"):
        values = [float(getattr(row, f"{name}_ms")) for row in rows]
        stages.bar(places, values, 0.6, bottom=bottom, label=name)
        bottom = [low + value for low, value in zip(bottom, values, strict=True)]
    stages.plot(places, [row.latency_p99_ms for row in rows], "k_", markersize=24, label="p99 of a frame")
    stages.set(title="latency of one frame, ms", xticks=list(places), xticklabels=names)
    stages.legend(fontsize=8)

    if with_ap:
        container = axes[2].bar(places, [row.ap or 0.0 for row in rows], 0.6, color="tab:green")
        axes[2].bar_label(container, fmt="%.3f", fontsize=8)
        axes[2].set(title="AP (OKS .50:.95)", xticks=list(places), xticklabels=names)
    with written_whole(path.with_suffix(".png")) as temporary:
        figure.savefig(temporary, dpi=120)
