"""TensorRT's log in the user's terms: what it means, what to do, or nothing where it says nothing to a user."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from posetrt.runtime.errors import PosetrtError

Level = Literal["error", "warning", "info", "debug"]

# What TensorRT says → what the user reads; None drops the line. Found in logs of 8.6 to 11 and of TensorRT for RTX.
_MEANINGS: tuple[tuple[str, str | None], ...] = (
    (r"not compatible with this version of TensorRT|Version tag does not match", "the engine is of another TensorRT; build it again here"),
    (r"generated on an incompatible device|incompatible device", "the engine was built for another GPU; build it again here"),
    (r"engine plan file across different models of devices", "the engine was built on another model of GPU and may be slow or fail"),
    (r"driver version is insufficient|initialization failure with error: 35", "the NVIDIA driver is older than this TensorRT needs"),
    (r"CUDA initialization failure with error: (\d+)", r"CUDA does not start (error \1); check with `nvidia-smi` or `posetrt doctor`"),
    (
        r"Missing scale and zero-point for tensor ([^,]+), expect fall back",
        r"tensor \1 has no INT8 range, so the layers around it run in a higher precision",
    ),
    (r"Calibrator is not being used", None),
    (r"Calibration Profile is not defined", None),
    (r"INT8 calibration is deprecated|int8_calibrator.* deprecated|superseded by explicit quantization", None),
    (
        r"[Ll]ayer '?\"?([^'\"]+?)'?\"? .*not supported on DLA.*[Ff]alling back to GPU",
        r"layer \1 cannot run on the DLA and runs on the GPU",
    ),
    (
        r"Tactic Device request: (\S+) Available: (\S+?)\.? .*memory is insufficient",
        r"a faster way to compute a layer needs \1 of memory and \2 is free: close other programs, or set --workspace below what is free",
    ),
    (
        r"[Ii]nsufficient workspace|do not have sufficient workspace|due to insufficient memory",
        "a layer finds no room in the workspace: give more with --workspace MB, or free memory",
    ),
    (r"out of memory|OutOfMemory|Requested amount of GPU memory .* could not be allocated", "the device has too little free memory"),
    (
        r"Could not find any implementation for node (.+?)\.?$",
        r"TensorRT has no way to compute \1 under these constraints: try --precision fp16, without --dla, or more --workspace",
    ),
    (
        r"[Ii]nvalid timing cache|timing cache .*(version|mismatch|corrupt)",
        "the timing cache is of another TensorRT or device; a new one is begun",
    ),
    (
        r"subnormal|values less than smallest positive FP16",
        "some weights are below what float16 holds; compare with fp32 by `posetrt eval`",
    ),
    (r"weights .*(overflow|outside the range).*(FP16|half)", "some weights are above what float16 holds; use fp32, or int8"),
    (r"INT64 weights|cast down to INT32|One or more weights outside the range of INT32", None),
    (r"[Ll]azy [Ll]oading", None),
    (r"was linked against (cuDNN|cuBLAS)", None),
    (r"Using default for use_(int8|fp16)", None),
    (r"deprecated", None),
)
_COMPILED = tuple((re.compile(pattern), meaning) for pattern, meaning in _MEANINGS)


def meaning_of(line: str) -> str | None:
    """What a line of TensorRT's means to a user; the line itself where nothing better is known; None where it is noise."""
    for pattern, meaning in _COMPILED:
        match = pattern.search(line)
        if match:
            return match.expand(meaning) if meaning is not None else None
    return line.strip()


@dataclass
class Log:
    """What TensorRT said while it worked.

    Attributes:
        show: told each warning and error as it comes, once each; None keeps them for later.
        errors, warnings: (TensorRT's own line, its meaning), in order.
    """

    show: Callable[[Level, str], None] | None = None
    errors: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    _said: set[str] = field(default_factory=set)

    def take(self, level: Level, line: str) -> None:
        """Keep a line, and show it once where it is of use."""
        meaning = meaning_of(line)
        if meaning is None or level in ("info", "debug"):
            return
        (self.errors if level == "error" else self.warnings).append((line.strip(), meaning))
        if self.show is not None and meaning not in self._said:
            self._said.add(meaning)
            self.show(level, meaning)

    def reason(self, otherwise: str) -> str:
        """Why the work failed: the first error's meaning, with TensorRT's own words where they differ."""
        if not self.errors:
            return otherwise
        line, meaning = next(((line, meaning) for line, meaning in self.errors if meaning != line), self.errors[0])
        return meaning if meaning == line else f"{meaning} (TensorRT: {line[:300]})"


def logger_for(trt: Any, log: Log) -> Any:
    """A TensorRT logger that writes into `log`. Keep it alive as long as anything made with it."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                level: Level = "error"
            elif severity == trt.ILogger.WARNING:
                level = "warning"
            else:
                level = "info"
            log.take(level, msg)

    return Logger()


def started(make: Callable[[Any], Any], logger: Any, log: Log, title: str) -> Any:
    """TensorRT's Builder or Runtime, which come to nothing where the driver is too old.

    Args:
        make: the class.

    Raises:
        PosetrtError: it does not start; says why.
    """
    try:
        return make(logger)
    except (TypeError, RuntimeError) as error:  # pybind11: "factory function returned nullptr"
        raise PosetrtError(
            f"{title} does not start: {log.reason(str(error))}. A newer driver (on a Jetson: a newer JetPack) or an older TensorRT mends it"
        ) from error
