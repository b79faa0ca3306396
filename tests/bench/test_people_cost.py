"""What hands and faces cost as people grow in number is measured as it is."""

from __future__ import annotations

import time

import pytest

from posetrt.bench.people_cost import cost_table, measure_people
from posetrt.runtime.find.refine import Refiner
from posetrt.runtime.find.top_down import TopDown
from posetrt.runtime.model.skeleton import load_skeleton
from tests.drawn_hands import Sees


class Takes(Sees):
    """20 ms a call and 1 ms a crop, as a network whose weights are read once a call."""

    def infer(self, inputs):  # type: ignore[no-untyped-def]
        time.sleep(0.02 + 0.001 * len(inputs))
        return super().infer(inputs * 0)


@pytest.mark.parametrize("name", ["body25", "coco18", "mpi15", "trtpose18"])
def test_every_person_that_is_measured_shows_both_hands_and_the_face(name: str) -> None:
    skeleton = load_skeleton(name)
    closer = Refiner(skeleton, TopDown(Takes("hand21", (48, 48))), TopDown(Takes("face70", (48, 48))))
    for cost in measure_people(closer, skeleton, (1, 20), rounds=1):
        assert cost.crops == 3 * cost.people
    assert closer.looks["hands"].small == closer.looks["face"].small == 0


def test_a_person_costs_less_where_one_call_takes_many_and_nobody_costs_nothing() -> None:
    skeleton = load_skeleton("body25")
    closer = Refiner(skeleton, TopDown(Takes("hand21", (48, 48), max_batch=16)), TopDown(Takes("face70", (48, 48), max_batch=16)))
    nobody, one, five = measure_people(closer, skeleton, (0, 1, 5), rounds=3)
    assert nobody.per_person_ms is None
    assert (nobody.crops, nobody.calls) == (0, 0)
    assert nobody.total_ms < 1
    assert not any(nobody.stages_ms.values())
    assert (one.calls, five.calls) == (2, 2)
    assert one.per_person_ms is not None
    assert five.per_person_ms is not None
    assert five.per_person_ms < 0.6 * one.per_person_ms
    assert sum(five.stages_ms.values()) <= five.total_ms * 1.02
    table = cost_table([nobody, one, five]).splitlines()
    assert table[1].split()[:3] == ["0", f"{nobody.total_ms:.2f}", "-"]
    assert table[3].split()[0] == "5"
