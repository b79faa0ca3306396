"""What float16's scales cost a layer counts by what its readers make of each channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from posetrt.calib.int8.heard import coarsened, heard
from posetrt.export.graph.graph import Graph
from tests.calib.int8.test_operators import graph_of

QUIET = 3
"""The channel whose weights are small."""


def weights(loud: bool) -> dict[str, NDArray[np.float32]]:
    """w1, whose channel QUIET has weights that float16 has no scale for, and w2, which makes up for them where `loud`."""
    random = np.random.default_rng(3)
    first, second = (random.normal(0, 0.4, (8, 8, 1, 1)).astype(np.float32) for _ in range(2))
    first[QUIET] *= 1e-6
    if loud:
        second[:, QUIET] *= 1e6
    return {"w1": first, "w2": second}


def of_two(between: list[Any], extra: dict[str, NDArray[Any]], loud: bool, reads: str = "a") -> float:
    """`coarsened` of the first of two convolutions with nodes between them; these read y1 and write what the second reads."""
    nodes = [("Conv", ["x", "w1"], "y1", {}), *between, ("Conv", [reads, "w2"], "y", {})]
    graph = graph_of(nodes, {**weights(loud), **extra}, {"x": [1, 8, 4, 4], "y": [1, 8, 4, 4]})
    return coarsened(graph, graph.layers[0], heard(graph))


RELU = ("Relu", ["y1"], "a", {})
SILU = [("Sigmoid", ["y1"], "s", {}), ("Mul", ["y1", "s"], "a", {})]


@pytest.mark.parametrize("between", [[RELU], SILU], ids=["ReLU", "SiLU"])
def test_a_channel_counts_by_what_its_reader_makes_of_it(between: list[Any]) -> None:
    assert of_two(between, {}, loud=False) < 1.01, "it hardly differs from its bias, and its reader does not multiply by more"
    assert of_two(between, {}, loud=True) > 100


def test_channels_without_any_weight_do_not_hide_the_others() -> None:
    """Their scale is 1, a thousand times the others'."""
    nodes = [("Conv", ["x", "w1"], "y1", {}), RELU, ("Conv", ["a", "w2"], "y", {})]
    arrays = weights(loud=True)
    arrays["w1"][5] = 0
    graph = graph_of(nodes, arrays, {"x": [1, 8, 4, 4], "y": [1, 8, 4, 4]})
    assert coarsened(graph, graph.layers[0], heard(graph)) > 100
    arrays["w1"][:] = 0
    graph = graph_of(nodes, arrays, {"x": [1, 8, 4, 4], "y": [1, 8, 4, 4]})
    assert coarsened(graph, graph.layers[0], heard(graph)) == 1


def test_a_factor_between_a_layer_and_its_reader_counts() -> None:
    scale = np.ones((1, 8, 1, 1), np.float32)
    scale[0, QUIET] = 1e6
    between = [RELU, ("Mul", ["a", "scale"], "b", {})]
    assert of_two(between, {"scale": scale}, loud=False, reads="b") > 100
    assert of_two(between, {"scale": np.float32([2])}, loud=False, reads="b") < 1.01


def test_a_depthwise_reader_counts_with_its_own_readers() -> None:
    depthwise = np.full((8, 1, 3, 3), 0.3, np.float32)
    between = [RELU, ("Conv", ["a", "wd"], "d", {"group": 8, "pads": [1, 1, 1, 1]})]
    assert of_two(between, {"wd": depthwise}, loud=False, reads="d") < 1.01
    assert of_two(between, {"wd": depthwise}, loud=True, reads="d") > 100
    depthwise[QUIET] *= 1e6
    assert of_two(between, {"wd": depthwise}, loud=False, reads="d") > 100


def test_the_reader_that_makes_most_of_a_channel_decides_whichever_comes_first() -> None:
    for order in ((False, True), (True, False)):
        arrays = weights(loud=order[0]) | {"w3": weights(loud=order[1])["w2"]}
        nodes = [
            ("Conv", ["x", "w1"], "y1", {}), RELU, ("Conv", ["a", "w2"], "y2", {}), ("Conv", ["a", "w3"], "y3", {}),
            ("Add", ["y2", "y3"], "y", {}),
        ]  # fmt: skip
        graph = graph_of(nodes, arrays, {"x": [1, 8, 4, 4], "y": [1, 8, 4, 4]})
        assert coarsened(graph, graph.layers[0], heard(graph)) > 100


def test_where_the_readers_are_not_known_or_it_is_an_output_channels_count_alike() -> None:
    shape = {"shape": np.int64([1, 8, 4, 4])}
    assert of_two([RELU, ("Reshape", ["a", "shape"], "r", {})], shape, loud=True, reads="r") < 1.01
    nodes = [("Conv", ["x", "w1"], "y1", {}), ("Relu", ["y1"], "a", {}), ("Conv", ["a", "w2"], "y", {})]
    arrays = weights(loud=False)
    arrays["w1"][:4] *= 1e-6
    arrays["w2"][:, :4] = 1e-9
    alone = graph_of(nodes, arrays, {"x": [1, 8, 4, 4], "y": [1, 8, 4, 4]})
    shown = alone.copy()
    shown.model.graph.output.append(onnx.helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, [1, 8, 4, 4]))
    shown = Graph(shown.model, "shown.onnx")
    assert heard(alone)["y1"] is not None
    assert heard(shown)["y1"] is None


def test_many_blocks_with_a_shortcut_around_a_depthwise_layer_are_followed_once() -> None:
    """Each block was followed along both of its ways, so that forty took longer than anybody waits."""
    nodes: list[Any] = []
    for block in range(40):
        nodes += [("Conv", [f"x{block}", "wd"], f"d{block}", {"group": 8, "pads": [1, 1, 1, 1]})]
        nodes += [("Add", [f"x{block}", f"d{block}"], f"x{block + 1}", {})]
    nodes += [("Conv", ["x40", "w2"], "y", {})]
    arrays = weights(loud=False) | {"wd": np.full((8, 1, 3, 3), 0.1, np.float32)}
    graph = graph_of(nodes, arrays, {"x0": [1, 8, 4, 4], "y": [1, 8, 4, 4]})
    factors = heard(graph)
    assert factors["x0"] is not None
    assert np.isfinite(factors["x0"]).all()
