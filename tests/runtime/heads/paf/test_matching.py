"""The matching of each limb's peaks: the greatest total there is, as SciPy finds it."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from posetrt.calib.scenes.drawn import draw_scene
from posetrt.runtime.heads.paf.layout import load_layout
from posetrt.runtime.heads.paf.matching import LARGEST, match, match_exactly
from posetrt.runtime.heads.paf.pairs import Pairs
from posetrt.runtime.heads.paf.parser import PafParser

Tables = NDArray[np.float32]


def candidates(tables: Tables) -> Pairs:
    """Pairs of tables (limbs, first peaks, second peaks) of ranks; 0 for no candidate."""
    limb, first, second = tables.nonzero()
    rank = tables[limb, first, second]
    order = np.argsort(-rank, kind="stable")
    return Pairs(np.stack([limb, first, second + tables.shape[1]])[:, order], rank[order], rank[order])


def matched(tables: Tables) -> Pairs:
    pairs = candidates(tables)
    return pairs.take(np.array(match_exactly(pairs, sum(tables.shape[1:])), np.int64))


def exact_total(tables: Tables) -> float:
    return sum(float(table[linear_sum_assignment(table, maximize=True)].sum(dtype=np.float64)) for table in tables)


@st.composite
def tables(draw: st.DrawFn) -> Tables:
    """Up to three limbs of up to 12 peaks a part; often few ranks, so that many are equal."""
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 12)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = draw(st.sampled_from([1, 3, 10**6]))
    ranks = rng.integers(1, steps + 1, shape) / steps
    return (ranks * (rng.random(shape) < draw(st.floats(0, 1)))).astype(np.float32)


@settings(max_examples=150, deadline=None)
@given(tables())
@example(np.zeros((2, 3, 3), np.float32))
@example(np.full((1, 12, 12), 0.5, np.float32))
@example(np.full((1, 1, 12), 0.5, np.float32))
@example(np.array([[[0.6, 0.5], [0.5, 0]]], np.float32))
def test_each_limb_gets_the_matching_of_the_greatest_total(tables: Tables) -> None:
    found = matched(tables)
    assert found.rank.sum(dtype=np.float64) == pytest.approx(exact_total(tables), abs=1e-6)
    for ends in found.numbers[1:]:
        assert len({*zip(found.numbers[0].tolist(), ends.tolist(), strict=True)}) == len(ends), "a peak serves a limb twice"
    assert (np.diff(found.rank) <= 0).all(), "best first"


def test_a_peak_that_many_want_goes_where_the_total_gains_most() -> None:
    """Best first would give it to .6, and leave .5 and .5 out."""
    assert matched(np.array([[[0.6, 0.5], [0.5, 0], [0.3, 0]]], np.float32)).rank.tolist() == [0.5, 0.5]


def test_greedy_never_totals_more() -> None:
    gained = 0.0
    for seed in range(4):
        scene = draw_scene(40, load_layout("coco18"), (46, 82), seed, tries=1)
        parser = PafParser(load_layout("coco18"))
        with np.errstate(all="ignore"):
            pairs = parser._pairs.score(scene.pafs, peaks := parser._peaks.find(scene.heatmaps))
        taken: set[tuple[int, int]] = set()
        greedy = 0.0
        for limb, first, second, rank in zip(*pairs.numbers.tolist(), pairs.rank.tolist(), strict=True):
            if not {(limb, first), (limb, second)} & taken:
                taken |= {(limb, first), (limb, second)}
                greedy += rank
        exact = pairs.rank[match_exactly(pairs, len(peaks.part))].sum(dtype=np.float64)
        assert greedy <= exact + 1e-9
        gained += exact - greedy
    assert gained > 0.01


def test_noise_is_matched_best_first_where_exactness_would_take_long() -> None:
    rng = np.random.default_rng(0)
    tables = rng.uniform(0.5, 1, (2, 100, 100)).astype(np.float32)
    assert tables[0].size > LARGEST
    found = matched(tables)
    assert len(found.rank) == 200
    assert exact_total(tables) * 0.95 < found.rank.sum() <= exact_total(tables) + 1e-3


def test_nothing_to_match_gives_nothing() -> None:
    assert match([], [], [], []) == []
    assert match_exactly(candidates(np.zeros((3, 4, 5), np.float32)), 9) == []


def test_the_parser_matches_exactly_without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    scene = draw_scene(10, load_layout("coco18"), (46, 82), 0)
    assert len(PafParser(load_layout("coco18")).parse(scene.heatmaps, scene.pafs)) == 10
