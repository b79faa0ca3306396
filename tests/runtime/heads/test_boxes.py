"""Boxes: detectors' candidates in every family's form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from posetrt.calib.heads.boxes import encode
from posetrt.runtime.errors import UsageError
from tests.runtime.heads.families import BOXES, COCO, DETECTORS
from tests.runtime.heads.test_rows import SIZE, people_in_a_row


@pytest.mark.parametrize("family", DETECTORS)
@pytest.mark.parametrize("count", [1, 10, 20])
def test_boxes_survive_encoding_and_decoding(family: str, count: int) -> None:
    head, people = DETECTORS[family], people_in_a_row(count)
    (found,) = head.decoder(BOXES).decode(encode(head, BOXES, [people], SIZE), SIZE)
    assert found.keypoints.shape == (count, 0, 3)
    np.testing.assert_allclose(found.scores, people.scores, atol=1e-4)
    assert found.boxes is not None
    assert people.boxes is not None
    np.testing.assert_allclose(found.boxes, people.boxes, atol=0.02)


def test_a_detector_of_any_class_keeps_things_that_overlap_when_their_classes_differ() -> None:
    head = replace(DETECTORS["yolo11"], person_class=None)
    tensors = encode(head, BOXES, [people_in_a_row(2)], SIZE)
    values = tensors["output0"]
    first, second = np.flatnonzero(values[0, 4])
    values[0, :4, second] = values[0, :4, first]
    values[0, 4, second], values[0, 4 + 16, second] = 0, 0.8
    (found,) = head.decoder(BOXES).decode(tensors, SIZE)
    assert found.classes is not None
    assert sorted(found.classes) == [0, 16]
    (alone,) = DETECTORS["yolo11"].decoder(BOXES).decode(tensors, SIZE)
    assert len(alone) == 1


def test_a_detector_is_no_pose_network() -> None:
    with pytest.raises(UsageError, match="boxes alone"):
        DETECTORS["yolox"].decoder(COCO)


def test_anchors_can_be_an_output_of_the_graph() -> None:
    head = replace(
        DETECTORS["ssd"],
        priors=(),
        outputs={**DETECTORS["ssd"].outputs, "priors": "priors"},
        values={**DETECTORS["ssd"].values, "priors": ("priors", 0, 4)},
    )
    people = people_in_a_row(6)
    (found,) = head.decoder(BOXES).decode(encode(head, BOXES, [people], SIZE), SIZE)
    assert found.boxes is not None
    assert people.boxes is not None
    np.testing.assert_allclose(found.boxes, people.boxes, atol=0.02)
