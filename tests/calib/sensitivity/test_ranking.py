"""In which order layers leave INT8: on a small network, with errors that were made up so that the right order is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from posetrt.calib.int8.plan import eight_bit_layers
from posetrt.calib.sensitivity import choice
from posetrt.calib.sensitivity.choice import choose_float
from posetrt.calib.sensitivity.measure import LayerCost
from posetrt.calib.sensitivity.ranking import from_the_end, ranked_by_measuring, ranked_by_shares
from posetrt.export.graph.graph import Graph, load_graph
from posetrt.runtime.model.folder import ModelFolder
from tests.calib.int8.test_operators import graph_of


def equal_shares(graph: Graph) -> dict[str, float]:
    return {layer.name: 1 / len(graph.layers) for layer in graph.layers}


def made_up(falls: dict[frozenset[str], float], tried: list[tuple[str, ...]]) -> Callable[[Sequence[str]], NDArray[np.float64]]:
    """An error that falls to exp(-x) of what it was where all of a set are in float; the second photograph's is a million times as large."""

    def errors(kept: Sequence[str]) -> NDArray[np.float64]:
        tried.append(tuple(kept))
        return np.array([1.0, 1e6]) * np.exp(-sum(fall for together, fall in falls.items() if together <= set(kept)))

    return errors


def test_what_lowers_the_error_most_for_its_multiply_adds_comes_first_and_what_raises_it_never(small_folder: ModelFolder) -> None:
    graph = load_graph(small_folder.onnx)
    falls = {frozenset({"first"}): 0.5, frozenset({"heatmaps"}): 0.2, frozenset({"pafs"}): -0.3}
    order = ranked_by_measuring(graph, made_up(falls, []), equal_shares(graph), "trt", 0.0)
    assert order == ["first", "heatmaps"]
    dear = {**equal_shares(graph), "first": 0.9}
    assert ranked_by_measuring(graph, made_up(falls, []), dear, "trt", 0.0) == ["heatmaps", "first"]


def test_layers_that_help_only_together_are_found(small_folder: ModelFolder) -> None:
    graph, tried = load_graph(small_folder.onnx), []
    falls = {frozenset({"depth", "point"}): 1.0, frozenset({"heatmaps"}): 0.1}
    order = ranked_by_measuring(graph, made_up(falls, tried), equal_shares(graph), "trt", 0.0)
    assert order == ["depth", "point", "heatmaps"]
    assert ("depth", "point", "smooth") in tried
    assert ("depth", "head") not in tried, "they do not read each other"


def test_layers_kept_by_default_come_first_and_enough_stays_in_int8(small_folder: ModelFolder) -> None:
    graph, tried = load_graph(small_folder.onnx), []
    falls = {frozenset({name}): 0.1 * place for place, name in enumerate(("side", "head", "point", "smooth", "first"), 1)}
    shares = equal_shares(graph)
    order = ranked_by_measuring(graph, made_up(falls, tried), shares, "ort", 0.6, begin_with=("side",))
    assert order[0] == "side"
    assert tried[0] == ("side",)
    assert sum(shares[name] for name in eight_bit_layers(graph, "ort", order)) >= 0.6
    assert all(order == ["side", *order[1:]] and len(set(order)) == len(order) for order in map(list, tried))


def test_what_was_taken_along_is_not_put_into_float_again(small_folder: ModelFolder) -> None:
    """In ONNX Runtime's layout the layer before a kept one leaves INT8 with it: both count, and it is not chosen later."""
    graph = load_graph(small_folder.onnx)
    assert "depth" not in eight_bit_layers(graph, "ort", ["point"])
    falls = {frozenset({"point"}): 1.0, frozenset({"depth"}): 0.1}
    assert ranked_by_measuring(graph, made_up(falls, []), equal_shares(graph), "ort", 0.0) == ["point"]
    noise = {"point": 1.0, "depth": 0.5, "first": 0.01}
    order = ranked_by_shares(graph, noise, equal_shares(graph), "ort", 0.0)
    assert order[0] == "point"
    assert "depth" not in order


def test_layers_stay_in_int8_whose_share_of_the_noise_is_no_larger_than_that_of_the_multiply_adds(small_folder: ModelFolder) -> None:
    graph = load_graph(small_folder.onnx)
    shares = equal_shares(graph)
    noise = dict.fromkeys(shares, 0.5 / len(shares)) | {"smooth": 3 / len(shares), "head": 2 / len(shares)}
    assert ranked_by_shares(graph, noise, shares, "trt", 0.0, ["side"], least_worth=1.0) == ["side", "smooth", "head"]


