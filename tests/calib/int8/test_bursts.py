"""Photographs on which a tensor reaches much further than on all others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from posetrt.calib.int8.calibrate import find_bursts, find_ranges
from posetrt.calib.int8.observe import Observation, observe
from posetrt.export.graph.graph import Graph


def chain() -> Graph:
    """A convolution that keeps its input, ReLU, and one that makes the output."""
    same = np.eye(2, dtype=np.float32).reshape(2, 2, 1, 1)
    nodes = [
        onnx.helper.make_node("Conv", ["x", "same"], ["made"], "first"),
        onnx.helper.make_node("Relu", ["made"], ["held"], "relu"),
        onnx.helper.make_node("Conv", ["held", "same"], ["y"], "last"),
    ]
    info = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 2, 16, 16]) for name in ("x", "y")]
    graph = onnx.helper.make_graph(nodes, "chain", info[:1], info[1:], [onnx.numpy_helper.from_array(same, "same")])
    return Graph(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), "chain.onnx")


def look(graph: Graph, reaches: list[float], people: set[int]) -> Observation:
    random = np.random.default_rng(0)
    images = [(Path(f"{index:03}.jpg"), random.uniform(0, reach, (1, 2, 16, 16)).astype(np.float32)) for index, reach in enumerate(reaches)]

    def inputs() -> Iterator[tuple[Path, np.ndarray]]:
        yield from images

    asked = iter(range(len(images)))
    return observe(graph, inputs(), people_in=lambda _outputs: next(asked) in people)


def test_two_photographs_of_a_hundred_do_not_set_the_range_and_are_named() -> None:
    graph = chain()
    reaches = [0.06] * 98
    reaches[30:30] = [3.1, 3.2]
    seen = look(graph, reaches, set(range(100)))
    for method in ("mse", "minmax", "entropy"):
        found = find_ranges(graph, seen, method)["held"]
        assert found.high < 0.07, method
        assert found.seen_high == pytest.approx(3.2, rel=0.02), "what was seen is told as it was"
    burst = find_bursts(graph, seen)["held"]
    assert (burst["photographs"], burst["names"]) == (2, ["031.jpg", "030.jpg"])


def test_what_only_people_make_is_no_burst_where_most_photographs_show_nobody() -> None:
    graph = chain()
    seen = look(graph, [0.05] * 95 + [3.0] * 5, set(range(95, 100)))
    assert find_ranges(graph, seen, "mse")["held"].high > 2
    assert "held" not in find_bursts(graph, seen)


def test_the_maps_keep_their_peaks() -> None:
    graph = chain()
    seen = look(graph, [0.05] * 95 + [3.0] * 5, set(range(100)))
    assert find_ranges(graph, seen, "mse")["y"].high == pytest.approx(3.0, rel=0.01)
