"""What `finish` says to the terminal."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from posetrt.export.graph.onnx_model import finish
from posetrt.runtime.errors import PosetrtError
from tests.tiny_model import tiny_manifest


def with_a_constant_that_cannot_be_computed() -> Any:
    nodes = [helper.make_node("Gather", ["three", "seventh"], ["none"]), helper.make_node("Add", ["x", "none"], ["y"])]
    values = [numpy_helper.from_array(np.ones(3, np.float32), "three"), numpy_helper.from_array(np.array([7]), "seventh")]
    ends = [[helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3])] for name in "xy"]
    return helper.make_model(helper.make_graph(nodes, "g", *ends, values), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_what_onnxsim_could_not_fold_stays_off_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    model = finish(with_a_constant_that_cannot_be_computed(), tiny_manifest())
    assert [node.op_type for node in model.graph.node] == ["Gather", "Add"]
    assert capfd.readouterr() == ("", "")


def test_what_onnxsim_said_is_shown_where_it_fails(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        os.write(2, b"why it failed\n")
        raise RuntimeError("it failed")

    monkeypatch.setattr("onnxsim.simplify", fails)
    with pytest.raises(PosetrtError, match="cannot be simplified: it failed"):
        finish(with_a_constant_that_cannot_be_computed(), tiny_manifest())
    os.write(2, b"and after it\n")
    assert capfd.readouterr().err == "why it failed\nand after it\n"
