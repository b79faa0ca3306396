"""A port that says whether the run is well: a line for people and supervisors, Prometheus text for graphs."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import TYPE_CHECKING, Any

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.pipeline.counts import RunStats

if TYPE_CHECKING:
    from typing_extensions import Self

LOOPBACK = ("127.0.0.1", "::1", "localhost")
SILENT_S = 10.0
"""Without a result for so long a run is not well."""


def bind_address(text: str) -> tuple[str, int]:
    """Host and port of `[HOST:]PORT`; without a host, this computer alone.

    Raises:
        UsageError: not of that form.
    """
    host, _, port = text.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise UsageError(f"[HOST:]PORT was expected, as in 8080 or 0.0.0.0:8080; got {text}")
    return host.strip("[]") or "127.0.0.1", int(port)


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
    """Serves `/health` (200, or 503 when not well) and `/metrics` in a thread. Use it as a context manager.

    Args:
        host, port: where; port 0 takes a free one.
        stats: of the run.

    Raises:
        PosetrtError: the port is taken.
    """

    def __init__(self, host: str, port: int, stats: RunStats) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = 5

            def do_GET(self) -> None:
                answers: dict[str, tuple[int, str]] = {
                    "/health": (200 if well(stats) else 503, health_line(stats) + "\n"),
                    "/metrics": (200, prometheus(stats)),
                }
                code, text = answers.get(self.path.partition("?")[0], (404, "there are /health and /metrics\n"))
                body = text.encode()
                self.send_response(code)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the base class names it
                """A line for each request would fill the journal."""

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        shown = f"[{host}]" if ":" in host else host
        try:
            self._server = Server((host, port), Handler)
        except OSError as error:
            raise PosetrtError(f"cannot serve {shown}:{port}: {error.strerror or error}; give another port") from error
        self._server.daemon_threads = True
        self.url = f"http://{shown}:{self._server.server_address[1]}/health"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="posetrt-status", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2.0)
