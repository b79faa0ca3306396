"""Graphs that few exporters write: what INT8 makes of them is right, or they are left in float."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from posetrt.calib.int8.quantize import quantize
from posetrt.calib.int8.ranges import Range
from posetrt.calib.int8.rounding import rounded_by_outputs
from posetrt.calib.int8.scales import Layout
from posetrt.calib.int8.trained import trained_ranges
from posetrt.export.graph.graph import Graph
from posetrt.runtime.engines.onnxruntime import open_session
from posetrt.runtime.errors import PosetrtError

RANDOM = np.random.default_rng(4)
LAYOUTS: tuple[Layout, ...] = ("ort", "trt")
UNSIGNED = np.uint8(3)


def normal(*shape: int) -> NDArray[np.float32]:
    return RANDOM.normal(0, 0.5, shape).astype(np.float32)


def graph_of(nodes: list[Any], constants: dict[str, NDArray[Any]], x: list[int], outputs: tuple[str, ...] = ("y",)) -> Graph:
    info = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes,
        "odd",
        [info("x", onnx.TensorProto.FLOAT, x)],
        [info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return Graph(onnx.shape_inference.infer_shapes(model), "odd.onnx")


def values_of(graph: Graph, model: Any, x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return open_session(model.SerializeToString()).run(graph.outputs, {"x": x})


def ranges_of(graph: Graph, x: NDArray[np.float32]) -> dict[str, Range]:
    copy = graph.copy()
    names = [name for name in graph.float_tensors if name != "x"]
    known = set(graph.outputs)
    copy.model.graph.output.extend(helper.make_tensor_value_info(one, onnx.TensorProto.FLOAT, None) for one in names if one not in known)
    seen = dict(zip(names, open_session(copy.model.SerializeToString()).run(names, {"x": x}), strict=True)) | {"x": x}
    ends = {name: (min(float(one.min()), 0.0), max(float(one.max()), 0.0)) for name, one in seen.items()}
    return {name: Range(low, high, max(-low, high), "minmax", low, high) for name, (low, high) in ends.items()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_float_reader_of_a_matrix_product_sees_its_relu(layout: Layout) -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "a"], ["made"], "first"),
        helper.make_node("Relu", ["made"], ["h"], "relu"),
        helper.make_node("Gemm", ["h", "b"], ["y"], "eight"),
        helper.make_node("Gemm", ["h", "c"], ["z"], "kept"),
    ]
    graph = graph_of(nodes, {"a": normal(16, 16), "b": normal(16, 8), "c": normal(16, 8)}, [6, 16], ("y", "z"))
    x = normal(6, 16)
    wanted = values_of(graph, graph.model, x)
    given = values_of(graph, quantize(graph, ranges_of(graph, x), layout, ["kept"]), x)
    for one, other in zip(given, wanted, strict=True):
        assert np.abs(one - other).mean() < 0.02 * np.abs(other).max()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sum_of_a_layer_with_itself_is_twice_it(layout: Layout) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["made"], "first"),
        helper.make_node("Add", ["made", "made"], ["h"], "twice"),
        helper.make_node("Conv", ["h", "b"], ["y"], "last"),
    ]
    graph = graph_of(nodes, {"a": normal(8, 8, 1, 1), "b": normal(8, 8, 1, 1)}, [1, 8, 5, 5])
    x = normal(1, 8, 5, 5)
    (wanted,), (given,) = values_of(graph, graph.model, x), values_of(graph, quantize(graph, ranges_of(graph, x), layout), x)
    assert np.abs(given - wanted).mean() < 0.02 * np.abs(wanted).max()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_bias_may_be_a_row_of_a_table(layout: Layout) -> None:
    nodes = [helper.make_node("Gemm", ["x", "a", "row"], ["h"], "first"), helper.make_node("Gemm", ["h", "b", "one"], ["y"], "last")]
    graph = graph_of(nodes, {"a": normal(16, 12), "row": normal(1, 12), "b": normal(12, 4), "one": np.array([0.25], np.float32)}, [1, 16])
    assert [layer.name for layer in graph.layers] == ["first"], "one number for all outputs is no bias that INT8 has a form for"
    x = normal(1, 16)
    (wanted,), (given,) = values_of(graph, graph.model, x), values_of(graph, quantize(graph, ranges_of(graph, x), layout), x)
    np.testing.assert_allclose(given, wanted, atol=0.05 * np.abs(wanted).max())


def test_a_convolution_over_a_signal_stays_in_float() -> None:
    nodes = [helper.make_node("Conv", ["x", "a"], ["y"], "signal")]
    graph = graph_of(nodes, {"a": normal(4, 3, 5)}, [1, 3, 20])
    x = normal(1, 3, 20)
    assert not graph.layers
    assert rounded_by_outputs(graph, [(Path("x.png"), x)]) == {}
    np.testing.assert_array_equal(values_of(graph, quantize(graph, {}, "ort"), x)[0], values_of(graph, graph.model, x)[0])


@pytest.mark.parametrize(
    ("padding", "side", "step"), [("SAME_UPPER", 2, 1), ("SAME_LOWER", 2, 1), ("SAME_UPPER", 7, 2), ("SAME_LOWER", 8, 2)]
)
def test_padding_that_the_graph_does_not_spell_out_is_the_same_as_spelt_out(padding: str, side: int, step: int) -> None:
    missing = max(0, (-(-side // step) - 1) * step + 3 - side)
    first = missing // 2 if padding == "SAME_UPPER" else missing - missing // 2
    pads = [first, first, missing - first, missing - first]
    weights = {"a": normal(6, 4, 3, 3)}
    found = []
    for spelt in ({"auto_pad": padding}, {"pads": pads}):
        node = helper.make_node("Conv", ["x", "a"], ["y"], "one", strides=[step, step], **spelt)
        inputs = [
            (Path(f"{seed}.png"), np.random.default_rng(seed).normal(0, 1, (1, 4, side, side)).astype(np.float32)) for seed in range(3)
        ]
        graph = graph_of([node], weights, [1, 4, side, side])
        found.append((rounded_by_outputs(graph, inputs)["one"], values_of(graph, graph.model, inputs[0][1])[0]))
    np.testing.assert_array_equal(found[0][1], found[1][1], "the reference: ONNX Runtime reads both alike")
    np.testing.assert_array_equal(found[0][0], found[1][0])


def trained_by(tmp_path: Path, kind: str = "Conv", scale: float = 0.1, zero: Any = UNSIGNED) -> Path:
    """A Q/DQ graph under other names than ours."""
    constants = {"s": np.float32(scale), "w": normal(4, 4, 3, 3)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "zp"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "zp"], ["d"]),
        helper.make_node(kind, ["d", "w"], ["other/y"], "renamed"),
    ]
    info = helper.make_tensor_value_info
    kinds = {"float8": onnx.TensorProto.FLOAT8E4M3FN}
    given = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    given.append(helper.make_tensor("zp", kinds[zero], [], [0.0]) if zero in kinds else numpy_helper.from_array(np.asarray(zero), "zp"))
    made = helper.make_graph(nodes, "trained", [info("x", 1, [1, 4, 8, 8])], [info("other/y", onnx.TensorProto.FLOAT, None)], given)
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 19)], ir_version=9), str(tmp_path / "trained.onnx"))
    return tmp_path / "trained.onnx"


@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
def test_trained_ranges_are_matched_by_place_where_the_shapes_agree(kind: str, tmp_path: Path) -> None:
    path = trained_by(tmp_path, kind)
    ours = graph_of([helper.make_node(kind, ["x/bytes", "a"], ["y"], "one")], {"a": normal(4, 4, 3, 3)}, [1, 4, 8, 8])
    ours.model.graph.input[0].name = "x/bytes"
    ours = Graph(ours.model, "ours.onnx")
    assert trained_ranges(path, ours)["x/bytes"].high == pytest.approx(25.2)
    other = Graph(ours.with_constants({"a": normal(6, 4, 3, 3)}).model, "ours.onnx")
    with pytest.raises(
        PosetrtError, match=r"another network than ours.onnx: of 1 layers in both, number 1 has weights \(4, 4, 3, 3\) there"
    ):
        trained_ranges(path, other)


@pytest.mark.parametrize(("scale", "zero"), [(0.0, np.uint8(0)), (float("nan"), np.int8(0)), (0.1, "float8"), (0.1, np.int32(0))])
def test_what_is_no_range_of_8_bits_is_named(scale: float, zero: Any, tmp_path: Path) -> None:
    ours = graph_of([helper.make_node("Conv", ["x", "a"], ["y"], "one")], {"a": normal(4, 4, 3, 3)}, [1, 4, 8, 8])
    with pytest.raises(PosetrtError, match=r"trained.onnx rounds 'x' by the scale .*expected a positive scale, and int8 or uint8"):
        trained_ranges(trained_by(tmp_path, scale=scale, zero=zero), ours)
