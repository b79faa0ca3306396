"""Pictures that sources make smaller where nobody needs them whole: key points stay in pixels of the source."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from posetrt.runtime.pipeline import pipeline
from posetrt.runtime.sinks.base import Result, Sink
from posetrt.runtime.sources import Frame
from posetrt.runtime.sources.base import enough, smaller_wh
from posetrt.runtime.sources.files import Photos, read_smaller
from posetrt.runtime.sources.picture_header import MOST_MEGAPIXELS
from tests.stand_in import stand_in

EXIF_ACROSS = bytes.fromhex("ffe100224578696600004d4d002a00000008000101120003000000010006000000000000")
"""APP1 with orientation 6: turned a quarter when shown."""


class Seen(Sink):
    """Keeps results; may say that it shows pictures."""

    def __init__(self, needs_pictures: bool) -> None:
        self.needs_pictures = needs_pictures
        self.results: list[Result] = []

    def write(self, result: Result) -> None:
        self.results.append(result)

    def close(self) -> None:
        pass


def photo(folder: Path, size_wh: tuple[int, int], *, across: bool = False) -> Path:
    """A JPEG with a bright square at a quarter of its width and three quarters of its height, as stored."""
    width, height = size_wh
    picture = np.full((height, width, 3), 60, np.uint8)
    picture[height * 3 // 4 : height * 3 // 4 + height // 20, width // 4 : width // 4 + height // 20] = 255
    data = cv2.imencode(".jpg", picture)[1].tobytes()
    path = folder / f"{width}x{height}{'a' if across else ''}.jpg"
    path.write_bytes(data[:2] + EXIF_ACROSS + data[2:] if across else data)
    return path


@pytest.mark.parametrize(
    ("size_wh", "read_wh"),
    [
        ((3840, 2160), (480, 270)),
        ((1920, 1080), (480, 270)),
        ((1280, 720), (640, 360)),
        ((900, 500), (900, 500)),
        ((1001, 667), (501, 334)),
    ],
)
def test_a_large_jpeg_is_decoded_smaller_and_never_below_its_place_in_the_input(
    tmp_path: Path, size_wh: tuple[int, int], read_wh: tuple[int, int]
) -> None:
    image, whole_wh = read_smaller(photo(tmp_path, size_wh), MOST_MEGAPIXELS, (456, 256))
    assert (image.shape[1], image.shape[0]) == read_wh
    assert whole_wh == (None if read_wh == size_wh else size_wh)


def test_a_photograph_that_exif_turns_has_its_size_as_it_is_seen(tmp_path: Path) -> None:
    path = photo(tmp_path, (4000, 3000), across=True)
    image, whole_wh = read_smaller(path, MOST_MEGAPIXELS, (456, 256))
    assert cv2.imread(str(path)).shape == (4000, 3000, 3)
    assert whole_wh == (3000, 4000)
    assert image.shape[0] > image.shape[1]


def test_a_png_and_a_photograph_for_pictures_stay_whole(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((2000, 3000, 3), np.uint8))
    assert read_smaller(tmp_path / "a.png", MOST_MEGAPIXELS, (456, 256))[1] is None
    assert read_smaller(photo(tmp_path, (3840, 2160)), MOST_MEGAPIXELS, None)[0].shape == (2160, 3840, 3)


@pytest.mark.parametrize("needs_pictures", [False, True])
@pytest.mark.parametrize("across", [False, True])
def test_people_are_where_the_whole_picture_has_them(tmp_path: Path, needs_pictures: bool, across: bool) -> None:
    path = photo(tmp_path, (1600, 1200), across=across)
    sink = Seen(needs_pictures)
    pipeline.run(stand_in(), [Photos([path])], [sink])
    (result,) = sink.results
    assert result.frame.size_wh == ((1200, 1600) if across else (1600, 1200))
    assert (result.frame.image.shape[0] == result.frame.size_wh[1]) == needs_pictures
    whole = Seen(True)
    pipeline.run(stand_in(), [Photos([path])], [whole], pipeline.Options(whole_pictures=True))
    assert result.people.keypoints == pytest.approx(whole.results[0].people.keypoints, abs=4.0)
    assert result.people.keypoints[..., :2].max() > 800


class Given:
    """A source that says of its frames that they are smaller than the camera's."""

    label, live, fps, state, shortfall = "given", False, None, "on", None

    def __init__(self, frames: list[Frame]) -> None:
        self.skipped: list[str] = []
        self.frames = frames
        self.enough_wh: tuple[int, int] | None = None

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)

    def close(self) -> None:
        pass


def test_only_a_source_that_can_is_asked_and_only_where_it_helps() -> None:
    frame: NDArray[np.uint8] = np.zeros((100, 200, 3), np.uint8)
    for needs, whole, asked in ((False, False, (64, 64)), (True, False, None), (False, True, None)):
        source = Given([Frame(frame, "a", 0, 0.0, whole_wh=(2000, 1000))])
        pipeline.run(stand_in(), [source], [Seen(needs)], pipeline.Options(whole_pictures=whole))
        assert source.enough_wh == asked
    plain: Any = object()
    enough(plain, (64, 64))


def test_hardware_scales_to_even_sides_and_never_enlarges() -> None:
    assert smaller_wh((1920, 1080), (456, 256)) == (456, 256)
    assert smaller_wh((1280, 960), (456, 256)) == (342, 256)
    assert smaller_wh((1080, 1920), (456, 256)) == (144, 256)
    assert smaller_wh((320, 240), (456, 256)) is None


def test_the_command_says_the_same_of_a_large_photograph_either_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from posetrt import cli

    path = photo(tmp_path, (1920, 1080))
    for size in ("auto", "full"):
        assert cli.main(["run", "--source", str(path), "--frame-size", size, "--jsonl", str(tmp_path / f"{size}.jsonl"), "--quiet"]) == 0
    lines = [json.loads((tmp_path / f"{size}.jsonl").read_text()) for size in ("auto", "full")]
    assert len(lines[0]["people"]) == len(lines[1]["people"])
