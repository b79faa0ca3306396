"""A sidecar that somebody changed: an error that names the field, and never a reason to hide the engine beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from posetrt.runtime.engines.choose import built_engines, find_engine
from posetrt.runtime.errors import EngineMismatch
from posetrt.runtime.files import sha256_of
from posetrt.runtime.model.folder import ModelFolder
from posetrt.runtime.model.sidecar import Sidecar, read_sidecar, sidecar_path, write_sidecar
from tests.tiny_model import tiny_folder, tiny_manifest


def engine_of(folder: ModelFolder, name: str) -> Path:
    """An engine file with a sidecar of ONNX Runtime on this computer."""
    from posetrt.runtime.engines.onnxruntime import device, version

    engine = folder.engines / name
    engine.parent.mkdir(exist_ok=True)
    engine.write_bytes(name.encode())
    write_sidecar(
        engine, Sidecar("onnxruntime", "fp32", version(), device(), sha256_of(engine), "model.onnx", folder.hashes(), tiny_manifest())
    )
    return engine


def changed(engine: Path, **values: Any) -> None:
    path = sidecar_path(engine)
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


CHANGES: list[tuple[str, Any]] = [
    ("device", None),
    ("device", [1]),
    ("device", {"sm": "87"}),
    ("device", {"features": 5}),
    ("options", {"runs_on": {"from": "10.3"}}),
    ("options", {"profile": 3}),
    ("options", {"profile": [[1], [1], ["x"]]}),
    ("made_from", {"model": 5}),
    ("made_from", "x"),
    ("precision", "fp7"),
    ("build_s", "soon"),
    ("engine_sha256", None),
    ("graph", "../../secret.onnx"),
    ("graph", "/etc/passwd"),
    ("library_version", 10.3),
    ("library_version", "1\x1b[2J"),
    ("backend", None),
    ("format", 2),
    ("manifest", None),
]


@pytest.mark.parametrize(("field", "value"), CHANGES)
def test_a_changed_sidecar_is_named_and_does_not_hide_the_engine_beside_it(tmp_path: Path, field: str, value: Any) -> None:
    folder = tiny_folder(tmp_path / "person")
    bad, good = engine_of(folder, "a_fp32.onnx"), engine_of(folder, "b_fp32.onnx")
    changed(bad, **{field: value})
    with pytest.raises(EngineMismatch, match=rf"a_fp32\.onnx\.json.*{field}.*posetrt build"):
        read_sidecar(bad)
    assert list(built_engines(folder)) == [good]
    assert find_engine(folder, "fp32", "onnxruntime")[0] == good
    good.unlink()
    with pytest.raises(EngineMismatch, match="a_fp32"):
        find_engine(folder, "fp32", "onnxruntime")


@pytest.mark.parametrize("text", ["", "[" * 200_000, '{"format": ' + "1" * 5000 + "}", "null", "\x00"])
def test_a_sidecar_that_is_no_json_object_does_not_hide_the_engine_beside_it(tmp_path: Path, text: str) -> None:
    folder = tiny_folder(tmp_path / "person")
    bad, good = engine_of(folder, "a_fp32.onnx"), engine_of(folder, "b_fp32.onnx")
    sidecar_path(bad).write_text(text)
    assert list(built_engines(folder)) == [good]
    with pytest.raises(EngineMismatch, match="posetrt build"):
        read_sidecar(bad)


@pytest.mark.parametrize("value", ["fp99", 5, ["int8"], {"a": 1}])
def test_a_default_precision_that_is_none_is_refused_with_the_files_name(tmp_path: Path, value: Any) -> None:
    from posetrt.runtime.errors import PosetrtError

    folder = tiny_folder(tmp_path / "person")
    folder.settings.write_text(json.dumps({"precision": value}))
    with pytest.raises(PosetrtError, match=r"settings\.json: precision is .*one of fp32, fp16, fp8, int8"):
        folder.default_precision()
