"""Drawn hands and faces come back where they were drawn, and on the right side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from posetrt.runtime.find.refine import Refiner
from posetrt.runtime.find.top_down import TopDown
from posetrt.runtime.model.skeleton import load_skeleton
from posetrt.runtime.people import People, nobody
from posetrt.runtime.placement import Fit
from posetrt.runtime.sources import Frame
from tests.drawn_hands import FACE, LEFT_HAND, RIGHT_HAND, Sees, draw, in_box

BODY = load_skeleton("body25")
SIZE_WH = (640, 480)
FREE_PX = 4.0  # frame px: a dot nearer than this to an edge of crop or frame is cut


def frame_of(image: NDArray[np.uint8]) -> Frame:
    return Frame(image, "drawn", 0, 0.0)


def arm(points: NDArray[np.float32], side: str, box: tuple[float, float, float], angle: float) -> None:
    """Place an arm so that its hand's box has this centre and side, the forearm pointing at `angle` degrees."""
    x, y, size = box
    forearm = size / 1.5
    way = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    wrist = np.array([x, y]) - 0.33 * forearm * way
    for part, place in (("Wrist", wrist), ("Elbow", wrist - forearm * way), ("Shoulder", wrist - 2 * forearm * way)):
        points[BODY.parts.index(side + part)] = (*place, 0.9)


def head(points: NDArray[np.float32], x: float, y: float, size: float) -> None:
    """Both eyes alone, which place a box three times as wide as they are apart."""
    points[BODY.parts.index("LEye")] = (x + size / 6, y, 0.9)
    points[BODY.parts.index("REye")] = (x - size / 6, y, 0.9)


def drawn_person(
    image: NDArray[np.uint8], left: tuple[float, float, float], right: tuple[float, float, float], face: tuple[float, float, float]
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float64]]]:
    """A person's key points, with hands and face drawn in the boxes that belong to them: each x, y of the centre, side."""
    points = np.zeros((len(BODY.parts), 3), np.float32)
    arm(points, "L", left, 35)
    arm(points, "R", right, 140)
    head(points, *face)
    truth = {}
    for name, shape, (x, y, size) in (("left", LEFT_HAND, left), ("right", RIGHT_HAND, right), ("face", FACE, face)):
        truth[name] = in_box(shape, (x + 0.5 - size / 2, y + 0.5 - size / 2, size, size))
        draw(image, truth[name], spread=size / 110)
    return points, truth


def whole_body(crop: int = 368, max_batch: int = 8, **least: float) -> Refiner:
    hands = TopDown(Sees("hand21", (crop, crop), max_batch=max_batch, right_hands_alone=True), fit=Fit("crop", 0, 1.0))
    face = TopDown(Sees("face70", (crop, crop), max_batch=max_batch), fit=Fit("crop", 0, 1.0))
    return Refiner(BODY, hands, face, **least)


def people_of(*bodies: NDArray[np.float32]) -> People:
    return People(np.stack(bodies), np.ones(len(bodies), np.float32))


def check(found: NDArray[np.float32], truth: NDArray[np.float64], side: float, crop: int) -> int:
    """Assert that every dot which lies whole in the frame is found within half a pixel of the crop; gives their number."""
    low, high = np.array([FREE_PX, FREE_PX]), np.array(SIZE_WH) - 1 - FREE_PX
    whole = ((truth > low) & (truth < high)).all(axis=1)
    assert (found[whole, 2] > 0.5).all()
    far = np.abs(found[whole, :2] - truth[whole]).max(initial=0) * crop / side
    assert far < 0.5, f"{far:.2f} px of the crop"
    return int(whole.sum())


@pytest.mark.parametrize("size", [110.0, 150.3, 233.7])
@pytest.mark.parametrize("crop", [368, 184])
def test_every_point_comes_back_within_half_a_pixel_of_the_crop(size: float, crop: int) -> None:
    image = np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    places = ((500.3, 340.8, size), (130.6, 330.1, size), (320.2, 121.4, size))
    points, truth = drawn_person(image, *places)
    found = whole_body(crop)(frame_of(image), people_of(points))
    assert found.extras["left_hand"] is not None
    assert found.extras["right_hand"] is not None
    assert found.extras["face"] is not None
    assert check(found.extras["left_hand"][0], truth["left"], size, crop) == 21
    assert check(found.extras["right_hand"][0], truth["right"], size, crop) == 21
    assert check(found.extras["face"][0], truth["face"], size, crop) == 70


