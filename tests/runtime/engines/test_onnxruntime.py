"""ONNX Runtime as the project opens it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from posetrt.runtime.engines.onnxruntime import open_session
from posetrt.runtime.model.shipped import shipped_model


def test_int8_sums_do_not_overflow_on_processors_without_vnni() -> None:
    """Two products of 8 bits leave 16: 2 * 255 * 127. Reference: the sum itself."""
    total = 8 * 9 * 255 * 127
    constants = {
        "one": np.float32(1),
        "zero": np.uint8(0),
        "weight/int8": np.full((8, 8, 3, 3), 127, np.int8),
        "weight/zero": np.int8(0),
        "step": np.float32(total / 200),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "one", "zero"], ["x/8"]),
        helper.make_node("DequantizeLinear", ["x/8", "one", "zero"], ["x/float"]),
        helper.make_node("DequantizeLinear", ["weight/int8", "one", "weight/zero"], ["weight"]),
        helper.make_node("Conv", ["x/float", "weight"], ["sums"]),
        helper.make_node("QuantizeLinear", ["sums", "step", "zero"], ["y/8"]),
        helper.make_node("DequantizeLinear", ["y/8", "step", "zero"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 8, 8, 8])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 8, 6, 6])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = open_session(model.SerializeToString())
    (found,) = session.run(["y"], {"x": np.full((1, 8, 8, 8), 255, np.float32)})
    np.testing.assert_allclose(found, total, rtol=0.005)


@pytest.mark.parametrize(
    ("machine", "features", "asked"),
    [
        ("x86_64", ["avx2"], True),
        ("x86_64", ["avx2", "avx512f"], True),
        ("x86_64", ["avx2", "avx512f", "avx512_vnni", "amx_int8"], False),
        ("AMD64", ["avx2", "avx_vnni"], False),
        ("aarch64", ["asimddp"], False),
    ],
)
def test_exact_sums_are_asked_for_where_they_are_not_exact_anyhow(
    machine: str, features: list[str], asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With VNNI they make INT8 slower than float32."""
    monkeypatch.setattr("posetrt.runtime.engines.onnxruntime.device", lambda: {"machine": machine, "features": features})
    said: list[bool] = []

    def look(options: Any) -> None:
        try:
            said.append(options.get_session_config_entry("session.x64quantprecision") == "1")
        except RuntimeError:
            said.append(False)

    open_session(str(shipped_model() / "model.onnx"), look)
    assert said == [asked]
