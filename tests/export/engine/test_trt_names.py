"""Every TensorRT name in our code exists in each version that we claim, or stands behind a test for it."""

from __future__ import annotations

import enum
import inspect
from pathlib import Path
from typing import Any

import pytest

from tests.trt_names import CLASSES, Missing, Names, missing
from tests.trt_stand_in import VERSIONS, names_of

ROOT = Path(__file__).resolve().parents[3]
# What talks to TensorRT, and the variables that are something else there.
FILES: dict[str, tuple[str, ...]] = {
    "export/engine/capabilities.py": (),
    "export/engine/attempt.py": ("engine",),
    "export/engine/tensorrt.py": ("engine",),
    "export/engine/trt_network.py": (),
    "export/engine/progress.py": (),
    "export/engine/calibrator.py": (),
    "runtime/engines/tensorrt.py": (),
    "runtime/engines/trt_log.py": (),
    "runtime/engines/rtx_cache.py": (),
    "runtime/engines/layers.py": ("layer",),
}


def rtx_names() -> dict[str, Any]:
    """The names of TensorRT for RTX as it is installed, in the form of the lists."""
    trt = pytest.importorskip("tensorrt_rtx")
    found: dict[str, Any] = {}
    for name in dir(trt):
        value = getattr(trt, name)
        if not inspect.isclass(value):
            found[name] = {"kind": type(value).__name__}
        elif hasattr(value, "__members__") and not issubclass(value, enum.Enum):
            found[name] = {"enum": dict(value.__members__)}
        else:
            found[name] = {"members": [member for member in dir(value) if not member.startswith("_")]}
    return found


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("version", [*VERSIONS, "rtx"])
def test_each_name_exists_or_stands_behind_a_test_for_it(version: str, file: str) -> None:
    classes = {name: owner for name, owner in CLASSES.items() if name not in FILES[file]}
    names = Names(rtx_names() if version == "rtx" else names_of(version))
    assert missing((ROOT / file).read_text(encoding="utf-8"), names, classes) == []


def test_every_file_that_speaks_to_tensorrt_is_read() -> None:
    speaks = {
        str(path.relative_to(ROOT))
        for folder in ("export", "runtime", "jetson", "calib", "src/posetrt/commands")
        for path in (ROOT / folder).rglob("*.py")
        if "trt." in path.read_text(encoding="utf-8").replace("posetrt.", "")
        and any(word in path.read_text(encoding="utf-8") for word in ("trt: Any", "trt = ", "trt, "))
    }
    assert speaks <= set(FILES)


@pytest.mark.parametrize(
    ("source", "lacking"),
    [
        ("config.no_such_name = 1", [*VERSIONS]),
        ("tensor.set_dynamic_range(-1, 1)", ["11.4.0"]),
        ("if hasattr(trt.ITensor, 'set_dynamic_range'):\n    tensor.set_dynamic_range(-1, 1)", []),
        ("if not hasattr(trt.ITensor, 'set_dynamic_range'):\n    tensor.set_dynamic_range(-1, 1)", ["11.4.0"]),
        ("flag = trt.BuilderFlag.FP16", ["11.4.0"]),
        ("config.progress_monitor = 1", ["8.6.1"]),
        ("size = engine.device_memory_size_v2", ["8.6.1"]),
        ("size = engine.device_memory_size_v2 if hasattr(engine, 'device_memory_size_v2') else engine.device_memory_size", []),
        ("size = engine.device_memory_size if hasattr(engine, 'device_memory_size_v2') else 0", ["11.4.0"]),
        ("class M(trt.IProgressMonitor):\n    def step_completed(self): ...", [*VERSIONS]),
        ("def f(trt):\n    if not hasattr(trt, 'IProgressMonitor'):\n        return\n    trt.IProgressMonitor()", []),
        ("ok = hasattr(trt, 'IInt8EntropyCalibrator2') and trt.IInt8EntropyCalibrator2", []),
        ("self._context.execute_async_v2()", ["10.3.0", "10.13.3", "10.16.1", "11.4.0"]),
    ],
)
def test_a_planted_error_is_found(source: str, lacking: list[str]) -> None:
    assert [version for version in VERSIONS if missing(source, Names(names_of(version)))] == lacking


def test_a_planted_error_in_our_own_code_is_found() -> None:
    source = (ROOT / "export/engine/trt_network.py").read_text(encoding="utf-8")
    guard = 'if hasattr(trt.ITensor, "set_dynamic_range"):'
    assert source.count(guard) == 1
    found = missing(source.replace(guard, "if True:"), Names(names_of("11.4.0")))
    assert (
        Missing(next(n for n, line in enumerate(source.splitlines(), 1) if ".set_dynamic_range(" in line), "ITensor.set_dynamic_range")
        in found
    )
