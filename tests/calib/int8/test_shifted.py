"""TensorRT's layout uses all levels for tensors that lie to one side of 0: what the moved graph computes, and what is not moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from posetrt.calib.int8.fp8 import quantize_fp8
from posetrt.calib.int8.kept import kept_by_default
from posetrt.calib.int8.plan import grids
from posetrt.calib.int8.quantize import Corrections, quantize
from posetrt.calib.int8.ranges import Range
from posetrt.calib.int8.scales import as_float16_holds
from posetrt.export.graph.float16 import half_around_int8
from posetrt.export.graph.graph import Graph
from posetrt.runtime.engines.onnxruntime import open_session
from tests.rtx import build_with_rtx

WIDE, CHANNELS = 6, 8
NODE = onnx.helper.make_node


Weights = dict[str, tuple[int, ...]]


def graph_of(
    nodes: list[Any], weights: Weights, biases: tuple[str, ...] = (), outputs: tuple[str, ...] = ("y",), *, signs: bool = False
) -> Graph:
    """A graph with input x, (1, CHANNELS, WIDE, WIDE), and random weights; with `signs` of two values, which 8 bits hold exactly."""
    random = np.random.default_rng(3)
    constants = {name: random.normal(0, 0.4, shape).astype(np.float32) for name, shape in weights.items()}
    if signs:
        constants = {name: np.sign(value) for name, value in constants.items()}
    if "tiny" in constants:
        constants["tiny"] *= np.float32(1e-4)
    constants |= {name: random.normal(0.3, 0.3, CHANNELS).astype(np.float32) for name in biases}
    constants |= {"zero": np.zeros((), np.float32), "six": np.array(6, np.float32)}
    info = onnx.helper.make_tensor_value_info
    made = onnx.helper.make_graph(
        nodes,
        "shifted",
        [info("x", onnx.TensorProto.FLOAT, [1, CHANNELS, WIDE, WIDE])],
        [info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    return Graph(onnx.shape_inference.infer_shapes(model), "shifted.onnx")


def values_of(graph: Graph, model: Any, names: list[str], seed: int = 5) -> dict[str, NDArray[np.float32]]:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {value.name for value in copy.graph.output}
    copy.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names if name not in known)
    x = np.random.default_rng(seed).normal(0, 1, (1, CHANNELS, WIDE, WIDE)).astype(np.float32)

    def as_written(options: Any) -> None:
        import onnxruntime

        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL

    return dict(zip(names, open_session(copy.SerializeToString(), as_written).run(names, {graph.inputs[0]: x}), strict=True))


def ranges_of(graph: Graph) -> dict[str, Range]:
    found = {}
    for name, value in values_of(graph, graph.model, [name for name in graph.float_tensors if name != "x"]).items():
        low, high = min(float(value.min()), 0.0), max(float(value.max()), 0.0)
        found[name] = Range(low, high, max(-low, high), "minmax", low, high)
    return {"x": Range(-4, 4, 4, "minmax", -4, 4), **found}


def ops(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]


CONV: Weights = {"w1": (CHANNELS, CHANNELS, 1, 1), "w2": (CHANNELS, CHANNELS, 1, 1)}
FIRST = [NODE("Conv", ["x", "w1", "b1"], ["made"], "first"), NODE("Relu", ["made"], ["h"], "relu")]
LAST = NODE("Conv", ["h", "w2", "b2"], ["y"], "last")


def errors(graph: Graph) -> tuple[float, float]:
    """Mean square error of y with TensorRT's layout, moved and not, the first layer in float."""
    ranges = ranges_of(graph)
    exact = values_of(graph, graph.model, ["y"])["y"]
    found = []
    for move in (True, False):
        model = quantize(graph, ranges, "trt", ["first", "other"], move=move)
        found.append(float(np.mean((values_of(graph, model, ["y"])["y"] - exact) ** 2)))
        assert build_with_rtx(model)
        assert build_with_rtx(half_around_int8(model, "shifted"))
    return found[0], found[1]


