"""Hands and faces are looked for where OpenPose would."""

from __future__ import annotations

import numpy as np
import pytest

from posetrt.runtime.errors import UsageError
from posetrt.runtime.find.boxes import BoxFinder, check_boxes, find_part, grown, person_boxes, whole_frame
from posetrt.runtime.model.skeleton import Skeleton, load_skeleton
from posetrt.runtime.people import People


def body(name: str = "body25", **places: tuple[float, float]) -> np.ndarray:
    skeleton = load_skeleton(name)
    points = np.zeros((1, len(skeleton.parts), 3), np.float32)
    for part, place in places.items():
        points[0, skeleton.parts.index(part)] = (*place, 0.9)
    return points


def centre(box: np.ndarray) -> tuple[float, float]:
    """In key-point coordinates."""
    return float(box[0] + box[2] / 2 - 0.5), float(box[1] + box[3] / 2 - 0.5)


@pytest.mark.parametrize("name", ["body25", "coco18", "mpi15", "trtpose18"])
def test_a_hand_lies_a_third_of_the_forearm_beyond_the_wrist(name: str) -> None:
    points = body(
        name, LShoulder=(300, 100), LElbow=(300, 160), LWrist=(380, 220), RShoulder=(200, 100), RElbow=(200, 200), RWrist=(200, 240)
    )
    left, right = BoxFinder(load_skeleton(name)).hands(points)[0]
    assert centre(left) == pytest.approx((380 + 0.33 * 80, 220 + 0.33 * 60), abs=1e-3)
    assert left[2:] == pytest.approx([150, 150])  # 1.5 times the forearm, 100 px
    assert centre(right) == pytest.approx((200, 240 + 0.33 * 40), abs=1e-3)
    assert right[2:] == pytest.approx([135, 135])  # the forearm is foreshortened: 1.5 * 0.9 of the upper arm, 100 px


@pytest.mark.parametrize("part", ["LShoulder", "LElbow", "LWrist"])
def test_an_arm_without_one_of_its_parts_has_no_hand(part: str) -> None:
    points = body(LShoulder=(300, 100), LElbow=(300, 160), LWrist=(380, 220))
    points[0, load_skeleton("body25").parts.index(part), 2] = 0.2
    assert not BoxFinder(load_skeleton("body25")).hands(points).any()


def test_a_face_from_the_front_is_the_mean_of_three_votes() -> None:
    points = body(Nose=(100, 100), Neck=(100, 150), LEye=(110, 90), REye=(90, 90), LEar=(120, 94), REar=(80, 94))
    box = BoxFinder(load_skeleton("body25")).faces(points)[0]
    # Neck and nose: 2 * 50 about (100, 125); eyes: 3 * 20 about (100, 90); ears: 2 * 40 about (100, 94).
    assert centre(box) == pytest.approx((100, (125 + 90 + 94) / 3), abs=1e-3)
    assert box[2:] == pytest.approx([80, 80])


@pytest.mark.parametrize("side", ["L", "R"])
def test_a_face_in_profile_is_about_the_eye_and_ear_that_are_seen(side: str) -> None:
    points = body(Nose=(100, 100), Neck=(130, 140), **{f"{side}Eye": (106, 92), f"{side}Ear": (130, 96)})
    box = BoxFinder(load_skeleton("body25")).faces(points)[0]
    assert centre(box) == pytest.approx(((106 + 130 + 100) / 3, (92 + 96 + 100) / 3), abs=1e-3)
    assert box[2] == pytest.approx(0.85 * (10 + np.hypot(30, 4) + 50), rel=1e-5)


def test_a_face_by_the_eyes_alone_and_one_that_nothing_shows() -> None:
    finder = BoxFinder(load_skeleton("coco18"))
    assert finder.faces(body("coco18", LEye=(110, 90), REye=(90, 90)))[0] == pytest.approx([70.5, 60.5, 60, 60])
    assert not finder.faces(body("coco18", LEye=(110, 90), LEar=(120, 90))).any()


def test_a_body_with_a_head_and_no_nose_shows_the_face_by_its_head() -> None:
    box = BoxFinder(load_skeleton("mpi15")).faces(body("mpi15", Head=(50, 40), Neck=(50, 80)))[0]
    assert centre(box) == pytest.approx((50, 40), abs=1e-4)
    assert box[2] == pytest.approx(1.33 * 40)


def test_parts_are_found_under_coco_s_names_too() -> None:
    names = ("nose", "left_eye", "right_eye", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist")
    skeleton = Skeleton("coco", names, ((0, 1),))
    assert find_part(skeleton, "LWrist") == 7
    assert find_part(skeleton, "REye") == 2
    assert find_part(skeleton, "Neck") is None
    points = np.zeros((1, 9, 3), np.float32)
    points[0, [3, 5, 7]] = [(0, 0, 1), (0, 10, 1), (0, 20, 1)]
    assert BoxFinder(skeleton).hands(points)[0, 0, 2] == pytest.approx(15)


def test_a_body_without_arms_or_a_head_is_refused_with_what_it_lacks() -> None:
    with pytest.raises(UsageError, match=r"car12.*has no LShoulder.*leave --hands out"):
        BoxFinder(load_skeleton("car12")).check_hands()
    with pytest.raises(UsageError, match=r"car12.*none of these pairs; leave --face out"):
        BoxFinder(load_skeleton("car12")).check_face()


def test_a_person_s_box_spans_the_key_points_that_were_found() -> None:
    points = np.zeros((2, 4, 3), np.float32)
    points[0, :3] = [(10, 20, 0.5), (30, 80, 0.5), (20, 50, 0.5)]
    points[1, 0] = (10, 20, 0.5)
    boxes = person_boxes(People(points, np.ones(2, np.float32)))
    assert boxes.tolist() == [[10.5, 20.5, 20, 60], [0, 0, 0, 0]]


def test_growing_keeps_the_centre_and_takes_the_network_s_proportions() -> None:
    assert grown(np.array([[10, 10, 20, 60]]), (192, 256), 1.25)[0] == pytest.approx([20 - 28.125, 40 - 37.5, 56.25, 75])
    assert grown(whole_frame((640, 480)), (368, 368))[0] == pytest.approx([0, -80, 640, 640])


@pytest.mark.parametrize(
    ("boxes", "said"),
    [
        ([[700, 10, 20, 20]], r"box 0 \(x, y, width, height = 700, 10, 20, 20\) lies outside the frame of 640x480"),
        ([[-30, 10, 20, 20]], "lies outside"),
        ([[0, 0, 10, 10], [10, 10, 0, 20]], "box 1 .* has no area"),
        ([[10, 10, float("nan"), 20]], "has no area"),
        ([10, 10, 20, 20], r"have shape \(M, 4\)"),
    ],
)
def test_a_box_that_shows_nothing_is_refused_by_number(boxes: list, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_boxes(np.array(boxes), (480, 640, 3))
