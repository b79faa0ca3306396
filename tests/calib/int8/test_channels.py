"""What keeps INT8 close where an activation is no ReLU, and where one channel reaches much further than the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from posetrt.calib.int8.calibrate import find_ranges, keep_peaks
from posetrt.calib.int8.channels import by_channel, steps, with_channel_ranges
from posetrt.calib.int8.curves import curve_behind
from posetrt.calib.int8.dense import streams
from posetrt.calib.int8.equalise import divisors, equalised, watched
from posetrt.calib.int8.fp8 import LARGEST, quantize_fp8
from posetrt.calib.int8.observe import channel_ends, channel_peaks, observe
from posetrt.calib.int8.quantize import quantize
from posetrt.calib.int8.ranges import Range
from posetrt.calib.int8.scales import Layout
from posetrt.export.graph.float16 import half_around_int8
from posetrt.export.graph.graph import Graph
from posetrt.runtime.engines.onnxruntime import open_session
from tests.calib.int8.test_operators import graph_of
from tests.rtx import build_with_rtx

RANDOM = np.random.default_rng(3)
REACHES = np.array([30, 1, 1, 0.5, 1, 2, 1, 1], np.float32)


def gated() -> Graph:
    """Two convolutions with SiLU, of which the first has a channel that reaches thirty times as far as the others, and an output."""
    first = RANDOM.standard_normal((8, 3, 1, 1)).astype(np.float32) * REACHES.reshape(-1, 1, 1, 1)
    weights = {"a": first, "b": RANDOM.standard_normal((8, 8, 3, 3)).astype(np.float32) / REACHES.reshape(1, -1, 1, 1) / 8}
    weights |= {"c": RANDOM.standard_normal((4, 8, 1, 1)).astype(np.float32), "bias": RANDOM.standard_normal(8).astype(np.float32)}
    nodes = [
        ("Conv", ["x", "a", "bias"], "one", {}),
        ("Sigmoid", ["one"], "one/gate", {}),
        ("Mul", ["one", "one/gate"], "one/silu", {}),
        ("Conv", ["one/silu", "b"], "two", {"pads": [1, 1, 1, 1]}),
        ("Sigmoid", ["two"], "two/gate", {}),
        ("Mul", ["two", "two/gate"], "two/silu", {}),
        ("Conv", ["two/silu", "c"], "y", {}),
    ]
    return graph_of(nodes, weights, {"x": [1, 3, 16, 16], "y": [1, 4, 16, 16]})


def inputs(count: int = 6) -> list[tuple[Path, NDArray[np.float32]]]:
    return [
        (Path(f"{index}.jpg"), np.random.default_rng(index).standard_normal((1, 3, 16, 16)).astype(np.float32)) for index in range(count)
    ]


def outputs(model: onnx.ModelProto) -> NDArray[np.float32]:
    session = open_session(model.SerializeToString())
    return np.concatenate([session.run(None, {"x": tensor})[0] for _, tensor in inputs()])


def error(graph: Graph, ranges: dict[str, Range], layout: Layout = "ort", kept_float: Sequence[str] = ()) -> float:
    wanted = outputs(graph.model)
    found = outputs(quantize(graph, ranges, layout, kept_float))
    return float(np.square(found - wanted).mean() / np.square(wanted).mean())


def test_the_curve_behind_a_tensor_is_what_the_graph_computes_and_there_is_none_where_it_is_seen_as_it_is() -> None:
    graph = gated()
    curve = curve_behind(graph, "one")
    assert curve is not None
    values = np.linspace(-8, 8, 33)
    np.testing.assert_allclose(curve(values), [values / (1 + np.exp(-values))], atol=1e-5)
    assert curve_behind(graph, "one/silu") is None, "a convolution reads it"
    assert curve_behind(graph, "y") is None, "it leaves the network"


def test_a_range_before_silu_keeps_what_silu_lets_through() -> None:
    graph = gated()
    seen = observe(graph, inputs())
    ranges = find_ranges(graph, seen, "mse")
    assert seen.tensors["one"].distribution().low < -60
    assert ranges["one"].low > -12, "far below 0 SiLU gives 0"
    assert ranges["one"].high > 0.8 * seen.tensors["one"].distribution().high


def test_each_channel_before_silu_gets_its_own_steps_in_onnx_runtimes_layout_and_the_convolutions_stay_in_8_bits() -> None:
    graph = gated()
    whole = find_ranges(graph, observe(graph, inputs()), "mse")
    assert by_channel(graph) == ["one", "two"]
    ranges = with_channel_ranges(whole, channel_ends(graph, by_channel(graph), inputs()))
    step, zero = steps(ranges["one"])
    assert step[0] > 5 * np.median(step)
    assert zero.dtype == np.uint8
    plain = {name: replace(one, lows=(), highs=()) for name, one in ranges.items()}
    behind = ("two", "y")
    assert error(graph, ranges, kept_float=behind) < 0.5 * error(graph, plain, kept_float=behind), "what the first alone rounds"
    assert error(graph, ranges, "trt") == error(graph, plain, "trt"), "TensorRT rounds nothing before an activation"


def shuffled() -> Graph:
    """Two branches with a ReLU, a channel of one thirty times as large, whose concatenation is shuffled before a layer reads half of it."""
    random = np.random.default_rng(4)
    weights = {name: random.standard_normal((8, 3, 1, 1)).astype(np.float32) for name in ("a", "b")}
    weights["a"] *= REACHES.reshape(-1, 1, 1, 1)
    weights["c"] = random.standard_normal((4, 8, 3, 3)).astype(np.float32)
    weights["c"][:, ::2] /= REACHES[:4].reshape(1, -1, 1, 1)  # after the shuffle the channels of both branches alternate
    weights |= {"pairs": np.array([1, 2, 8, 16, 16]), "whole": np.array([1, 16, 16, 16])}
    weights |= {"from": np.array([0]), "to": np.array([8]), "axis": np.array([1])}
    nodes = [
        ("Conv", ["x", "a"], "large", {}),
        ("Relu", ["large"], "large/relu", {}),
        ("Conv", ["x", "b"], "small", {}),
        ("Relu", ["small"], "small/relu", {}),
        ("Concat", ["large/relu", "small/relu"], "both", {"axis": 1}),
        ("Reshape", ["both", "pairs"], "pairs/out", {}),
        ("Transpose", ["pairs/out"], "turned", {"perm": [0, 2, 1, 3, 4]}),
        ("Reshape", ["turned", "whole"], "mixed", {}),
        ("Slice", ["mixed", "from", "to", "axis"], "left", {}),
        ("Conv", ["left", "c"], "y", {"pads": [1, 1, 1, 1]}),
    ]
    return graph_of(nodes, weights, {"x": [1, 3, 16, 16], "y": [1, 4, 16, 16]})


def test_branches_of_unlike_reach_share_no_range_where_only_a_shuffle_reads_their_concatenation() -> None:
    graph = shuffled()
    whole = find_ranges(graph, observe(graph, inputs()), "mse")
    assert by_channel(graph) == ["large/relu", "small/relu"]
    ranges = with_channel_ranges(whole, channel_ends(graph, by_channel(graph), inputs()))
    written = {name for node in quantize(graph, ranges, "ort").graph.node if node.op_type == "QuantizeLinear" for name in node.input[:1]}
    assert "both" not in written
    assert "left" in written, "a layer reads it in 8 bits"
    assert keep_peaks(graph) == {"x", "y"}, "no map is among what is concatenated"
    plain = {name: replace(one, lows=(), highs=()) for name, one in ranges.items()}
    behind = ("y",)
    assert error(graph, ranges, kept_float=behind) < 0.7 * error(graph, plain, kept_float=behind)


def test_channels_before_a_dense_convolution_are_brought_closer_where_one_reaches_far() -> None:
    graph = gated()
    linear = graph.copy().model
    kept = [node for node in linear.graph.node if node.op_type not in ("Sigmoid", "Mul")]
    for node in kept:
        node.input[0] = node.input[0].removesuffix("/silu")
    del linear.graph.node[:]
    linear.graph.node.extend(kept)
    graph = Graph(linear, "linear.onnx")
    scales = divisors(graph, channel_peaks(graph, watched(graph), inputs()))
    assert set(scales) == {"one"}
    even = equalised(graph, scales)
    np.testing.assert_allclose(outputs(even.model), outputs(graph.model), rtol=1e-3, atol=1e-3)
    layouts: tuple[Layout, ...] = ("ort", "trt")
    for layout in layouts:
        before, after = (error(one, find_ranges(one, observe(one, inputs()), "mse"), layout) for one in (graph, even))
        assert after < 0.5 * before


def test_channels_along_a_residual_sum_are_evened_together_and_not_where_something_else_reads_them() -> None:
    """As MobileNetV2's and BlazePose's linear bottlenecks: blocks without an activation at their end, and a shortcut."""
    spread = REACHES.reshape(-1, 1, 1, 1)
    weights = {"a": RANDOM.standard_normal((8, 3, 1, 1)).astype(np.float32) * spread, "bias": RANDOM.standard_normal(8).astype(np.float32)}
    weights |= {"b": RANDOM.standard_normal((16, 8, 1, 1)).astype(np.float32) / REACHES.reshape(1, -1, 1, 1)}
    weights |= {"c": RANDOM.standard_normal((8, 16, 1, 1)).astype(np.float32) * spread / 8}
    weights |= {"d": RANDOM.standard_normal((4, 8, 1, 1)).astype(np.float32) / REACHES.reshape(1, -1, 1, 1)}
    nodes = [
        ("Conv", ["x", "a", "bias"], "one", {}),
        ("Conv", ["one", "b"], "wide", {}),
        ("Relu", ["wide"], "wide/relu", {}),
        ("Conv", ["wide/relu", "c"], "two", {}),
        ("Add", ["one", "two"], "sum", {}),
        ("Conv", ["sum", "d"], "y", {}),
    ]
    graph = graph_of(nodes, weights, {"x": [1, 3, 16, 16], "y": [1, 4, 16, 16]})
    scales = divisors(graph, channel_peaks(graph, watched(graph), inputs()))
    assert set(scales) == {"one", "two"}
    np.testing.assert_array_equal(scales["one"], scales["two"])
    even = equalised(graph, scales)
    np.testing.assert_allclose(outputs(even.model), outputs(graph.model), rtol=1e-3, atol=1e-3)
    before, after = (error(one, find_ranges(one, observe(one, inputs()), "mse"), "trt") for one in (graph, even))
    assert after < 0.5 * before
    seen = graph_of([*nodes, ("Sigmoid", ["sum"], "z", {})], weights, {"x": [1, 3, 16, 16], "y": [1, 4, 16, 16], "z": [1, 8, 16, 16]})
    assert not streams(seen)


def test_the_fp8_graph_holds_float8_alone_and_computes_nearly_the_same() -> None:
    graph = gated()
    model = quantize_fp8(graph, find_ranges(graph, observe(graph, inputs()), "mse"))
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    assert onnx.TensorProto.INT8 not in kinds
    assert onnx.TensorProto.FLOAT8E4M3FN in kinds
    scale = next(onnx.numpy_helper.to_array(one) for one in model.graph.initializer if one.name == "x/scale")
    assert float(scale) * LARGEST > 2, "the largest value seen is the largest that float8 has"
    wanted, found = outputs(graph.model), outputs(model)
    assert np.square(found - wanted).mean() < 0.02 * np.square(wanted).mean()
    half = half_around_int8(model, "drawn")
    for one in (model, half):
        assert build_with_rtx(one, capability="SM89")
    assert np.square(outputs(half) - wanted).mean() < 0.02 * np.square(wanted).mean()
