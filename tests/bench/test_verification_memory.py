"""How verify-gpu chooses where tensors lie: on a clock that stands in, since the choice and not the speed is tested here."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from posetrt.bench import verification, verification_memory
from posetrt.bench.verification_memory import choose_memory, ways
from posetrt.bench.verification_row import check, table
from posetrt.export.engine.build import build
from posetrt.runtime.engines import driver
from posetrt.runtime.engines.choose import open_engine
from posetrt.runtime.engines.driver import Gpu
from posetrt.runtime.errors import EngineMismatch
from posetrt.runtime.model.sidecar import read_sidecar, write_sidecar
from tests.tiny_model import tiny_folder

Options = dict[str, Any]


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """The sidecar of a TensorRT engine beside one of ONNX Runtime: no GPU is here to build it."""
    path, sidecar = build(tiny_folder(tmp_path / "m"), "fp32", "onnxruntime")
    write_sidecar(path, replace(sidecar, backend="tensorrt", options={"profile": []}))
    return path


def run(engine: Path, monkeypatch: pytest.MonkeyPatch, times: dict[str, float], *, integrated: bool = True) -> dict[str, Any]:
    @contextlib.contextmanager
    def open_built(path: Path, sidecar: Any, *, trust: bool) -> Iterator[Options]:
        yield dict(sidecar.options)

    monkeypatch.setattr(verification_memory.tensorrt, "open_built", open_built)
    monkeypatch.setattr(driver, "gpu", lambda: Gpu(0, "Orin", 87, 8 << 30, integrated=integrated))
    monkeypatch.setattr(verification_memory, "frame_ms", lambda options: times[str(options.get("shared"))] + ("cuda_graph" in options))
    return choose_memory(engine)


OUTPUTS = "['heatmaps', 'pafs']"


def test_the_fastest_way_is_kept_in_the_sidecar_that_open_engine_follows(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(engine, monkeypatch, {"None": 8.0, "['image']": 6.0, OUTPUTS: 9.0, "[]": 7.0})
    assert found["kept"] == {"shared": ["image"]}
    assert read_sidecar(engine).options == {"profile": [], "shared": ["image"]}
    assert [trial["frame_ms"] for trial in found["trials"]] == [8.0, 6.0, 9.0, 7.0, 9.0, 7.0, 10.0, 8.0]


def test_a_gain_within_the_clocks_noise_changes_nothing_and_undoes_an_older_choice(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sidecar(engine, replace(read_sidecar(engine), options={"profile": [], "shared": []}))
    assert run(engine, monkeypatch, {"None": 8.0, "['image']": 7.9, OUTPUTS: 9.0, "[]": 9.0})["kept"] == {}
    assert read_sidecar(engine).options == {"profile": []}


def test_only_what_can_matter_on_a_device_is_tried(engine: Path) -> None:
    sidecar = read_sidecar(engine)
    assert ways(sidecar, integrated=False) == [{}, {"cuda_graph": False}], "a card reads the computer's memory through the bus"
    rtx = replace(sidecar, backend="tensorrt-rtx")
    assert ways(rtx, integrated=False) == [{}, {"cuda_graph": False}, {"own_graphs": True}]
    assert len(ways(rtx, integrated=True)) == 12


@pytest.mark.parametrize("loads", [True, False])
def test_an_engine_that_was_cut_in_half_must_be_refused(engine: Path, monkeypatch: pytest.MonkeyPatch, loads: bool) -> None:
    handed: list[int] = []

    def open_built(path: Path, sidecar: Any, *, trust: bool) -> Any:
        handed.append(path.stat().st_size)
        if not loads:
            raise EngineMismatch("TensorRT refuses it")
        return contextlib.ExitStack()

    write_sidecar(engine, replace(read_sidecar(engine), backend="onnxruntime"))
    monkeypatch.setattr(verification, "open_built", open_built)
    monkeypatch.setattr(verification, "find_engine", lambda folder, precision, backend: (engine, read_sidecar(engine)))
    found = verification.failed_load(engine.parents[1], "fp32", "tensorrt")
    assert found["passed"] is not loads
    assert handed == [engine.stat().st_size // 2]


def test_a_fall_back_that_a_build_took_is_in_what_is_sent_back(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from posetrt.bench import verification_row
    from posetrt.runtime.model.folder import ModelFolder

    def told(*args: Any, show: Any, **options: Any) -> Any:
        show("warning", "Trying otherwise: built with PREFER")
        return build(*args, **options)

    def opened(*args: Any) -> Any:
        warnings.warn("no CUDA graphs", RuntimeWarning, stacklevel=2)
        return open_engine(*args)

    monkeypatch.setattr(verification_row, "build", told)
    monkeypatch.setattr(verification_row, "open_engine", opened)
    monkeypatch.setattr(verification_row, "TIMED", 4)
    row = check("tiny", ModelFolder(engine.parents[1]), "fp32", "onnxruntime", None)
    assert row.notes == ["warning: Trying otherwise: built with PREFER", "no CUDA graphs"]
    assert "- tiny fp32: warning: Trying otherwise: built with PREFER" in table({"rows": [vars(row)]})
