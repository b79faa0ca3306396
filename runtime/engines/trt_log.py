"""TensorRT's log in the user's terms: what it means, what to do, or nothing where it says nothing to a user."""

from __future__ import annotations

import contextlib
import ctypes
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from posetrt.runtime.errors import PosetrtError

Level = Literal["error", "warning", "info", "debug"]

# Warnings of an INT8 build that come by the hundred: counted, and not shown one by one.
_WITHOUT_RANGE = re.compile(r"Missing scale and zero-point for tensor (.+), expect fall back")

# What TensorRT says → what the user reads; None drops a warning that no user can act on. Found in logs of 8.6 to 11 and of TensorRT for RTX.
_MEANINGS: tuple[tuple[str, str | None], ...] = (
    (r"not compatible with this version of TensorRT|Version tag does not match", "the engine is of another TensorRT; build it again here"),
    (r"generated on an incompatible device|incompatible device", "the engine was built for another GPU; build it again here"),
    (r"engine plan file across different models of devices", "the engine was built on another model of GPU and may be slow or fail"),
    (r"driver version is insufficient|initialization failure with error: 35", "the NVIDIA driver is older than this TensorRT needs"),
    (r"CUDA initialization failure with error: (\d+)", r"CUDA does not start (error \1); check with `nvidia-smi` or `posetrt doctor`"),
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
    """What TensorRT said while one piece of work listened.

    Attributes:
        show: told each warning and error as it comes, once each; None keeps them for later.
        errors, warnings: (TensorRT's own line, its meaning), in order; errors without those that were settled.
        without_range: tensors that TensorRT found no INT8 range for, in order; not among the warnings.
    """

    show: Callable[[Level, str], None] | None = None
    errors: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    without_range: list[str] = field(default_factory=list)
    _said: set[str] = field(default_factory=set)

    def take(self, level: Level, line: str) -> None:
        """Keep a line, and show it once where it is of use. An error is never noise."""
        if level in ("info", "debug"):
            return
        missing = _WITHOUT_RANGE.search(line)
        if missing:
            self.without_range.append(missing.group(1))
            return
        meaning = meaning_of(line)
        if meaning is None:
            if level != "error":
                return
            meaning = line.strip()
        (self.errors if level == "error" else self.warnings).append((line.strip(), meaning))
        if self.show is not None and meaning not in self._said:
            self._said.add(meaning)
            self.show(level, meaning)

    def settle(self) -> None:
        """What was said so far is no reason for what fails later: new work begins."""
        self.errors.clear()

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """What is said in the block is dealt with by its caller, and is no reason for what fails later."""
        before = len(self.errors)
        yield
        del self.errors[before:]

    def reason(self, otherwise: str) -> str:
        """Why the work failed: the first error's meaning, with TensorRT's own words where they differ."""
        if not self.errors:
            return otherwise
        line, meaning = next(((line, meaning) for line, meaning in self.errors if meaning != line), self.errors[0])
        return meaning if meaning == line else f"{meaning} (TensorRT: {line[:300]})"

    @property
    def wants_memory(self) -> bool:
        """Whether an error is, in TensorRT's own words, about memory or the workspace."""
        return any(re.search("memory|workspace", line, re.IGNORECASE) for line, _ in self.errors)

    @contextlib.contextmanager
    def listening(self) -> Iterator[Log]:
        """Take what TensorRT says in this thread for the length of a block, and in its own threads where nobody came later."""
        _LISTENERS.enter(self)
        try:
            yield self
        finally:
            _LISTENERS.leave(self)


class _Listeners:
    """The logs that take lines now: by thread, and all of them in the order in which they came."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: list[Log] = []
        self._last: Log | None = None
        self._mine = threading.local()

    def enter(self, log: Log) -> None:
        mine = self._mine.__dict__.setdefault("logs", [])
        mine.append(log)
        with self._lock:
            self._all.append(log)
            self._last = log

    def leave(self, log: Log) -> None:
        self._mine.logs.pop()
        with self._lock:
            at = next(index for index in reversed(range(len(self._all))) if self._all[index] is log)
            del self._all[at]

    def current(self) -> Log | None:
        """This thread's log; in a thread of TensorRT's the one that came last, also when it listens no more."""
        mine = getattr(self._mine, "logs", None)
        if mine:
            return mine[-1]  # type: ignore[no-any-return]
        with self._lock:
            return self._all[-1] if self._all else self._last


_LISTENERS = _Listeners()
_LOGGERS: dict[Any, Any] = {}
_MAKING = threading.Lock()


def logger_for(trt: Any) -> Any:
    """TensorRT's logger: one per module, for the life of the process; its lines go to the `Log` that is listening.

    TensorRT keeps a single pointer for all builders and runtimes (NvInferRuntime.h, `createInferRuntime`): another
    logger is ignored while one of them lives, and a collected one would leave that pointer dangling.
    """
    base = trt.ILogger
    with _MAKING:
        if base not in _LOGGERS:
            _LOGGERS[base] = logger = _forwarding(base)
            # Never freed, not even while Python shuts down: engines that go later still write to it.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(logger))
        return _LOGGERS[base]


def _forwarding(base: Any) -> Any:
    class Logger(base):  # type: ignore[misc]
        def __init__(self) -> None:
            base.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            listener = _LISTENERS.current()
            if listener is None:
                return
            if severity in (base.INTERNAL_ERROR, base.ERROR):
                level: Level = "error"
            elif severity == base.WARNING:
                level = "warning"
            else:
                level = "info"
            listener.take(level, msg)

    return Logger()


def started(make: Callable[[Any], Any], trt: Any, log: Log, title: str) -> Any:
    """TensorRT's Builder or Runtime, which come to nothing where the driver is too old.

    Args:
        make: the class.
        trt: its module.
        log: that listens.

    Raises:
        PosetrtError: it does not start; says why.
    """
    try:
        return make(logger_for(trt))
    except (TypeError, RuntimeError) as error:  # pybind11: "factory function returned nullptr"
        raise PosetrtError(
            f"{title} does not start: {log.reason(str(error))}. A newer driver (on a Jetson: a newer JetPack) or an older TensorRT mends it"
        ) from error