def test_ranking_ends_where_enough_is_reached_and_after_so_many_graphs(small_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, asked, tried = load_graph(small_folder.onnx), [], []
    falls = {frozenset({layer.name}): 2.0**-place for place, layer in enumerate(graph.layers)}

    def enough(order: Sequence[str]) -> bool:
        asked.append(list(order))
        return len(order) >= 3

    order = ranked_by_measuring(graph, made_up(falls, []), equal_shares(graph), "trt", 0.0, enough=enough)
    assert len(order) >= 3
    assert asked[-1] == order
    assert all(len(one) < 3 for one in asked[:-1])
    monkeypatch.setattr("posetrt.calib.sensitivity.ranking.MOST_GRAPHS", 5)
    assert ranked_by_measuring(graph, made_up(falls, tried), equal_shares(graph), "trt", 0.0) == []
    assert len(tried) == 5


def test_each_run_is_tried_once_and_then_only_what_still_promises_most(small_folder: ModelFolder) -> None:
    """Where worths only shrink, the lazy order is the greedy one, with fewer graphs."""
    graph, tried, told = load_graph(small_folder.onnx), [], []
    falls = {frozenset({layer.name}): 2.0**-place for place, layer in enumerate(graph.layers)}
    order = ranked_by_measuring(
        graph, made_up(falls, tried), equal_shares(graph), "trt", 0.0, progress=lambda done, total: told.append((done, total))
    )
    assert set(order) == {layer.name for layer in graph.layers}
    assert order[0] == "first"
    assert len(tried) == len(told) < len(graph.layers) ** 2
    assert [done for done, _ in told] == list(range(1, len(tried) + 1))


def test_from_the_end_come_the_layers_that_make_the_outputs_and_then_what_these_read_along_the_longest_way() -> None:
    """`first` is read by `last` too, one step before the output: the way over `middle` counts."""
    nodes = [
        ("Conv", ["x", "w"], "first", {}), ("Conv", ["first", "w"], "middle", {}), ("Clip", ["middle", "", "six"], "clipped", {}),
        ("Add", ["first", "clipped"], "sum", {}), ("Conv", ["sum", "w"], "last", {}), ("Conv", ["first", "w"], "side", {}),
    ]  # fmt: skip
    weights = {"w": np.ones((8, 8, 1, 1), np.float32), "six": np.float32(6)}
    graph = graph_of(nodes, weights, {"x": [1, 8, 4, 4], "last": [1, 8, 4, 4], "side": [1, 8, 4, 4]})
    order = from_the_end(graph)
    assert set(order[:2]) == {"last", "side"}
    assert order[2:] == ["middle", "first"]


class FakeJudge:
    """Gives the layers in float in the place of people."""

    def __init__(self, folder: ModelFolder) -> None:
        self.manifest = folder.manifest()

    def people(self, run: Any) -> Any:
        return run


def chosen_of(
    folder: ModelFolder, monkeypatch: pytest.MonkeyPatch, layout: Any, score: Callable[[Any], float], first: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """What `choose_float` keeps in float where no layer but `first` makes any noise alone, and nothing is asked of the share in INT8."""
    graph = load_graph(folder.onnx)
    monkeypatch.setattr(choice, "quantize", lambda _base, _ranges, _layout, kept, _corrections: kept)
    monkeypatch.setattr(choice, "runner", lambda kept, *_, **__: list(kept))
    monkeypatch.setattr(choice, "map_errors", lambda *_, **__: lambda kept: np.array([1.0 if "first" in kept else 2.0]))
    shapes = dict.fromkeys(graph.float_tensors, (1, 8, 4, 4))
    costs = [LayerCost(layer.name, None, None, float(layer.name == "first"), float(layer.name == "first")) for layer in graph.layers]
    judge, reference = FakeJudge(folder), [FLOAT]
    found = choose_float(
        graph, {}, costs, judge, reference, 0.1, shapes, score=score, begin_with={layout: first}, layouts=[layout], least_eight_bit=(0.0,)
    )  # type: ignore[arg-type]
    assert found.met[layout]
    return found.kept_float[layout]


FLOAT = "the float graph"
LAST = {"heatmaps", "pafs", "head"}


@pytest.mark.parametrize("layout", ["ort", "trt"])
def test_the_layers_before_the_outputs_are_kept_where_they_alone_meet_the_budget(
    small_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch, layout: Any
) -> None:
    def score(kept: Any) -> float:
        return 1.0 if kept == [FLOAT] or (set(kept) >= LAST and "side" not in kept) else 0.5

    kept = chosen_of(small_folder, monkeypatch, layout, score, ("side",))
    assert set(kept) >= LAST
    assert not set(kept) & {"side", "first"}


@pytest.mark.parametrize("layout", ["ort", "trt"])
def test_or_beside_those_that_are_kept_anyhow(small_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch, layout: Any) -> None:
    def score(kept: Any) -> float:
        return 1.0 if kept == [FLOAT] or (set(kept) >= {*LAST, "depth"} and not set(kept) & {"first", "smooth"}) else 0.5

    kept = chosen_of(small_folder, monkeypatch, layout, score, ("depth",))
    assert kept[0] == "depth"
    assert set(kept) >= LAST


@pytest.mark.parametrize("layout", ["ort", "trt"])
def test_of_sets_that_meet_the_budget_the_one_counts_that_leaves_most_in_int8(
    small_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch, layout: Any
) -> None:
    """One layer does by itself what the last ones do: the first of the noise's order, or the last by far."""

    def score(kept: Any) -> float:
        return 1.0 if kept == [FLOAT] or "first" in kept or set(kept) >= LAST else 0.5

    assert chosen_of(small_folder, monkeypatch, layout, score) == ("first",)
