"""What tiles find and cost is measured on canvases whose annotations fit the pictures on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from posetrt.bench.tiles_benchmark import bench_tiles
from posetrt.calib.scenes.canvases import strew
from posetrt.calib.scenes.scenes import draw_scene
from posetrt.calib.scenes.truth import write_scenes
from posetrt.runtime.errors import UsageError
from posetrt.runtime.find.tiles import Tiles
from posetrt.runtime.model.skeleton import load_skeleton
from posetrt.runtime.people import People
from posetrt.runtime.sources import read_photo
from tests.runtime.find.test_tiles import Shown
from tests.runtime.heads.families import DETECTORS


@pytest.fixture(scope="module")
def photos(tmp_path_factory):  # type: ignore[no-untyped-def]
    return write_scenes((draw_scene(seed, (300, 240), 2) for seed in range(5)), tmp_path_factory.mktemp("scenes"))


def test_every_photograph_lies_on_one_canvas_with_its_people_where_they_are(photos, tmp_path: Path) -> None:
    canvases = strew(photos, tmp_path, size_wh=(400, 300), shrink=2)
    before, after = photos.truth["annotations"], canvases.truth["annotations"]
    assert len(after) == len(before)
    assert len(canvases) > 1
    for one in after:
        # The photograph about the person is the same picture, shrunk: found again by its pixels.
        canvas = read_photo(canvases.paths[one["image_id"]]).astype(np.float64)
        x, y, width, height = one["bbox"]
        grey = (canvas == 128).all(axis=2)
        assert not grey[max(0, int(y)) : int(y + height), max(0, int(x)) : int(x + width)].all()
    # Shrunk by half, and the same people.
    assert sorted(one["area"] / 4 for one in before) == pytest.approx(sorted(one["area"] for one in after), rel=0.02)


def test_a_canvas_that_a_photograph_does_not_fit_in_is_told(photos, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="shrink more"):
        strew(photos, tmp_path, size_wh=(200, 100), shrink=1)


def test_the_report_has_a_row_for_one_pass_and_one_for_each_kind_of_tiles(photos) -> None:
    nobody = People(np.zeros((0, 0, 3), np.float32), np.zeros(0, np.float32), boxes=np.zeros((0, 4), np.float32))
    engine = Shown(DETECTORS["rtmdet"], load_skeleton("boxes"), (64, 48), nobody)
    report = bench_tiles(engine, photos, [Tiles(2, 2), Tiles(3, 1)], size_wh=(400, 300), shrink=2)
    assert [(row["tiles"], row["pictures"]) for row in report["rows"]] == [("one pass", 1), ("2x2", 5), ("3x1", 4)]
    assert report["rows"][0]["figures"]["box_ap"] == 0
    assert report["rows"][0]["picture_ms"] is None