def test_behind_a_relu_the_relu_goes_and_every_level_serves() -> None:
    graph = graph_of([*FIRST, LAST], CONV, ("b1", "b2"))
    ranges = ranges_of(graph)
    model = quantize(graph, ranges, "trt", ["first"])
    assert "Relu" not in ops(model), "rounding cuts at 0"
    assert "Sub" not in ops(model), "the biases take it"
    constants = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    assert constants["h/zero_point"].dtype == np.int8
    assert constants["h/zero_point"] == 0, "TensorRT knows no other zero point"
    values = values_of(graph, graph.model, ["h", "y"])
    # By hand: h on 256 levels from 0, weights of 8 bits.
    scale = constants["h/scale"].astype(np.float64)
    held = np.clip(np.rint(values["h"][0] / scale), 0, 255) * scale
    weights = constants["y/weight/int8"][:, :, 0, 0] * constants["y/weight/scale"].astype(np.float64)[:, None]
    wanted = np.einsum("oc,chw->ohw", weights, held) + graph.constants["b2"][:, None, None]
    np.testing.assert_allclose(values_of(graph, model, ["y"])["y"][0], wanted, atol=2e-5)


@pytest.mark.parametrize("biases", [("b1", "b2"), ()])
def test_the_error_of_what_is_rounded_falls_to_a_quarter(biases: tuple[str, ...]) -> None:
    nodes = [NODE("Conv", ["x", "w1", *biases[:1]], ["made"], "first"), FIRST[1], NODE("Conv", ["h", "w2", *biases[1:]], ["y"], "last")]
    graph = graph_of(nodes, CONV, biases, signs=True)
    moved, still = errors(graph)
    assert 0 < moved < 0.4 * still


def test_padding_is_a_zero_so_such_a_reader_keeps_the_tensor_where_it_lies() -> None:
    padded = NODE("Conv", ["h", "w3", "b2"], ["y"], "last", pads=[1, 1, 1, 1])
    graph = graph_of([*FIRST, padded], {**CONV, "w3": (CHANNELS, CHANNELS, 3, 3)}, ("b1", "b2"))
    ranges = ranges_of(graph)
    assert quantize(graph, ranges, "trt") == quantize(graph, ranges, "trt", move=False)
    same = NODE("Conv", ["h", "w3", "b2"], ["y"], "last", auto_pad="SAME_UPPER")
    graph = graph_of([*FIRST, same], {**CONV, "w3": (CHANNELS, CHANNELS, 3, 3)}, ("b1", "b2"))
    assert quantize(graph, ranges_of(graph), "trt") == quantize(graph, ranges_of(graph), "trt", move=False)


def test_the_grid_that_biases_are_corrected_for_is_the_graph_s_own() -> None:
    """The scale is rounded to float16, so the zero point has to be counted from the rounded one."""
    graph = graph_of([NODE("Conv", ["x", "w1", "b1"], ["made"], "first"), NODE("Sigmoid", ["made"], ["g"], "gate"),
                      NODE("Mul", ["made", "g"], ["h"], "silu"), LAST], CONV, ("b1", "b2"))  # fmt: skip
    for low in np.linspace(-0.9, -0.1, 40):
        ranges = ranges_of(graph) | {"h": Range(float(low), 3.1, 3.1, "minmax", float(low), 3.1)}
        model = quantize(graph, ranges, "trt", ["first"])
        constants = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
        scale, zero = grids(graph, ranges, "trt")["h"]
        assert scale == constants["h/scale"]
        assert (128 - float(zero)) * scale == constants["h/middle"]


def test_a_large_filter_without_padding_serves() -> None:
    valid = NODE("Conv", ["h", "w3", "b2"], ["y"], "last", strides=[2, 2])
    moved, still = errors(graph_of([*FIRST, valid], {**CONV, "w3": (CHANNELS, CHANNELS, 3, 3)}, ("b1", "b2")))
    assert moved < still


