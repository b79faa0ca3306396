"""The reports' first sentence: what to choose, and why."""

from __future__ import annotations

import pytest

from posetrt.calib.accuracy.choice import Cost, choose

FP32 = Cost("fp32", "fp32", oks=1.0)


@pytest.mark.parametrize(
    ("low", "high", "begins", "holds"),
    [
        (-0.004, 0.006, "Choose int8: to fp32, AP changes by +0.001 (95 % interval -0.004 to +0.006) on 38 photographs.", ""),
        (-0.06, -0.02, "Choose fp32: no cheaper precision is known to keep its AP.", "more than the 0.01 that is tolerated"),
        (
            -0.03,
            0.02,
            "Choose fp32: no cheaper precision is known to keep its AP.",
            "38 photographs cannot exclude a loss of more than 0.01",
        ),
    ],
)
def test_the_cheapest_that_surely_holds_is_chosen_and_a_refused_one_is_explained(low: float, high: float, begins: str, holds: str) -> None:
    said = choose([FP32, Cost("int8", "int8", 0.001, low, high)], "AP", 38)
    assert said.startswith(begins)
    assert holds in said


def test_fp16_comes_where_int8_loses() -> None:
    costs = [FP32, Cost("fp16", "fp16", 0.0, -0.001, 0.001, where=" on a GPU"), Cost("int8", "int8", -0.05, -0.06, -0.04)]
    said = choose(costs, "PCKh", 10)
    assert said.startswith("Choose fp16 on a GPU: to fp32, PCKh changes by +0.000")
    assert "int8 is not the choice: PCKh changes by -0.050" in said


def test_where_nothing_is_annotated_agreement_decides_and_the_sentence_says_so() -> None:
    assert choose([FP32, Cost("int8", "int8", oks=0.93)], "AP", 9).startswith("Choose int8: on 9 photographs it finds the people of fp32")
    assert choose([FP32, Cost("int8", "int8", oks=0.4)], "AP", 9).startswith("Choose fp32: on 9 photographs nothing cheaper")


def test_one_precision_is_no_choice() -> None:
    assert choose([FP32], "AP", 9).startswith("Only fp32 was measured")
