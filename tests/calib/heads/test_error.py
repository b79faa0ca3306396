"""The error by which layers are ranked counts where people are."""

from __future__ import annotations

import numpy as np
import pytest

from posetrt.calib.heads.hooks import encode, output_error
from posetrt.runtime.heads.boxes import BoxesHead
from posetrt.runtime.heads.offsets import OffsetsHead
from posetrt.runtime.model.skeleton import load_skeleton
from posetrt.runtime.people import People

BOXES = BoxesHead(outputs={"rows": "out"}, values={"box": ("rows", 0, 4), "score": ("rows", 4, 1)})


def someone() -> People:
    return People(np.zeros((1, 0, 3), np.float32), np.array([0.9], np.float32), boxes=np.array([[40, 30, 60, 90]], np.float32))


def test_a_candidate_of_nobody_may_lie_anywhere_and_one_of_somebody_may_not() -> None:
    skeleton = load_skeleton("boxes")
    wanted = encode(BOXES, skeleton, [someone()], (160, 160))
    where = int(wanted["out"][0, :, 4].argmax())
    elsewhere, moved, doubted = ({"out": wanted["out"].copy()} for _ in range(3))
    elsewhere["out"][0, where - 1, :4] += 100
    moved["out"][0, where, :4] += 20
    doubted["out"][0, where, 4] = 0.5
    assert output_error(BOXES, skeleton, wanted, wanted) == 0
    assert output_error(BOXES, skeleton, wanted, elsewhere) == 0
    assert output_error(BOXES, skeleton, wanted, moved) > 0.01
    assert output_error(BOXES, skeleton, wanted, doubted) == pytest.approx(0.16 / 0.81, rel=1e-3)


def test_offsets_count_by_the_probability_of_their_part() -> None:
    skeleton = load_skeleton("coco17")
    head = OffsetsHead(outputs={role: role for role in OffsetsHead.roles})
    points = np.concatenate([np.random.default_rng(0).uniform(40, 120, (1, 17, 2)), np.ones((1, 17, 1))], axis=2).astype(np.float32)
    wanted = encode(head, skeleton, [People(points, np.ones(1, np.float32))], (161, 161))
    far, near = ({name: one.copy() for name, one in wanted.items()} for _ in range(2))
    quiet = wanted["heatmaps"][0, 0] < -5
    far["offsets"][0, 0][quiet] += 10
    near["offsets"][0, 0][~quiet] += 10
    assert output_error(head, skeleton, wanted, wanted) == 0
    assert output_error(head, skeleton, wanted, far) < 0.01 * output_error(head, skeleton, wanted, near)
