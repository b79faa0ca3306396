"""The command that times heads, and the outputs and plain decoders that it times them with."""

from __future__ import annotations

import json

import numpy as np
import pytest

from posetrt.bench.heads.cases import Case, cases
from posetrt.bench.heads_benchmark import time_case, time_oks_nms
from posetrt.cli import main


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_head_and_plain_decoder_find_the_people_drawn_in_the_outputs(case: Case) -> None:
    row = time_case(case, 3, 1)
    assert row.recall >= 0.95
    assert row.error_px is not None
    # A quarter shift is a quarter of a cell off at most, of four pixels.
    assert row.error_px < (1.5 if "quarter" in case.name else 0.3)
    # Without a sub-pixel step, some parts lie more than two pixels off.
    assert row.plain_recall is None or row.plain_recall >= 0.7
    assert row.ms > 0
    assert (row.per_person_us is None) != case.per_person


def test_raw_outputs_hold_many_candidates_of_each_person() -> None:
    raw = next(case for case in cases() if case.raw)
    tensors, people = raw.outputs(4, np.random.default_rng(0))
    (table,) = tensors.values()
    assert len(people) == 4
    assert table.shape == (1, 56, 8400)
    assert (table[0, 4] > 0.25).sum() == 60


def test_nms_by_key_points_is_timed_on_300_people_however_they_lie() -> None:
    assert [row.stay for row in time_oks_nms(1)] == [300, 20, 1]


def test_the_command_prints_a_table_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench-heads", "--only", "simcc", "--people", "2", "--repeats", "1"]) == 0
    assert "simcc, 17 parts 192x256" in capsys.readouterr().out
    assert main(["bench-heads", "--only", "oks", "--repeats", "1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["heads"] == []
    assert len(report["oks_nms"]) == 3


def test_a_head_that_is_none_is_refused_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench-heads", "--only", "tensor"]) == 2
    assert "boxes, YOLOX" in capsys.readouterr().err
