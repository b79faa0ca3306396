"""A board's camera pipelines in a real GStreamer: elements of every computer stand in for NVIDIA's, `videotestsrc` for the camera."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from posetrt.runtime.sources.base import Frame
from posetrt.runtime.sources.gstreamer import Launched, Scaled, has_element
from posetrt.runtime.sources.pipelines import AS_IT_COMES, Wanted, csi, csi_wh, rtsp, usb_mjpeg, wanted_of
from tests.jetson.conftest import Tree
from tests.runtime.pipeline.test_streams import free_port, needs_gstreamer, rtsp_server

ROOT = Path(__file__).resolve().parents[2]
DEBIAN_PYTHON = Path("/usr/bin/python3")
STAND_INS = {
    "nvarguscamerasrc sensor-id=0": "videotestsrc pattern=smpte",
    "(memory:NVMM)": "",
    "nvvidconv flip-method=0": "videoconvert ! videoscale",
    "nvvidconv flip-method=1": "videoconvert ! videoflip video-direction=90l ! videoscale",
    "nvvidconv flip-method=2": "videoconvert ! videoflip video-direction=180 ! videoscale",
    "nvvidconv": "videoconvert ! videoscale",
    " interpolation-method=5": "",
}


def stood_in(pipeline: str) -> str:
    for name, other in STAND_INS.items():
        pipeline = pipeline.replace(name, other)
    assert "nv" not in pipeline.replace("nvert", "")
    return pipeline


@pytest.fixture
def read() -> Callable[[str, int], NDArray[np.uint8]]:
    needs_gstreamer()

    def last_of(pipeline: str, count: int) -> NDArray[np.uint8]:
        launched = Launched(pipeline)
        try:
            pictures = [launched.read() for _ in range(count)]
        finally:
            launched.close()
        assert pictures[-1] is not None
        return pictures[-1]

    return last_of


def debian_opencv(program: str, *arguments: str) -> str:
    """Run a program with Debian's OpenCV, which is built with GStreamer as JetPack's is."""
    probe = "import cv2, sys; sys.exit(cv2.videoio_registry.getBackendName(cv2.CAP_GSTREAMER) != 'GSTREAMER')"
    if not DEBIAN_PYTHON.exists() or subprocess.run([DEBIAN_PYTHON, "-c", probe], capture_output=True, check=False).returncode:
        pytest.skip("no OpenCV with GStreamer: apt-get install python3-opencv")
    environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [DEBIAN_PYTHON, "-c", program, *arguments], capture_output=True, text=True, check=False, timeout=60, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_csi_pipeline_gives_the_size_that_was_asked_and_turns_the_picture(read: Callable[[str, int], NDArray[np.uint8]]) -> None:
    upright = read(stood_in(csi(0, {"width": "640", "height": "480", "fps": "60"})), 3)
    turned = read(stood_in(csi(0, {"width": "640", "height": "480", "fps": "60", "flip": "2"})), 3)
    assert upright.shape == turned.shape == (480, 640, 3)
    blue, green, red = upright[100, 600].astype(int)  # SMPTE bars end with blue on the right
    assert blue > 150
    assert max(green, red) < 60
    # The lower right corner holds noise: compare the bars alone.
    difference = np.abs(upright[:300].astype(int) - turned[::-1, ::-1][:300].astype(int))
    assert np.median(difference) <= 2
    assert np.abs(upright[:300].astype(int) - turned[:300].astype(int)).mean() > 20


@pytest.mark.slow
def test_an_rtsp_camera_in_h264_is_decoded_by_the_boards_pipeline(read: Callable[[str, int], NDArray[np.uint8]]) -> None:
    if not has_element("openh264enc") or not has_element("openh264dec"):
        pytest.skip("no H.264: apt-get install gstreamer1.0-plugins-bad")
    port = free_port()
    with rtsp_server(port, "h264"):
        picture = read(stood_in(rtsp(f"rtsp://127.0.0.1:{port}/camera")), 20)
    assert picture.shape == (240, 320, 3)
    assert (picture > 200).any(axis=2).sum() > 200, "the ball"
    assert (picture < 40).all(axis=2).mean() > 0.8, "the dark around it"


@pytest.mark.slow
def test_a_cameras_sound_is_never_taken_for_its_picture(read: Callable[[str, int], NDArray[np.uint8]]) -> None:
    port = free_port()
    with rtsp_server(port, sound=True):
        # Which of the two comes first differs from one connection to the next.
        for _ in range(6):
            assert read(stood_in(rtsp(f"rtsp://127.0.0.1:{port}/camera")), 2).shape == (240, 320, 3)


@pytest.mark.slow
def test_a_width_that_is_no_multiple_of_8_is_read_from_a_real_y4menc(read: Callable[[str, int], NDArray[np.uint8]]) -> None:
    for width in (100, 102, 106, 636):
        picture = read(f"videotestsrc pattern=red ! video/x-raw,format=I420,width={width},height=48", 3)
        assert picture.shape == (48, width, 3)
        assert (picture[..., 2] > 200).all(), f"red all over at {width}"
        assert (picture[..., :2] < 60).all(), f"red alone at {width}"


@pytest.mark.slow
def test_a_usb_cameras_jpeg_pictures_are_decoded_on_the_cpu(read: Callable[[str, int], NDArray[np.uint8]]) -> None:
    pipeline = usb_mjpeg("/dev/video0", {"width": "320", "height": "240"}, None)
    camera = "videotestsrc pattern=blue ! video/x-raw,format=I420 ! jpegenc"
    blue, _, red = read(pipeline.replace("v4l2src device=/dev/video0", camera), 3)[120, 160].astype(int)
    assert blue > 200
    assert red < 60


@pytest.mark.slow
@pytest.mark.parametrize(("flip", "whole_wh"), [("0", (640, 480)), ("1", (480, 640))])
def test_the_hardware_scales_the_csi_cameras_picture_as_it_is_seen(
    read: Callable[[str, int], NDArray[np.uint8]], flip: str, whole_wh: tuple[int, int]
) -> None:
    options = {"width": "640", "height": "480", "flip": flip}
    assert csi_wh(options) == whole_wh
    size_wh = whole_wh[0] // 4, whole_wh[1] // 4
    assert f"interpolation-method=5 ! video/x-raw,format=I420,width={size_wh[0]},height={size_wh[1]} !" in csi(0, options, Wanted(size_wh))
    whole = read(stood_in(csi(0, options)), 3)
    small = read(stood_in(csi(0, options, Wanted(size_wh))), 3)
    assert whole.shape == (whole_wh[1], whole_wh[0], 3)
    assert small.shape == (size_wh[1], size_wh[0], 3)
    # The bars' corner of noise is another one in each picture.
    assert np.median(np.abs(whole[2::4, 2::4].astype(int) - small)) <= 15
    assert np.median(np.abs(whole[2::4, 2::4][::-1, ::-1].astype(int) - small)) > 30


@pytest.mark.slow
def test_a_streams_first_picture_comes_whole_and_those_after_it_scaled(read: object) -> None:
    del read  # skips where there is no GStreamer

    def pipeline(wanted: Wanted) -> str:
        return stood_in(rtsp("rtsp://camera/1", wanted)).replace(
            "rtspsrc location=rtsp://camera/1 latency=100 drop-on-latency=true ! application/x-rtp,media=video ! decodebin",
            "videotestsrc ! video/x-raw,width=640,height=360",
        )

    stream = Scaled(pipeline, lambda whole_wh: wanted_of(whole_wh, (456, 256), None))
    try:
        seen = [(stream.read(), stream.whole_wh) for _ in range(4)]
    finally:
        stream.interrupt()
        stream.close()
    shapes = [None if picture is None else picture.shape for picture, _ in seen]
    assert shapes == [(360, 640, 3), *3 * [(256, 456, 3)]]
    assert [whole_wh for _, whole_wh in seen] == [None, *3 * [(640, 360)]]


@pytest.mark.slow
@pytest.mark.parametrize(("nv12_wh", "enough_wh", "rows"), [((640, 360), None, 540), ((320, 180), (320, 180), 270)])
def test_a_stream_for_an_nv12_network_comes_as_nv12_from_its_first_picture_that_fits(
    read: object, nv12_wh: tuple[int, int], enough_wh: tuple[int, int] | None, rows: int
) -> None:
    del read  # skips where there is no GStreamer

    def pipeline(wanted: Wanted) -> str:
        text = rtsp("rtsp://camera/1", wanted)
        assert wanted == AS_IT_COMES or f"format=NV12,width={nv12_wh[0]},height={nv12_wh[1]}" in text
        camera = "rtspsrc location=rtsp://camera/1 latency=100 drop-on-latency=true ! application/x-rtp,media=video ! decodebin"
        return stood_in(text).replace(camera, "videotestsrc pattern=blue ! video/x-raw,width=640,height=360")

    stream = Scaled(pipeline, lambda whole_wh: wanted_of(whole_wh, enough_wh, nv12_wh), nv12_wh)
    try:
        seen = [(stream.read(), stream.whole_wh) for _ in range(4)]
    finally:
        stream.close()
    shapes = [None if picture is None else picture.shape for picture, _ in seen]
    assert shapes == [(540, 640) if enough_wh is None else (360, 640, 3), *3 * [(rows, nv12_wh[0])]]
    assert [whole_wh for _, whole_wh in seen] == [None, *3 * [None if enough_wh is None else (640, 360)]]
    last = seen[-1][0]
    assert last is not None
    blue, green, red = Frame(last, "a", 0, 0.0).image[100, 100].astype(int)
    assert blue > 240
    assert max(green, red) < 15


def test_nv12_is_asked_of_the_scaler_only_in_the_size_that_the_network_takes() -> None:
    assert wanted_of((1280, 720), None, (1280, 720)) == Wanted((1280, 720), nv12=True)
    assert wanted_of((3840, 2160), (1280, 720), (1280, 720)) == Wanted((1280, 720), nv12=True)
    assert wanted_of((3840, 2160), None, (1280, 720)) == AS_IT_COMES, "somebody shows the whole picture"
    assert wanted_of((1600, 1200), (1280, 720), (1280, 720)) == AS_IT_COMES, "of other proportions"
    assert wanted_of((640, 360), (1280, 720), (1280, 720)) == AS_IT_COMES, "too small"
    assert wanted_of((1920, 1080), (456, 256), None) == Wanted((456, 256))
    assert "format=NV12,width=1280,height=720 ! queue" in csi(0, {}, Wanted((1280, 720), nv12=True))


def test_pictures_that_nobody_makes_smaller_take_the_pipeline_as_it_was() -> None:
    assert "interpolation" not in csi(0, {}) + rtsp("rtsp://a") + usb_mjpeg("/dev/video0", {})
    assert "width=456,height=256" in usb_mjpeg("/dev/video0", {}, Wanted((456, 256)))
    assert (
        rtsp("rtsp://a", Wanted((456, 256))).count("nvvidconv interpolation-method=5 ! video/x-raw,format=I420,width=456,height=256 !") == 1
    )


@pytest.mark.slow
def test_an_opencv_with_gstreamer_sees_what_our_process_sees(read: Callable[[str, int], NDArray[np.uint8]], tmp_path: Path) -> None:
    pipeline = stood_in(csi(0, {"width": "640", "height": "480"}))
    program = (
        "import cv2, numpy, sys\n"
        "camera = cv2.VideoCapture(sys.argv[1], cv2.CAP_GSTREAMER)\n"
        "good, picture = camera.read()\n"
        "assert good\n"
        "numpy.save(sys.argv[2], picture)\n"
    )
    debian_opencv(program, f"{pipeline} ! videoconvert ! video/x-raw,format=BGR ! appsink", str(tmp_path / "picture.npy"))
    theirs, ours = np.load(tmp_path / "picture.npy"), read(pipeline, 1)
    assert theirs.shape == ours.shape
    assert np.median(np.abs(theirs[:300].astype(int) - ours[:300].astype(int))) <= 3


@pytest.mark.slow
def test_the_doctor_passes_an_opencv_with_gstreamer_and_fails_one_without(board_root: Tree) -> None:
    root = board_root("orin-nx_jetpack-6.2")
    program = (
        "import sys\nfrom pathlib import Path\nfrom posetrt.doctor import examine\n"
        "print(next(f'{one.fatal} {one.found}' for one in examine(Path(sys.argv[1])) if one.what == 'OpenCV'))\n"
    )
    said = debian_opencv(program, str(root))
    assert said.startswith("False 4.")
    assert "with GStreamer" in said
    pips = subprocess.run([sys.executable, "-c", program, str(root)], capture_output=True, text=True, check=True)
    assert pips.stdout.startswith("True 4.")
    assert "without GStreamer" in pips.stdout
