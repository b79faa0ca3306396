"""Reports that compare: intervals as SciPy computes them, and a refusal where two runs have not measured the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from posetrt.bench.benchmark_report import Report, Result, read_report, table
from posetrt.bench.comparison import _T975, compare, comparison_table, differences, welch_ratio
from posetrt.runtime.errors import PosetrtError


def row(precision: str = "fp32", *, fps: float = 100.0, mode: str | None = None, seed: int = 0, watts: float | None = None) -> Result:
    rounds = tuple(float(value) for value in fps * np.random.default_rng(seed).normal(1, 0.01, 5))
    return Result(
        precision,  # type: ignore[arg-type]
        "tensorrt",
        fps,
        fps * 0.8,
        10.0,
        11.0,
        12.0,
        1.0,
        1.0,
        7.0,
        1.0,
        2.0,
        0.5,
        100.0,
        engine_mb=8.0,
        power_mode=mode,
        watts=watts,
        joules_per_frame=watts / fps if watts else None,
        fps_per_watt=fps / watts if watts else None,
        rounds={"network_fps": rounds},
    )


def report(*rows: Result, size: tuple[int, int] = (456, 256), source: str = "video.avi") -> Report:
    return Report("person", "hpe", size, source, 60, 5, {"cpu": "a CPU"}, rows or (row(),), power_source="INA3221 VDD_IN: the module")


def test_the_interval_is_welchs_on_logarithms() -> None:
    random = np.random.default_rng(5)
    first, second = random.lognormal(3, 0.05, 6), random.lognormal(3.1, 0.02, 9)
    found = welch_ratio(list(first), list(second))
    assert found is not None
    expected = scipy.stats.ttest_ind(np.log(second), np.log(first), equal_var=False).confidence_interval(0.95)
    low, high = np.exp(expected.low), np.exp(expected.high)
    # Degrees of freedom are rounded down: never narrower than SciPy's, and hardly wider.
    assert found[0] <= low + 1e-6
    assert found[1] >= high - 1e-6
    assert found == pytest.approx((low, high), rel=5e-3)


def test_students_quantiles() -> None:
    assert pytest.approx([scipy.stats.t.ppf(0.975, freedom) for freedom in range(1, 31)], abs=6e-4) == _T975


def test_a_difference_within_the_scatter_is_none() -> None:
    same, faster = compare(report(), report(row(seed=1))), compare(report(), report(row(fps=120, seed=1)))
    assert same[0].verdict == "no difference shown"
    assert faster[0].verdict == "better"
    assert faster[0].ratio == pytest.approx(1.2, rel=0.02)
    assert faster[0].low is not None
    assert faster[0].high is not None
    assert 1.15 < faster[0].low < 1.2 < faster[0].high < 1.25


def test_a_ratio_is_that_of_the_two_figures_beside_it() -> None:
    """A run's own figure may lie far from its rounds, as where one round was disturbed."""
    second = replace(row(seed=1), rounds={"network_fps": (110.0, 60.0, 112.0)})
    for one in compare(report(), report(second)):
        assert one.ratio == pytest.approx(one.second / one.first, rel=1e-12)
        if one.low is not None and one.high is not None:
            assert one.low <= one.ratio <= one.high


def test_two_rounds_are_too_few_for_an_interval_and_the_table_says_so() -> None:
    few = report(replace(row(), rounds={"network_fps": (99.0, 101.0)}))
    ratio = compare(few, few)[0]
    assert (ratio.low, ratio.high) == (None, None)
    assert "2 rounds: too few for an interval" in comparison_table(few, few, compare(few, few))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (report(size=(656, 368)), "input size: 456x256 against 656x368"),
        (report(row(mode="15W")), "power mode: not known against 15W"),
        (report(source="other.mp4"), "frames of: video.avi against other.mp4"),
    ],
)
def test_what_does_not_compare_is_refused_unless_told(other: Report, said: str) -> None:
    with pytest.raises(PosetrtError, match="do not compare") as refused:
        compare(report(), other)
    assert said in str(refused.value)
    assert "--anyway" in str(refused.value)
    assert compare(report(), other, anyway=True)
    assert differences(report(), report()) == []


def test_rows_are_paired_by_precision_and_mode() -> None:
    first = report(row(mode="15W"), row(mode="MAXN", fps=200))
    ratios = compare(first, report(row(mode="MAXN", fps=220, seed=2), row(mode="15W", seed=3)))
    found = {one.precision: one.ratio for one in ratios if one.figure == "network_fps"}
    assert found == pytest.approx({"fp32 15W": 1.0, "fp32 MAXN": 1.1}, rel=0.02)


def test_watts_of_other_rails_have_no_ratio() -> None:
    first, second = report(row(watts=5.0)), report(row(watts=6.0))
    assert "watts" in {one.figure for one in compare(first, second)}
    assert "watts" not in {one.figure for one in compare(first, replace(second, power_source="NVML: the GPU's board"))}


def test_no_common_precision_is_an_error() -> None:
    with pytest.raises(PosetrtError, match="the first has fp32, the second int8"):
        compare(report(), report(row("int8")))


def test_a_report_survives_its_json_and_an_older_one_is_read(tmp_path: Path) -> None:
    whole = report(row(watts=5.0, mode="15W"))
    (tmp_path / "a.json").write_text(json.dumps(whole.to_dict()))
    assert read_report(tmp_path / "a.json") == whole
    old = whole.to_dict()
    for name in ("power_source", "telemetry_cost", "photographs", "notes"):
        del old[name]
    for name in ("rounds", "watts", "power_mode", "age_p50_ms"):
        del old["results"][0][name]
    (tmp_path / "old.json").write_text(json.dumps(old))
    assert read_report(tmp_path / "old.json").results[0].watts is None
    (tmp_path / "bad.json").write_text('{"format": 1, "results": [{}]}')
    with pytest.raises(PosetrtError, match=r"bad\.json: model is missing"):
        read_report(tmp_path / "bad.json")


@pytest.mark.parametrize(
    ("name", "value"),
    [("network_fps", float("nan")), ("network_fps", -1), ("precision", "fp7"), ("rounds", {"watts": [1, "x"]}), ("ap", 2.0), ("watts", [])],
)
def test_a_figure_out_of_range_is_named_with_its_row(tmp_path: Path, name: str, value: object) -> None:
    fields = report(row(watts=5.0)).to_dict()
    fields["results"][0][name] = value
    (tmp_path / "bad.json").write_text(json.dumps(fields))
    with pytest.raises(PosetrtError, match=rf"bad\.json: results\[0\]\.{name}"):
        read_report(tmp_path / "bad.json")


def test_the_table_shows_watts_where_measured_and_says_so_where_not() -> None:
    with_power = table(report(row(watts=5.0), row("int8", watts=4.0)))
    assert "mJ/frame" in with_power
    assert "power: INA3221 VDD_IN: the module" in with_power
    without = table(replace(report(), power_source="not measured"))
    assert "power: not measured" in without
    assert "mJ/frame" not in without
    assert "intervals tell how the rounds" in comparison_table(report(), report(), compare(report(), report()))
