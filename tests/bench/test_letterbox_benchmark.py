"""The benchmark of the letterbox compares with averaging by area, on the same frames in turns."""

from __future__ import annotations

import cv2
import numpy as np

from posetrt.bench.letterbox_benchmark import by_area, enlarged, timed
from posetrt.runtime.picture import place
from posetrt.runtime.placement import letterbox
from tests.tiny_model import tiny_manifest


def test_a_row_tells_both_times_their_ratio_and_how_far_the_pictures_are_apart() -> None:
    photo = cv2.resize(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8), (320, 240))
    row = timed(tiny_manifest().input, [np.asarray(photo, np.uint8)], 3)
    assert row.frame == "320x240"
    assert row.ms is not None
    assert row.area_ms is not None
    assert row.ratio is not None
    assert min(row.ms, row.area_ms, row.ratio) > 0
    assert 0 < row.grey < 5


def test_the_reference_is_area_where_it_shrinks_and_what_the_runtime_does_elsewhere() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    placement = letterbox((320, 240), (100, 60), "centre")
    seen = by_area(frame, placement, 9)
    assert np.array_equal(seen[:, 10:90], cv2.resize(frame, (80, 60), interpolation=cv2.INTER_AREA))
    assert (seen[:, :10] == 9).all()
    assert (seen[:, 90:] == 9).all()
    larger = letterbox((320, 240), (456, 256))
    assert np.array_equal(by_area(frame, larger, 128), place(frame, larger))


def test_a_photograph_is_enlarged_as_far_as_it_fits() -> None:
    assert enlarged(np.zeros((100, 200, 3), np.uint8), (1920, 1080)).shape == (960, 1920, 3)
