"""A frame made smaller for the network: like averaging by area, with every pixel where the formula says, in memory made once."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from posetrt.bench.letterbox_benchmark import by_area
from posetrt.runtime.find.inputs import Inputs
from posetrt.runtime.find.whole_frame import WholeFrame
from posetrt.runtime.picture import cut, place, to_input
from posetrt.runtime.placement import crop, letterbox
from posetrt.runtime.scaling import Scratch, shrink
from tests.stand_in import StandIn
from tests.tiny_model import tiny_manifest

SIZES = [(1024, 576), (1280, 720), (1279, 719), (1920, 1080), (2560, 1440), (3840, 2160), (3840, 2161)]


@pytest.mark.parametrize("frame_wh", SIZES)
@pytest.mark.parametrize("size_wh", [(456, 256), (200, 200), (192, 256)])
def test_a_spot_lies_where_the_formula_says(frame_wh: tuple[int, int], size_wh: tuple[int, int]) -> None:
    placement = letterbox(frame_wh, size_wh, "centre")
    x, y = 0.31 * frame_wh[0], 0.73 * frame_wh[1]
    across, down = np.meshgrid(np.arange(frame_wh[0]), np.arange(frame_wh[1]))
    sigma = frame_wh[0] / 40
    spot = np.exp(-((across - x) ** 2 + (down - y) ** 2) / (2 * sigma**2))
    seen = place(np.repeat((200 * spot).astype(np.uint8)[..., None], 3, axis=2), placement, 0)[..., 0].astype(np.float64)
    rows, columns = np.indices(seen.shape)
    expected = placement.to_network(np.array([[x, y, 1]], np.float32))[0]
    assert (columns * seen).sum() / seen.sum() == pytest.approx(expected[0], abs=0.03)
    assert (rows * seen).sum() / seen.sum() == pytest.approx(expected[1], abs=0.03)


def photo(wh: tuple[int, int]) -> np.ndarray:
    """Shapes with sharp edges and fine texture, as large as asked for."""
    made = np.random.default_rng(4)
    picture = cv2.resize(made.integers(0, 256, (90, 160, 3), np.uint8), wh, interpolation=cv2.INTER_CUBIC)
    return cv2.add(picture, made.integers(0, 12, picture.shape, np.uint8))


@pytest.mark.parametrize("frame_wh", SIZES)
def test_it_looks_as_averaged_by_area(frame_wh: tuple[int, int]) -> None:
    frame, placement = photo(frame_wh), letterbox(frame_wh, (456, 256))
    reference = by_area(frame, placement, 128).astype(float)
    ours = np.abs(place(frame, placement) - reference).mean()
    width, height = (round(placement.matrix[axis][axis] * frame_wh[axis]) for axis in (0, 1))
    sampled = np.full_like(reference, 128)
    sampled[:height, :width] = cv2.resize(frame, (width, height), interpolation=cv2.INTER_NEAREST)
    assert ours < 2.5
    assert ours < np.abs(sampled - reference).mean() / 2


def test_a_crop_that_shrinks_looks_as_averaged_by_area() -> None:
    frame = photo((1920, 1080))
    box = (100.0, 20.0, 960.0, 960.0)
    reference = cv2.resize(frame[20:980, 100:1060], (192, 192), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(cut(frame, crop(box, (192, 192))) - reference).mean() < 2


def test_an_even_frame_of_one_colour_stays_that_colour_in_every_pixel() -> None:
    for frame_wh in SIZES:
        out = np.zeros((144, 256, 3), np.uint8)
        shrink(np.full((frame_wh[1], frame_wh[0], 3), 201, np.uint8), out, Scratch())
        assert (out == 201).all(), frame_wh


def test_frames_of_every_size_are_made_in_memory_that_is_there() -> None:
    spec = tiny_manifest().input
    scratch, tensor = Scratch(), np.empty(spec.shape(), np.float32)
    canvas = np.empty((spec.size_wh[1], spec.size_wh[0], 3), np.uint8)
    for frame_wh in (*SIZES, *SIZES):
        frame, placement = photo(frame_wh), letterbox(frame_wh, spec.size_wh)
        placed = place(frame, placement, spec.fit.pad, canvas, scratch)
        assert np.shares_memory(placed, canvas)
        made = to_input(placed, spec, tensor, scratch)
        assert made is tensor
        assert np.array_equal(made, to_input(place(frame, placement, spec.fit.pad), spec))
    kept = {name: array.ctypes.data for name, array in scratch._kept.items()}
    place(photo(SIZES[0]), letterbox(SIZES[0], spec.size_wh), spec.fit.pad, canvas, scratch)
    assert {name: array.ctypes.data for name, array in scratch._kept.items()} == kept


def test_a_tensor_that_is_given_back_is_used_again_and_one_that_is_not_stays_as_it_is() -> None:
    whole = WholeFrame(StandIn())
    first = whole.prepare(np.full((48, 64, 3), 10, np.uint8))
    held = first.tensor.copy()
    second = whole.prepare(np.full((48, 64, 3), 90, np.uint8))
    assert not np.shares_memory(first.tensor, second.tensor)
    assert np.array_equal(first.tensor, held)
    whole.give_back(second.tensor)
    assert np.shares_memory(whole.prepare(np.zeros((48, 64, 3), np.uint8)).tensor, second.tensor)
    inputs = Inputs(whole.engine)
    inputs.give_back(np.zeros(3))
    assert inputs.take((64, 64), 2).shape[0] == 2
