"""NV12 frames: from a source to a network that takes them without becoming BGR on the way, and BGR where somebody shows pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.find.whole_frame import WholeFrame
from posetrt.runtime.heads.base import Tensors
from posetrt.runtime.picture import to_nv12
from posetrt.runtime.pipeline import pipeline
from posetrt.runtime.pose import Pose
from posetrt.runtime.scaling import Scratch
from posetrt.runtime.sources import Frame
from posetrt.runtime.sources.gstreamer import Launched
from posetrt.runtime.sources.pipelines import Wanted
from tests.runtime.sources.test_cameras import gst_launch as gst_launch
from tests.runtime.sources.test_smaller import Seen
from tests.stand_in import StandIn

WH = (320, 240)


class Camera(StandIn):
    """A network that takes NV12 frames of 320x240, and keeps what it was shown."""

    def __init__(self, pixel_format: Any = "nv12") -> None:
        super().__init__()
        spec = replace(self.manifest.input, camera_wh=WH, pixel_format=pixel_format)
        self.manifest = replace(self.manifest, input=spec)
        self.seen: list[NDArray[np.uint8]] = []

    def infer(self, inputs: NDArray[Any]) -> Tensors:
        self.seen.append(inputs.copy())
        return super().infer(inputs)


def bgr() -> NDArray[np.uint8]:
    picture = np.zeros((WH[1], WH[0], 3), np.uint8)
    picture[:, : WH[0] // 2] = (200, 40, 40)
    return picture


def nv12() -> NDArray[np.uint8]:
    packed = np.empty((WH[1] * 3 // 2, WH[0]), np.uint8)
    to_nv12(bgr(), packed, Scratch())
    return packed


PACKED = nv12()


def test_packing_is_opencvs_i420_with_its_chroma_in_turns() -> None:
    packed, planes = nv12(), cv2.cvtColor(bgr(), cv2.COLOR_BGR2YUV_I420)
    assert np.array_equal(packed[: WH[1]], planes[: WH[1]])
    blue, red = planes[WH[1] :].reshape(2, -1)
    assert np.array_equal(packed[WH[1] :].reshape(-1, 2), np.stack([blue, red], axis=1))


def test_a_call_takes_nv12_and_bgr_and_finds_the_same_people() -> None:
    engine = Camera()
    with Pose(WholeFrame(engine)) as pose:
        first, second = pose(nv12()), pose(bgr())
    assert np.array_equal(first.keypoints, second.keypoints)
    assert np.array_equal(engine.seen[0], nv12()[None])
    assert np.array_equal(engine.seen[1], nv12()[None])


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (np.zeros((240, 320), np.uint8), r"takes NV12 frames of 320x240: uint8 \(360, 320\).* or BGR.*got uint8 \(240, 320\)"),
        (np.zeros((360, 320), np.float32), r"uint8 \(360, 320\).*got float32 \(360, 320\)"),
        (np.zeros((320, 360), np.uint8), r"got uint8 \(320, 360\)"),
        (np.zeros((480, 640, 3), np.uint8), "takes frames of that size; this one is 640x480"),
        ("photo.jpg", "got str"),
    ],
)
def test_a_frame_of_another_shape_or_type_is_refused_with_what_is_taken(frame: Any, said: str) -> None:
    with Pose(WholeFrame(Camera())) as pose, pytest.raises(PosetrtError, match=said):
        pose(frame)


def test_a_network_without_nv12_says_how_to_get_one() -> None:
    with Pose(WholeFrame(Camera("bgr"))) as pose, pytest.raises(PosetrtError, match=r"--pixel-format nv12.*COLOR_YUV2BGR_NV12"):
        pose(nv12())
    with Pose(WholeFrame(StandIn())) as pose, pytest.raises(PosetrtError, match=r"must be a uint8 array \(H, W, 3\)"):
        pose(nv12())


class Given:
    """A source that has its pictures as NV12."""

    label, live, fps, state, shortfall = "given", False, 30.0, "on", None

    def __init__(self) -> None:
        self.skipped: list[str] = []
        self.nv12_wh: tuple[int, int] | None = None
        self.enough_wh: tuple[int, int] | None = None

    def __iter__(self) -> Iterator[Frame]:
        for index in range(3):
            yield Frame(PACKED if self.nv12_wh == WH else bgr(), f"given_{index}", index, index / 30)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("needs_pictures", [False, True])
def test_a_run_passes_nv12_on_as_it_is_and_makes_bgr_only_for_who_shows_pictures(
    needs_pictures: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted: list[int] = []
    convert = cv2.cvtColor
    monkeypatch.setattr(cv2, "cvtColor", lambda picture, code, **rest: converted.append(code) or convert(picture, code, **rest))  # type: ignore[func-returns-value]
    engine, source, sink = Camera(), Given(), Seen(needs_pictures)
    pipeline.run(Pose(WholeFrame(engine)), [source], [sink], pipeline.Options(track=True))
    assert source.nv12_wh == WH
    assert source.enough_wh == (None if needs_pictures else WH)
    assert not converted
    assert all((shown == PACKED).all() for shown in engine.seen)
    assert [result.frame.size_wh for result in sink.results] == 3 * [WH]
    if needs_pictures:
        shown = sink.results[0].frame.image
        assert converted == [cv2.COLOR_YUV2BGR_NV12]
        assert shown.shape == (WH[1], WH[0], 3)
        assert np.abs(shown[:, : WH[0] // 2 - 2].astype(int) - (200, 40, 40)).max() <= 3
        assert sink.results[0].frame.image is shown, "converted once"


def test_another_network_gets_bgr_of_the_same_source() -> None:
    source = Given()
    source.nv12_wh = WH
    sink = Seen(True)
    pipeline.run(Pose(WholeFrame(StandIn())), [source], [sink])
    assert source.nv12_wh is None
    assert sink.results[0].frame.picture.ndim == 3


def test_a_pipelines_nv12_is_read_without_a_header_and_without_its_padding(gst_launch: Any, tmp_path: Any) -> None:
    # GStreamer's rows are multiples of 4 bytes (video-info.c).
    width, height = 10, 4
    picture = np.arange(60, dtype=np.uint8).reshape(6, 10)
    (tmp_path / "stream").write_bytes(2 * np.pad(picture, ((0, 0), (0, 2))).tobytes())
    gst_launch(f"cat '{tmp_path}/stream'")
    launched = Launched("camerasrc", wanted=Wanted((width, height), nv12=True))
    for _ in range(2):
        read = launched.read()
        assert read is not None
        assert np.array_equal(read, picture)
        assert launched.came_s is not None
    launched.close()


def test_any_pipelines_pictures_reach_an_nv12_network_without_a_turn_through_bgr(gst_launch: Any, tmp_path: Any) -> None:
    planes = cv2.cvtColor(bgr(), cv2.COLOR_BGR2YUV_I420)
    (tmp_path / "stream").write_bytes(f"YUV4MPEG2 W{WH[0]} H{WH[1]} F30:1\n".encode() + 2 * (b"FRAME\n" + planes.tobytes()))
    gst_launch(f"cat '{tmp_path}/stream'")
    for nv12_wh in (WH, (640, 480)):
        launched = Launched("camerasrc", nv12_wh=nv12_wh)
        read = launched.read()
        launched.close()
        assert read is not None
        assert np.array_equal(read, nv12()) if nv12_wh == WH else read.shape == (WH[1], WH[0], 3)