def test_groups_give_back_their_own_sums() -> None:
    grouped = NODE("Conv", ["h", "w4", "b2"], ["y"], "last", group=2)
    moved, still = errors(graph_of([*FIRST, grouped], {**CONV, "w4": (CHANNELS, CHANNELS // 2, 1, 1)}, ("b1", "b2")))
    assert moved < still


def test_who_reads_the_tensor_in_float_sees_it_as_it_is() -> None:
    pooled = NODE("GlobalAveragePool", ["h"], ["mean"], "pool")
    graph = graph_of([*FIRST, LAST, pooled], CONV, ("b1", "b2"), ("y", "mean"))
    model = quantize(graph, ranges_of(graph), "trt", ["first"])
    assert ops(model).count("Sub") == 1
    assert "Relu" in ops(model)
    np.testing.assert_allclose(values_of(graph, model, ["mean"])["mean"], values_of(graph, graph.model, ["mean"])["mean"], rtol=1e-6)


def test_behind_silu_one_subtraction_does_it() -> None:
    silu = [FIRST[0], NODE("Sigmoid", ["made"], ["gate"], "gate"), NODE("Mul", ["made", "gate"], ["h"], "silu"), LAST]
    graph = graph_of(silu, CONV, ("b1", "b2"))
    moved, still = errors(graph)
    assert moved < 0.7 * still
    assert ops(quantize(graph, ranges_of(graph), "trt", ["first"])).count("Sub") == 1


def test_a_sum_is_moved_by_the_bias_of_the_layer_that_it_is_computed_with() -> None:
    nodes = [
        NODE("Conv", ["x", "w1", "b1"], ["shortcut"], "first"),
        NODE("Conv", ["shortcut", "w3", "b3"], ["made"], "middle", pads=[1, 1, 1, 1]),
        NODE("Add", ["made", "shortcut"], ["sum"], "sum"),
        NODE("Relu", ["sum"], ["h"], "relu"),
        LAST,
    ]
    graph = graph_of(nodes, {**CONV, "w3": (CHANNELS, CHANNELS, 3, 3)}, ("b1", "b2", "b3"))
    model = quantize(graph, ranges_of(graph), "trt", ["first"])
    assert "Relu" not in ops(model)
    assert "Sub" not in ops(model)
    moved, still = errors(graph)
    assert moved < still


def test_a_layer_that_leaves_the_network_too_gives_nothing_to_a_sum() -> None:
    nodes = [
        NODE("Conv", ["x", "w1", "b1"], ["made"], "first"),
        NODE("Add", ["made", "x"], ["sum"], "sum"),
        NODE("Relu", ["sum"], ["h"], "relu"),
        LAST,
    ]
    graph = graph_of(nodes, CONV, ("b1", "b2"), ("y", "made"))
    model = quantize(graph, ranges_of(graph), "trt", ["first"])
    np.testing.assert_allclose(values_of(graph, model, ["made"])["made"], values_of(graph, graph.model, ["made"])["made"], rtol=1e-6)
    assert ops(model).count("Sub") == 1


def test_what_a_concatenation_joins_is_moved_together_or_not_at_all() -> None:
    nodes = [
        *FIRST,
        NODE("Conv", ["x", "w2", "b2"], ["made2"], "other"),
        NODE("Relu", ["made2"], ["h2"], "relu2"),
        NODE("Concat", ["h", "h2"], ["both"], "join", axis=1),
        NODE("Conv", ["both", "w5"], ["y"], "last"),
    ]
    weights: Weights = {**CONV, "w5": (CHANNELS, 2 * CHANNELS, 1, 1)}
    graph = graph_of(nodes, weights, ("b1", "b2"))
    model = quantize(graph, ranges_of(graph), "trt", ["first", "other"])
    assert "Relu" not in ops(model)
    moved, still = errors(graph)
    assert moved < 0.7 * still
    # The concatenation is read in float too, so nothing of it is moved.
    pooled = NODE("GlobalAveragePool", ["both"], ["mean"], "pool")
    graph = graph_of([*nodes, pooled], weights, ("b1", "b2"), ("y", "mean"))
    ranges = ranges_of(graph)
    assert quantize(graph, ranges, "trt") == quantize(graph, ranges, "trt", move=False)


def test_ends_of_equal_reach_and_other_sides_share_one_grid() -> None:
    """Ranges that share their largest magnitude and not their low end once kept grids of their own, which a concatenation cannot have."""
    nodes = [
        *FIRST,
        NODE("Conv", ["x", "w2", "b2"], ["h2"], "other"),
        NODE("Concat", ["h", "h2"], ["both"], "join", axis=1),
        NODE("Conv", ["both", "w5"], ["y"], "last"),
    ]
    graph = graph_of(nodes, {**CONV, "w5": (CHANNELS, 2 * CHANNELS, 1, 1)}, ("b1", "b2"))
    ranges = ranges_of(graph) | {
        "h": Range(0, 12, 12, "mse", 0, 12),
        "h2": Range(-5, 12, 12, "mse", -5, 12),
        "both": Range(-5, 12, 12, "mse", -5, 12),
    }
    model = quantize(graph, ranges, "trt", ["first", "other"])
    constants = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    assert constants["h/scale"] == constants["h2/scale"] == constants["both/scale"]
    exact, found = (values_of(graph, one, ["y"])["y"] for one in (graph.model, model))
    assert np.abs(found - exact).max() < 0.1 * np.abs(exact).max()


def test_a_clip_that_the_range_passes_stays() -> None:
    nodes = [FIRST[0], NODE("Clip", ["made", "zero", "six"], ["h"], "clip"), LAST]
    graph = graph_of(nodes, CONV, ("b1", "b2"))
    ranges = ranges_of(graph)
    assert "Clip" not in ops(quantize(graph, ranges | {"h": Range(0, 5.5, 5.5, "mse", 0, 6)}, "trt", ["first"]))
    wider = quantize(graph, ranges | {"h": Range(0, 7, 7, "mse", 0, 7)}, "trt", ["first"])
    assert "Clip" in ops(wider)
    assert ops(wider).count("Sub") == 1


def test_corrections_and_what_is_given_back_add_up() -> None:
    graph = graph_of([*FIRST, LAST], CONV, ("b1", "b2"))
    ranges = ranges_of(graph)
    taken = np.linspace(-1, 1, CHANNELS).astype(np.float32)
    plain, corrected = (
        values_of(graph, quantize(graph, ranges, "trt", ["first"], corrections), ["y"])["y"]
        for corrections in (None, Corrections(bias={"last": taken}))
    )
    np.testing.assert_allclose(plain - corrected, np.broadcast_to(taken[None, :, None, None], plain.shape), atol=1e-5)


def test_what_lies_on_both_sides_of_0_stays() -> None:
    graph = graph_of([FIRST[0], NODE("Conv", ["made", "w2", "b2"], ["y"], "last")], CONV, ("b1", "b2"))
    ranges = ranges_of(graph) | {"made": Range(-3, 4, 4, "mse", -3, 4)}
    assert quantize(graph, ranges, "trt") == quantize(graph, ranges, "trt", move=False)


def test_float8_has_the_most_levels_around_0_and_is_not_moved() -> None:
    graph = graph_of([*FIRST, LAST], CONV, ("b1", "b2"))
    assert "Relu" in ops(quantize_fp8(graph, ranges_of(graph), ["first"]))


def test_scales_are_those_that_float16_holds() -> None:
    held = as_float16_holds(np.array([1e-6, 7e-5, 0.1, 1e5]))
    assert held[0] == np.finfo(np.float16).tiny
    assert (held[1:3] == np.array([7e-5, 0.1], np.float16)).all()
    assert held[3] == np.float32(1e5), "too large for float16: half_around_int8 names it, and the graph with float32 around INT8 needs it"


def test_a_layer_whose_weights_float16_has_no_scale_for_stays_in_float_for_tensorrt() -> None:
    names = [*(f"w{one}" for one in range(60)), "tiny"]
    nodes = [NODE("Conv", ["x" if one == 0 else f"y{one - 1}", name], [f"y{one}"], name) for one, name in enumerate(names)]
    nodes += [NODE("Relu", [f"y{len(names) - 1}"], ["y"], "relu")]
    graph = graph_of(nodes, dict.fromkeys(names, (CHANNELS, CHANNELS, 1, 1)))
    # The first sees the picture; all others a fourth of it.
    shapes = dict.fromkeys(graph.float_tensors, (1, CHANNELS, WIDE // 2, WIDE // 2)) | {"x": (1, CHANNELS, 2 * WIDE, 2 * WIDE)}
    kept = {layout: set(kept_by_default(graph, shapes, layout)) for layout in ("ort", "trt")}
    assert "tiny" in kept["trt"]
    assert "tiny" not in kept["ort"]
    assert len(kept["trt"]) <= 3
