"""A port that says whether the run is well: a line for people and supervisors, Prometheus text for graphs."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from posetrt.runtime.pipeline.counts import RunStats
from posetrt.runtime.pipeline.port import Port

if TYPE_CHECKING:
    from aiohttp import web
    from typing_extensions import Self

SILENT_S = 10.0
"""Without a result for so long a run is not well."""


def well(stats: RunStats) -> bool:
    """Whether results come: the last is not older than 10 s, or the run is younger than that."""
    return stats.reason is None and (stats.silent_s if stats.frames else stats.wall_s) < SILENT_S


def health_line(stats: RunStats) -> str:
    """One line: ok or not, and what is known."""
    away = [f"{source.label} is {source.state}" for source in stats.sources if source.state != "on"]
    word = "ok" if well(stats) else f"stopped: {stats.reason}" if stats.reason else f"no result for {stats.silent_s:.0f} s"
    return "; ".join(
        [
            word,
            f"{stats.fps_now:.1f} fps, age p99 {stats.age_ms(99):.0f} ms, {stats.dropped} of {stats.captured} frames dropped",
            f"limited by the {stats.limiting}",
            *away,
        ]
    )


def prometheus(stats: RunStats) -> str:
    """The figures in Prometheus' text format, version 0.0.4."""
    lines: list[str] = []

    def metric(name: str, kind: str, helped: str, values: list[tuple[dict[str, str], float]]) -> None:
        lines.extend([f"# HELP posetrt_{name} {helped}", f"# TYPE posetrt_{name} {kind}"])
        for given, value in values:
            pairs = ",".join(f'{key}="{_escaped(text)}"' for key, text in given.items())
            lines.append(f"posetrt_{name}{{{pairs}}} {value:.10g}" if pairs else f"posetrt_{name} {value:.10g}")

    sources = stats.sources
    metric("up", "gauge", "1 while results come.", [({}, float(well(stats)))])
    metric("frames_captured_total", "counter", "Frames that a source gave.", [({"source": s.label}, s.captured) for s in sources])
    metric("frames_delivered_total", "counter", "Frames that reached the sinks.", [({"source": s.label}, s.delivered) for s in sources])
    reasons = [
        ({"source": s.label, "reason": why}, float(getattr(s, why))) for s in sources for why in ("late", "damaged", "failed", "stopped")
    ]
    metric("frames_dropped_total", "counter", "Frames captured and not delivered.", reasons)
    ages = [({"source": s.label, "quantile": f"{q / 100:g}"}, s.ages.percentile_s(q)) for s in sources if s.live for q in (50, 90, 99)]
    metric("age_seconds", "gauge", "Capture to output, over the whole run.", ages)
    metric("source_on", "gauge", "1 while a source gives frames.", [({"source": s.label}, float(s.state == "on")) for s in sources])
    metric("fps", "gauge", "Frames delivered a second, lately.", [({}, stats.fps_now)])
    metric("people", "gauge", "People in the last frame.", [({}, stats.people_now)])
    metric("stage_busy_seconds_total", "counter", "Time a stage worked.", [({"stage": n}, s.busy_s) for n, s in stats.stages.items()])
    restarts = [({"stage": name}, float(stage.restarts)) for name, stage in stats.stages.items()]
    metric("stage_restarts_total", "counter", "How often a stage failed and went on.", restarts)
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class StatusPort:
    """Serves `/health` (200, or 503 when not well) and `/metrics`. Use it as a context manager.

    Args:
        host, port: where; port 0 takes a free one.
        stats: of the run.
        token: asked of every request where there is one; any other address than this computer's needs one.

    Raises:
        UsageError: another address without a token.
        PosetrtError: aiohttp is missing, or the port is taken.
    """

    def __init__(self, host: str, port: int, stats: RunStats, token: str | None = None) -> None:
        self._stats = stats
        self._port = Port(
            host, port, token, {"/health": self._health, "/metrics": self._metrics, "/{other:.*}": self._other}, "posetrt-status"
        )
        self.url = f"http://{self._port.place}/health"

    async def _health(self, _: web.Request) -> web.Response:
        return _text(200 if well(self._stats) else 503, health_line(self._stats) + "\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        return _text(200, prometheus(self._stats))

    async def _other(self, _: web.Request) -> web.Response:
        return _text(404, "there are /health and /metrics\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._port.close()


def _text(status: int, text: str) -> web.Response:
    from aiohttp import web

    # With the version that Prometheus asks for.
    return web.Response(status=status, body=text.encode(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
