"""Calibration on photographs of nobody must be noticed, for networks that always give one person too."""

from __future__ import annotations

import numpy as np
import pytest

from posetrt.calib.heads import coordinates, simcc
from posetrt.runtime.heads.coordinates import CoordinatesHead
from posetrt.runtime.heads.simcc import SimccHead
from posetrt.runtime.people import People
from tests.runtime.heads.drawn_people import COCO17, people_in_crops

SIZE = (192, 256)
CASES = {
    "simcc": (SimccHead(outputs={"x": "x", "y": "y"}), simcc),
    "coordinates": (CoordinatesHead(outputs={"points": "p"}, columns=("x", "y", "score")), coordinates),
}


@pytest.mark.parametrize("name", CASES)
def test_a_person_shows_and_doubtful_parts_all_over_do_not(name):
    head, module = CASES[name]
    keypoints = people_in_crops(1, SIZE).keypoints
    for factor, expected in ((1.0, True), (0.1, False)):
        person = People(keypoints * np.array([1, 1, factor], np.float32), np.ones(1, np.float32))
        assert module.shows_anybody(head, COCO17, module.encode(head, COCO17, [person], SIZE)) is expected