def test_a_crop_larger_than_the_network_s_input_is_shrunk_without_moving() -> None:
    image = np.zeros((1100, 1100, 3), np.uint8)
    points = np.zeros((len(BODY.parts), 3), np.float32)
    head(points, 530.4, 551.7, 1000)
    truth = in_box(FACE, (30.9, 52.2, 1000, 1000))
    draw(image, truth, spread=9)
    found = Refiner(BODY, face=TopDown(Sees("face70", (368, 368)), fit=Fit("crop", 0, 1.0)))(frame_of(image), people_of(points)).extras[
        "face"
    ]
    assert found is not None
    assert (found[0, :, 2] > 0.5).all()
    assert np.abs(found[0, :, :2] - truth).max() * 368 / 1000 < 0.5


@pytest.mark.parametrize("edge", [(20, 240), (620, 240), (320, 15), (320, 465), (8, 8), (635, 470)])
def test_at_the_frame_s_edges_what_is_in_view_is_found_and_nothing_moves(edge: tuple[float, float]) -> None:
    image = np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    size = 160.0
    points, truth = drawn_person(image, (*edge, size), (320.5, 240.2, size), (*edge, size))
    image[:] = 0
    for name in ("left", "right"):
        draw(image, truth[name], spread=size / 110)
    found = whole_body()(frame_of(image), people_of(points))
    assert found.extras["left_hand"] is not None
    assert found.extras["right_hand"] is not None
    lost = ((truth["left"] < -FREE_PX) | (truth["left"] > np.array(SIZE_WH) - 1 + FREE_PX)).any(axis=1)
    assert lost.any()
    assert (found.extras["left_hand"][0, lost, 2] == 0).all()
    assert check(found.extras["left_hand"][0], truth["left"], size, 368) >= 2
    assert check(found.extras["right_hand"][0], truth["right"], size, 368) >= 18


def test_at_the_edges_the_face_is_found_too() -> None:
    for edge in [(30, 240), (610, 240), (320, 25), (320, 455)]:
        image = np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
        points = np.zeros((len(BODY.parts), 3), np.float32)
        head(points, *edge, 170)
        truth = in_box(FACE, (edge[0] + 0.5 - 85, edge[1] + 0.5 - 85, 170, 170))
        draw(image, truth, spread=1.5)
        found = whole_body()(frame_of(image), people_of(points)).extras["face"]
        assert found is not None
        assert check(found[0], truth, 170, 368) >= 25


def test_a_mirrored_person_has_the_other_hands() -> None:
    image = np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    points, truth = drawn_person(image, (480.0, 300.0, 140), (160.0, 320.0, 140), (320.0, 110.0, 140))
    mirrored = np.ascontiguousarray(image[:, ::-1])
    swapped = points.copy()
    for side, other in ("LR", "RL"):
        for part in ("Shoulder", "Elbow", "Wrist", "Eye"):
            swapped[BODY.parts.index(side + part)] = points[BODY.parts.index(other + part)]
    swapped[:, 0] = np.where(swapped[:, 2] > 0, SIZE_WH[0] - 1 - swapped[:, 0], 0)
    turned = {name: np.array([SIZE_WH[0] - 1, 0]) + place * np.array([-1, 1]) for name, place in truth.items()}
    found = whole_body()(frame_of(mirrored), people_of(swapped))
    assert found.extras["left_hand"] is not None
    assert found.extras["right_hand"] is not None
    assert check(found.extras["left_hand"][0], turned["right"], 140, 368) == 21
    assert check(found.extras["right_hand"][0], turned["left"], 140, 368) == 21


def test_sides_that_are_swapped_would_be_seen_by_these_tests() -> None:
    image = np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    points, _ = drawn_person(image, (480.0, 300.0, 140), (160.0, 320.0, 140), (320.0, 110.0, 140))
    swapped = points.copy()
    for side, other in ("LR", "RL"):
        for part in ("Shoulder", "Elbow", "Wrist"):
            swapped[BODY.parts.index(side + part)] = points[BODY.parts.index(other + part)]
    found = whole_body()(frame_of(image), people_of(swapped))
    assert found.extras["left_hand"] is not None
    assert found.extras["right_hand"] is not None
    assert not found.extras["left_hand"][..., 2].any()
    assert not found.extras["right_hand"][..., 2].any()


