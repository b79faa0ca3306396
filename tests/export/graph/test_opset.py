"""Graphs of newer opsets, written in opset 17: the same numbers on ONNX Runtime, or a clear refusal."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, checker, helper, numpy_helper

from posetrt.export.graph.opset import in_opset, opset_of
from posetrt.runtime.errors import PosetrtError

X = np.random.default_rng(0).normal(size=(1, 4, 6, 9)).astype(np.float32)
CONSTANTS = {
    "axes": np.array([2, 3], np.int64),
    "sizes": np.array([1, 4, 12, 18], np.int64),
    "pads": np.array([0, 0, 1, 2, 0, 0, 3, 0], np.int64),
    "scale": np.arange(1, 5, dtype=np.float32),
    "bias": np.arange(4, dtype=np.float32),
    "grid": np.random.default_rng(1).uniform(-1, 1, (1, 5, 5, 2)).astype(np.float32),
}


def _model(opset: int, node: Any, *names: str) -> Any:
    weights = [numpy_helper.from_array(value, name) for name, value in CONSTANTS.items() if name in node.input]
    picture = helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names or ("y",)]
    return helper.make_model(
        helper.make_graph([node], "one", [picture], outputs, weights), opset_imports=[helper.make_opsetid("", opset)], ir_version=9
    )


def _run(model: Any) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, {"x": X}))


NODES = {
    "greatest along axes that are an input": helper.make_node("ReduceMax", ["x", "axes"], ["y"], keepdims=0, noop_with_empty_axes=0),
    "mean along axes that are an input": helper.make_node("ReduceMean", ["x", "axes"], ["y"]),
    "mean along all axes": helper.make_node("ReduceMean", ["x"], ["y"], noop_with_empty_axes=0),
    "no axes, so nothing": helper.make_node("ReduceMean", ["x"], ["y"], noop_with_empty_axes=1),
    "equal pieces": helper.make_node("Split", ["x"], ["y", "z"], axis=1, num_outputs=2),
    "pieces of which the last is smaller": helper.make_node("Split", ["x"], ["y", "z"], axis=3, num_outputs=2),
    "resized": helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode="linear", antialias=0, keep_aspect_ratio_policy="stretch"),
    "padded": helper.make_node("Pad", ["x", "pads"], ["y"], mode="reflect"),
    "mish": helper.make_node("Mish", ["x"], ["y"]),
    "sampled": helper.make_node("GridSample", ["x", "grid"], ["y"], mode="linear"),
    "gelu": helper.make_node("Gelu", ["x"], ["y"], approximate="none"),
    "gelu by tanh": helper.make_node("Gelu", ["x"], ["y"], approximate="tanh"),
    "groups": helper.make_node("GroupNormalization", ["x", "scale", "bias"], ["y"], num_groups=2),
}


SINCE = {"Gelu": 20, "GridSample": 20, "GroupNormalization": 21}
CASES = [(what, opset) for what, node in NODES.items() for opset in (18, 20, 21) if opset >= SINCE.get(node.op_type, 0)]


@pytest.mark.parametrize(("what", "opset"), CASES)
def test_newer_forms_are_written_in_opset_17_and_compute_the_same(what: str, opset: int) -> None:
    node = NODES[what]
    model = _model(opset, node, *node.output)
    older = in_opset(model, 17, 8)
    assert opset_of(older) == 17
    checker.check_model(older, full_check=True)
    for found, expected in zip(_run(older), _run(model), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_what_opset_17_cannot_say_is_refused_with_the_way_out() -> None:
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode="linear", antialias=1)
    with pytest.raises(PosetrtError, match=r"antialias.*export the network again with opset 17"):
        in_opset(_model(18, node), 17, 8)
