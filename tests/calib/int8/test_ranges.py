"""From values to ranges: against NumPy, SciPy and the formulas in float64."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from posetrt.calib.int8.histogram import BINS, Distribution, Histogram, merged
from posetrt.calib.int8.ranges import check_method, entropy_range, find_range
from posetrt.runtime.errors import UsageError


def counted(arrays: list[np.ndarray], rows: int = 1) -> Histogram:
    histogram = Histogram(rows)
    for array in arrays:
        flat = array.reshape(rows, -1).astype(np.float32)
        histogram.add(flat, flat.min(axis=1), flat.max(axis=1))
    return histogram


def distribution(values: np.ndarray) -> Distribution:
    return counted([values]).row(0, float(values.min()), float(values.max()))


@given(seed=st.integers(0, 2**32 - 1), signed=st.booleans())
@settings(max_examples=25, deadline=None)
def test_the_order_of_the_images_changes_no_count(seed: int, signed: bool) -> None:
    random = np.random.default_rng(seed)
    images = [random.standard_normal((3, 50)).astype(np.float32) * 10.0 ** random.integers(-6, 6) for _ in range(6)]
    if not signed:
        images = [np.abs(image) for image in images]
    there, back = counted(images, 3), counted(images[::-1], 3)
    for row in range(3):
        one, other = there.row(row, -1, 1), back.row(row, -1, 1)
        assert one.width == other.width
        np.testing.assert_array_equal(one.counts, other.counts)


def test_bins_hold_what_numpy_counts() -> None:
    random = np.random.default_rng(1)
    values = np.concatenate([random.standard_normal(4000) * scale for scale in (0.01, 1, 30)]).astype(np.float32)
    held = counted(np.array_split(values, 7)).row(0, float(values.min()), float(values.max()))
    edges = (np.arange(2 * BINS + 1) - BINS) * held.width
    expected, _ = np.histogram(values.astype(np.float64), edges)
    np.testing.assert_array_equal(held.counts, expected)
    assert held.width * BINS >= np.abs(values).max() > held.width * BINS / 2


def test_rescaled_channels_give_what_a_second_pass_would_count() -> None:
    random = np.random.default_rng(2)
    values = np.abs(random.standard_normal((4, 20000))).astype(np.float32) * np.array([[1], [7], [100], [0.01]], np.float32)
    divisors = np.array([1.0, 6.5, 93.0, 0.02])
    histogram = counted([values], 4)
    parts = [histogram.row(row, float(values[row].min()), float(values[row].max())) for row in range(4)]
    without = merged(parts, 1 / divisors)
    second = distribution((values / divisors[:, None]).astype(np.float32))
    for share in (0.5, 0.9, 0.99, 0.9999):
        assert without.upper_quantile(share) == pytest.approx(second.upper_quantile(share), rel=0.02)
    assert find_range(without, "mse").high == pytest.approx(find_range(second, "mse").high, rel=0.03)


def test_percentiles_are_numpys_to_a_bin() -> None:
    values = np.random.default_rng(4).gamma(1.0, 3.0, 50000).astype(np.float32)
    held = distribution(values)
    for percentile in (90.0, 99.9, 99.99):
        found = find_range(held, f"percentile-{percentile:g}")
        assert found.high == pytest.approx(np.quantile(values, percentile / 100), abs=2 * held.width)
        assert found.low == 0


@pytest.mark.parametrize("sparse", [False, True])
def test_the_mse_range_is_the_best_that_brute_force_finds(sparse: bool) -> None:
    random = np.random.default_rng(5)
    values = np.maximum(random.standard_t(3, 60000), 0).astype(np.float32)
    if sparse:
        values[random.random(values.size) < 0.97] = 0
    found = find_range(distribution(values), "mse")

    def error(high: float, levels: int) -> float:
        step = high / levels
        return float(((np.clip(np.rint(values.astype(np.float64) / step), 0, levels) * step - values) ** 2).sum())

    grid = np.linspace(0.05, 1.0, 400) * float(values.max())
    assert error(found.high, 255) <= 1.02 * min(error(high, 255) for high in grid)
    assert error(found.amax, 127) <= 1.02 * min(error(high, 127) for high in grid)


def test_entropy_is_scipys_at_the_range_that_it_chooses() -> None:
    values = np.abs(np.random.default_rng(6).standard_normal(100000)).astype(np.float32)
    held = distribution(values)
    folded = held.counts[BINS:].copy()
    folded[0] = folded[1]

    def divergence(edge: int) -> float:
        reference = folded[:edge].copy()
        reference[-1] += folded[edge:].sum()
        spread = np.zeros(edge)
        for level in range(128):
            cells = np.arange(level * edge // 128, (level + 1) * edge // 128)
            alive = cells[folded[cells] > 0]
            spread[alive] = folded[cells].sum() / max(len(alive), 1)
        return float(scipy.stats.entropy(reference, np.maximum(spread, 1e-12 * spread.sum())))

    chosen = entropy_range(held)
    edge = round(chosen / held.width)
    assert divergence(min(edge, BINS)) <= 1.001 * min(divergence(other) for other in range(128, BINS + 1, 16))


def test_minmax_keeps_both_ends_and_zero() -> None:
    assert find_range(distribution(np.array([2.0, 5.0], np.float32)), "minmax").low == 0
    both = find_range(distribution(np.array([-3.0, 5.0], np.float32)), "minmax")
    assert (both.low, both.high, both.amax) == (-3, 5, 5)


def test_a_dead_tensor_has_a_range_all_the_same() -> None:
    for method in ("minmax", "mse", "entropy", "percentile"):
        one = find_range(distribution(np.zeros(100, np.float32)), method)
        assert (one.low, one.high) == (0, 0)


@pytest.mark.parametrize("values", [np.full((1, 64), -3.0), np.linspace(-4, -1, 400)[None]])
def test_a_tensor_that_is_never_above_zero_has_a_range_down_to_its_least(values: np.ndarray) -> None:
    for method in ("minmax", "mse", "percentile"):
        one = find_range(distribution(values), method)
        assert one.high == 0
        assert values.min() <= one.low < 0.7 * values.min()


@pytest.mark.parametrize("method", ["kl", "percentile-101", "percentile-x", "mse-3"])
def test_an_unknown_method_is_refused_with_those_that_exist(method: str) -> None:
    with pytest.raises(UsageError, match="minmax, percentile, entropy, mse"):
        check_method(method)
