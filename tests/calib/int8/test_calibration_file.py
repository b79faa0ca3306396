"""A calibration.json that somebody changed: no range that is none reaches a graph, a cache or TensorRT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from posetrt.calib.int8.calibration import Calibration, read_calibration, write_calibration
from posetrt.calib.int8.ranges import Range
from posetrt.export.engine.tensorrt import read_ranges
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.model.folder import ModelFolder

WHOLE = Calibration(
    "0" * 64,
    "minmax",
    (64, 48),
    {"count": 1},
    {"image": Range(-1, 1, 1, "minmax", -1, 1)},
    kept_float=("conv1",),
    kept_float_ort=("conv1",),
)


def changed(folder: Path, *path: str, value: Any) -> Path:
    """calibration.json with one value replaced."""
    target = folder / "calibration.json"
    write_calibration(target, WHOLE)
    fields = inner = json.loads(target.read_text())
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    target.write_text(json.dumps(fields))
    return target


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("tensors", "image", "amax"), float("nan")),
        (("tensors", "image", "amax"), -1.0),
        (("tensors", "image", "amax"), 1e300),
        (("tensors", "image", "amax"), None),
        (("tensors", "image", "amax"), 10**400),
        (("tensors", "image"), [1, 2]),
        (("tensors",), None),
        (("kept_float",), "conv1"),
        (("kept_float",), [5]),
    ],
)
def test_a_range_that_is_none_is_refused_by_calib_and_by_the_builder(tmp_path: Path, path: tuple[str, ...], value: Any) -> None:
    target = changed(tmp_path, *path, value=value)
    wanted = rf"calibration\.json: {path[0]}.*(?i:calibrat|make it again)"
    with pytest.raises(PosetrtError, match=wanted):
        read_calibration(target)
    with pytest.raises(PosetrtError, match=wanted):
        read_ranges(ModelFolder(tmp_path))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("tensors", "image", "low"), 0.5),
        (("tensors", "image", "high"), float("inf")),
        (("size_wh",), [10**6, 48]),
        (("size_wh",), [0, 48]),
        (("equalised",), {"conv1": [1.0, float("nan")]}),
        (("equalised",), {"conv1": [-1.0]}),
        (("images",), 5),
        (("bias",), {"ort": {"conv1": [float("nan")]}}),
        (("price",), 5),
        (("model_sha256",), "abc"),
        (("method",), None),
    ],
)
def test_every_other_value_has_a_range_too(tmp_path: Path, path: tuple[str, ...], value: Any) -> None:
    with pytest.raises(PosetrtError, match=rf"calibration\.json: {path[0]}"):
        read_calibration(changed(tmp_path, *path, value=value))


def test_a_calibration_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_calibration(tmp_path / "calibration.json", WHOLE)
    assert read_calibration(tmp_path / "calibration.json") == WHOLE