def test_everybody_s_crops_go_in_one_pass_and_come_back_to_their_owner() -> None:
    image = np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    bodies, truths = [], []
    for index, x in enumerate((100.0, 310.0, 520.0)):
        points, truth = drawn_person(
            image, (x + 45, 380.0 - 20 * index, 90), (x - 45, 360.0 + 15 * index, 90), (x, 120.0 + 30 * index, 100)
        )
        bodies.append(points)
        truths.append(truth)
    stage = whole_body(max_batch=8)
    found = stage(frame_of(image), people_of(*bodies))
    for index, truth in enumerate(truths):
        for array, name, size in (
            (found.extras["left_hand"], "left", 90),
            (found.extras["right_hand"], "right", 90),
            (found.extras["face"], "face", 100),
        ):
            assert array is not None
            check(array[index], truth[name], size, 368)
    assert stage.hands is not None
    assert stage.face is not None
    assert stage.hands.engine.batches == [6]
    assert stage.face.engine.batches == [3]


def test_a_network_that_takes_one_crop_at_a_time_gives_the_same() -> None:
    image = np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    points, _ = drawn_person(image, (480.0, 300.0, 140), (160.0, 320.0, 140), (320.0, 110.0, 140))
    people = people_of(points, points)
    together, single = whole_body(max_batch=8), whole_body(max_batch=1)
    one, other = together(frame_of(image), people), single(frame_of(image), people)
    assert np.array_equal(one.extras["left_hand"], other.extras["left_hand"])
    assert np.array_equal(one.extras["face"], other.extras["face"])
    assert single.hands is not None
    assert single.hands.engine.batches == [1, 1, 1, 1]


def test_nobody_in_view_calls_no_network() -> None:
    stage = whole_body()
    found = stage(frame_of(np.zeros((480, 640, 3), np.uint8)), nobody(len(BODY.parts)))
    assert found.extras["left_hand"] is not None
    assert found.extras["left_hand"].shape == (0, 21, 3)
    assert stage.hands is not None
    assert stage.hands.engine.batches == []
    assert stage.hands.spent_s["network"] == 0


def test_people_too_small_or_not_in_view_are_passed_over_and_counted() -> None:
    image = np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    near, _ = drawn_person(image, (480.0, 300.0, 140), (160.0, 320.0, 140), (320.0, 110.0, 140))
    small = np.zeros_like(near)
    arm(small, "L", (300, 300, 19), 0)
    head(small, 300, 200, 39)
    away = np.zeros_like(near)
    arm(away, "R", (900, 300, 100), 0)
    no_wrist = near.copy()
    no_wrist[BODY.parts.index("LWrist")] = 0
    stage = whole_body()
    found = stage(frame_of(image), people_of(near, small, away, no_wrist))
    hands, face = stage.looks["hands"], stage.looks["face"]
    assert (hands.looked, hands.small, hands.unseen) == (3, 1, 4)
    assert (face.looked, face.small, face.unseen) == (2, 1, 1)
    assert found.extras["left_hand"] is not None
    assert found.extras["right_hand"] is not None
    assert [bool(hand[:, 2].any()) for hand in found.extras["left_hand"]] == [True, False, False, False]
    assert [bool(hand[:, 2].any()) for hand in found.extras["right_hand"]] == [True, False, False, True]


def test_hands_and_face_are_each_looked_for_alone() -> None:
    image = np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    points, _ = drawn_person(image, (480.0, 300.0, 140), (160.0, 320.0, 140), (320.0, 110.0, 140))
    both = whole_body()
    hands_alone = Refiner(BODY, hands=both.hands)(frame_of(image), people_of(points))
    assert "face" not in hands_alone.extras
    assert "left_hand" in hands_alone.extras
    face_alone = Refiner(BODY, face=both.face)(frame_of(image), people_of(points))
    assert "left_hand" not in face_alone.extras
    assert "face" in face_alone.extras


def test_ids_and_key_points_of_the_body_stay_as_they_are() -> None:
    image = np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    points, _ = drawn_person(image, (480.0, 300.0, 140), (160.0, 320.0, 140), (320.0, 110.0, 140))
    people = replace(people_of(points), ids=np.array([42]))
    found = whole_body()(frame_of(image), people)
    assert found.ids is not None
    assert found.ids.tolist() == [42]
    assert np.array_equal(found.keypoints, people.keypoints)
