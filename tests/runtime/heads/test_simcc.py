"""SimCC: two distributions for each part."""

from __future__ import annotations

import numpy as np
import pytest

from posetrt.calib.heads.simcc import encode
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.heads.registry import head_from_dict
from posetrt.runtime.heads.simcc import SimccHead
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People
from tests.runtime.heads.drawn_people import COCO17, people_in_crops

OUTPUTS = {"x": "simcc_x", "y": "simcc_y"}
SIZE = (192, 256)


def _each(people: People) -> list[People]:
    return [People(people.keypoints[i : i + 1], people.scores[i : i + 1]) for i in range(len(people))]


@pytest.mark.parametrize("parts", [17, 21, 26, 133])
@pytest.mark.parametrize("ratio", [1.0, 2.0, 3.0])
def test_people_survive_encoding_and_decoding(parts, ratio):
    skeleton = Skeleton("some", tuple(map(str, range(parts))), ())
    head = SimccHead(outputs=OUTPUTS, split_ratio=ratio)
    truth = people_in_crops(12, SIZE, parts=parts)
    found = head.decoder(skeleton).decode(encode(head, skeleton, _each(truth), SIZE), SIZE)
    assert len(found) == 12
    assert max(np.abs(one.keypoints[0, :, :2] - points[:, :2]).max() for one, points in zip(found, truth.keypoints, strict=True)) < 0.3


def test_the_place_within_a_bin_is_found_only_where_it_is_asked_for():
    truth = people_in_crops(8, SIZE)
    errors = {}
    for refine in (True, False):
        head = SimccHead(outputs=OUTPUTS, refine=refine)
        found = head.decoder(COCO17).decode(encode(head, COCO17, _each(truth), SIZE), SIZE)
        errors[refine] = np.abs(np.concatenate([one.keypoints for one in found])[..., :2] - truth.keypoints[..., :2]).mean()
    assert errors[True] < errors[False] / 3


def test_a_score_is_the_lesser_maximum_and_at_most_one():
    bins = {"simcc_x": np.zeros((1, 17, 384), np.float32), "simcc_y": np.zeros((1, 17, 512), np.float32)}
    bins["simcc_x"][0, 0, 100], bins["simcc_y"][0, 0, 300] = 0.9, 0.4
    bins["simcc_x"][0, 1, 100], bins["simcc_y"][0, 1, 300] = 7.0, 5.0
    bins["simcc_x"][0, 2], bins["simcc_y"][0, 2] = -4.0, -2.0
    bins["simcc_x"][0, 3, 5] = np.nan
    one = SimccHead(outputs=OUTPUTS).decoder(COCO17).decode(bins, SIZE)[0]
    assert one.keypoints[0, :2, 2].tolist() == [np.float32(0.4), 1.0]
    assert one.keypoints[0, 0, :2].tolist() == [50, 150]
    assert not one.keypoints[0, 2:].any()


def test_outputs_of_another_size_are_refused_with_the_size_that_was_expected():
    bins = {"simcc_x": np.zeros((1, 17, 384), np.float32), "simcc_y": np.zeros((1, 17, 384), np.float32)}
    with pytest.raises(UsageError, match=r"has y \(crops, 17, 512\)"):
        SimccHead(outputs=OUTPUTS).decoder(COCO17).decode(bins, SIZE)


def test_the_head_travels_in_a_manifest():
    head = SimccHead(outputs=OUTPUTS, split_ratio=3.0, refine=False)
    assert head_from_dict(head.to_dict(), "manifest") == head
    with pytest.raises(PosetrtError, match="bins a pixel has"):
        head_from_dict(head.to_dict() | {"split_ratio": 0}, "manifest")
