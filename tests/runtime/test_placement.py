"""One affine for letterbox, stretching and crops: there and back is exact, and pixels lie where the points say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posetrt.runtime.errors import UsageError
from posetrt.runtime.picture import cut, place
from posetrt.runtime.placement import Placement, crop, crops_to_frame, letterbox, whole_in

SIDES = st.integers(16, 1200)
SIZES = st.tuples(st.integers(2, 40).map(lambda n: 16 * n), st.integers(2, 40).map(lambda n: 16 * n))
BOXES = st.tuples(st.floats(-200, 900), st.floats(-200, 900), st.floats(8, 900), st.floats(8, 900))


def _there_and_back(placement: Placement, x: float, y: float) -> None:
    points = np.array([[[x, y, 0.5], [0, 0, 0]]], np.float32)
    again = placement.to_frame(placement.to_network(points))
    np.testing.assert_allclose(again[0, 0], points[0, 0], atol=2e-3)
    assert not again[0, 1].any(), "a part that was not found stays at 0, 0"
    boxes = np.array([[x, y, 30, 40]], np.float32)
    np.testing.assert_allclose(placement.boxes_to_frame(placement.boxes_to_network(boxes)), boxes, atol=5e-3)


@given(SIDES, SIDES, SIZES, st.sampled_from(["top-left", "centre", "stretch", "crop"]), st.floats(0, 500), st.floats(0, 500))
def test_a_point_survives_the_way_into_the_network_and_back(width: int, height: int, size, how, x: float, y: float) -> None:  # type: ignore[no-untyped-def]
    _there_and_back(whole_in((width, height), size, how), x, y)


@given(BOXES, SIZES, st.booleans(), st.floats(0, 500), st.floats(0, 500))
def test_a_point_survives_a_crop_mirrored_or_not(box, size, mirrored: bool, x: float, y: float) -> None:  # type: ignore[no-untyped-def]
    _there_and_back(crop(box, size, mirrored=mirrored), x, y)


@given(BOXES, SIZES, st.booleans(), st.floats(-180, 180), st.floats(0, 500), st.floats(0, 500))
def test_a_point_survives_a_turned_crop(box, size, mirrored: bool, degrees: float, x: float, y: float) -> None:  # type: ignore[no-untyped-def]
    placement = crop(box, size, mirrored=mirrored, degrees=degrees)
    points = np.array([[[x, y, 0.5]]], np.float32)
    np.testing.assert_allclose(placement.to_frame(placement.to_network(points)), points, atol=5e-3)


def test_a_letterbox_in_the_middle_leaves_as_much_on_both_sides() -> None:
    placement = letterbox((640, 480), (640, 640), "centre")
    assert placement.matrix == ((1.0, 0.0, 0.0), (0.0, 1.0, 80.0))
    canvas = place(np.full((480, 640, 3), 7, np.uint8), placement, 114)
    assert (canvas[:80] == 114).all()
    assert (canvas[560:] == 114).all()
    assert (canvas[80:560] == 7).all()


def test_what_was_turned_in_the_picture_stands_upright_in_the_crop() -> None:
    # A dot above the middle of a box that is turned clockwise by 90 degrees lies to its right.
    placement = crop((100, 100, 100, 100), (50, 50), degrees=90)
    above = placement.to_frame(np.array([[[24.5, 4.5, 1.0]]], np.float32))[0, 0]
    np.testing.assert_allclose(above[:2], (189.5, 149.5), atol=1e-3)


@pytest.mark.parametrize("degrees", [0.0, 30.0, -75.0])
@pytest.mark.parametrize("mirrored", [False, True])
def test_pixels_lie_where_the_points_say(degrees: float, mirrored: bool) -> None:
    frame = np.zeros((400, 500, 3), np.uint8)
    rows, columns = np.mgrid[:400, :500]
    frame[..., 0] = 255 * np.exp(-((columns - 260.3) ** 2 + (rows - 181.6) ** 2) / (2 * 6.0**2))
    placement = crop((180, 90, 160, 200), (128, 160), mirrored=mirrored, degrees=degrees)
    seen = cut(frame, placement)[..., 0].astype(np.float64)
    rows, columns = np.mgrid[:160, :128]
    centre = np.array([[[(seen * columns).sum() / seen.sum(), (seen * rows).sum() / seen.sum(), 1.0]]], np.float32)
    np.testing.assert_allclose(crops_to_frame(centre, [placement])[0, 0, :2], (260.3, 181.6), atol=0.1)


def test_a_whole_frame_has_no_place_in_a_network_for_crops() -> None:
    with pytest.raises(UsageError, match="give it boxes"):
        letterbox((640, 480), (192, 256), "crop")
