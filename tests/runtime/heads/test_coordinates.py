"""Coordinates as networks give them."""

from __future__ import annotations

import numpy as np
import pytest

from posetrt.calib.heads.coordinates import encode
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.base import DecodeOptions
from posetrt.runtime.heads.coordinates import CoordinatesHead
from posetrt.runtime.heads.registry import head_from_dict
from posetrt.runtime.model.skeleton import Skeleton, load_skeleton
from posetrt.runtime.people import People
from tests.runtime.heads.drawn_people import COCO17, people_in_crops

SIZE = (192, 256)
BLAZEPOSE = CoordinatesHead(
    outputs={"points": "ld_3d", "presence": "flag"},
    columns=("x", "y", "z", "score", "-"),
    rows=39,
    score_logits=True,
    next_crop_rows=(33, 34),
)
HEADS = {
    "MoveNet": CoordinatesHead(outputs={"points": "p"}, columns=("y", "x", "score"), unit="input", scope="frame"),
    "BlazePose": BLAZEPOSE,
    "DeepPose": CoordinatesHead(outputs={"points": "p"}, unit="input", origin="centre"),
    "scores apart": CoordinatesHead(outputs={"points": "p", "scores": "s"}),
}


def _each(people: People) -> list[People]:
    return [People(people.keypoints[i : i + 1], people.scores[i : i + 1]) for i in range(len(people))]


@pytest.mark.parametrize("name", HEADS)
def test_people_survive_encoding_and_decoding(name):
    head = HEADS[name]
    skeleton = load_skeleton("blazepose33") if head.rows else COCO17
    truth = people_in_crops(10, SIZE, parts=len(skeleton.parts))
    found = head.decoder(skeleton).decode(encode(head, skeleton, _each(truth), SIZE), SIZE)
    for one, points in zip(found, truth.keypoints, strict=True):
        assert np.abs(one.keypoints[0, :, :2] - points[:, :2]).max() < 0.01
        assert np.abs(one.keypoints[0, :, 2] - (points[:, 2] if name != "DeepPose" else 1)).max() < 1e-4


def test_rows_may_come_in_any_shape():
    head = HEADS["MoveNet"]
    tensors = encode(head, COCO17, _each(people_in_crops(1, SIZE)), SIZE)
    shapes = [(1, 1, 17, 3), (1, 17, 3), (1, 51), (1, 51, 1, 1)]
    found = [head.decoder(COCO17).decode({"p": tensors["p"].reshape(shape)}, SIZE)[0].keypoints for shape in shapes]
    assert all(np.array_equal(each, found[0]) for each in found)
    with pytest.raises(UsageError, match="51 numbers for each crop"):
        head.decoder(COCO17).decode({"p": tensors["p"].reshape(1, 51)[:, :48]}, SIZE)


def test_a_frame_of_one_person_may_have_nobody_and_a_crop_never():
    for scope, expected in (("frame", 0), ("crop", 1)):
        head = CoordinatesHead(outputs={"points": "p"}, columns=("y", "x", "score"), unit="input", scope=scope)
        nobody = np.zeros((1, 1, 17, 3), np.float32) + np.float32(0.05)
        assert len(head.decoder(COCO17).decode({"p": nobody}, SIZE)[0]) == expected
        assert len(head.decoder(COCO17, DecodeOptions("evaluate")).decode({"p": nobody}, SIZE)[0]) == 1


def test_the_presence_stands_for_scores_that_a_network_lacks():
    hand = Skeleton("hand", tuple(map(str, range(21))), ())
    head = CoordinatesHead(outputs={"points": "p", "presence": "there"}, columns=("x", "y", "z"), presence_logits=True)
    tensors = {"p": np.full((2, 63), 50, np.float32), "there": np.array([[0.0], [np.nan]], np.float32)}
    sure, broken = head.decoder(hand).decode(tensors, SIZE)
    assert np.allclose(sure.keypoints[..., 2], 0.5)
    assert np.allclose(sure.scores, 0.5)
    assert not broken.keypoints.any()


@pytest.mark.parametrize("degrees", [0, 30, 90, -135])
def test_the_next_crop_is_upright_around_the_middle(degrees):
    angle = np.radians(degrees)
    table = np.zeros((1, 39, 5), np.float32)
    table[0, 33, :2] = 100.5, 120.5
    table[0, 34, :2] = 100.5 + 40 * np.sin(angle), 120.5 - 40 * np.cos(angle)
    x, y, side, turned = BLAZEPOSE.next_crop({"ld_3d": table.reshape(1, 195), "flag": np.ones((1, 1))}, (256, 256))[0]
    assert (x, y, side) == pytest.approx((100, 120, 100), abs=1e-3)
    assert turned == pytest.approx(angle, abs=1e-5)


def test_a_network_that_says_nothing_of_the_next_crop_gives_none():
    assert HEADS["DeepPose"].next_crop({"p": np.zeros((1, 34))}, SIZE) is None


def test_the_head_travels_in_a_manifest_and_what_it_cannot_mean_is_refused():
    for head in HEADS.values():
        assert head_from_dict(head.to_dict(), "manifest") == head
    with pytest.raises(UsageError, match="with x and y once each"):
        CoordinatesHead(outputs={"points": "p"}, columns=("x", "score"))
    with pytest.raises(UsageError, match="in an output of their own"):
        CoordinatesHead(outputs={"points": "p", "scores": "s"}, columns=("x", "y", "score"))
