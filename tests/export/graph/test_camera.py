"""A camera's whole frame into the graph: the network sees what the runtime would have shown it, and people are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from posetrt.calib.int8.calibrate import calibrate
from posetrt.export.graph.camera import CAMERA_PREFIX, Camera
from posetrt.export.graph.float16 import to_fp16
from posetrt.export.graph.fused import with_uint8_input
from posetrt.export.graph.graph import load_graph
from posetrt.export.graph.onnx_model import write_folder
from posetrt.export.heads.user_graph import GraphOptions, model_from_onnx
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.find.whole_frame import WholeFrame
from posetrt.runtime.heads.heatmap import HeatmapHead
from posetrt.runtime.heads.paf.layout import load_layout
from posetrt.runtime.model.folder import open_folder
from posetrt.runtime.model.manifest import Colour, InputSpec, Layout, Manifest, manifest_from_dict
from posetrt.runtime.picture import cut, place, to_input, to_nv12, whole_picture
from posetrt.runtime.placement import Fit, How, letterbox, whole_in
from posetrt.runtime.pose import open_pose
from posetrt.runtime.scaling import Scratch
from tests.export.graph.test_fused import run_onnx
from tests.rtx import build_with_rtx
from tests.tiny import tiny_network

FRAMES = [(1280, 720), (1920, 1080), (3840, 2160), (640, 480), (320, 240), (500, 282), (456, 256)]


def what_is_seen(size_wh: tuple[int, int], fit: Fit, layout: Layout = "NCHW", colour: Colour = "BGR") -> tuple[Any, Manifest]:
    """A graph that gives its own input."""
    spec = InputSpec("image", layout, size_wh, size_wh, size_wh, colour, in_graph=True, fit=fit)
    dims = list(spec.shape())
    graph = helper.make_graph(
        [helper.make_node("Identity", ["image"], ["seen"], name="Identity")],
        "seen",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info("seen", TensorProto.FLOAT, dims)],
    )
    head = HeatmapHead(outputs={"heatmaps": "seen"}, stride=8)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model, Manifest("onnx", load_layout("coco18").skeleton, spec, head)


def picture(wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Colours and edges, as a camera gives them: no finer than two pixels."""
    made = np.random.default_rng(1).integers(0, 256, (wh[1] // 8, wh[0] // 8, 3), np.uint8)
    return np.asarray(cv2.resize(made, wh, interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.mark.parametrize("how", ["top-left", "centre", "stretch"])
@pytest.mark.parametrize("frame_wh", FRAMES)
def test_the_network_sees_the_runtimes_letterbox_within_a_grey_level(frame_wh: tuple[int, int], how: How) -> None:
    model, manifest = what_is_seen((456, 256), Fit(how, 114))
    fused, described = with_uint8_input(model, manifest, Camera(frame_wh))
    frame = picture(frame_wh)
    seen = run_onnx(fused, to_input(frame, described.input))["seen"]
    expected = to_input(place(frame, letterbox(frame_wh, (456, 256), how), 114), manifest.input)
    apart = np.abs(seen - expected)
    assert apart.max() <= 1.0
    assert apart.mean() < 0.01


@pytest.mark.parametrize(("layout", "colour"), [("NCHW", "RGB"), ("NHWC", "BGR"), ("NHWC", "RGB")])
def test_nv12_comes_to_the_same_picture_as_bgr_in_every_layout(layout: Layout, colour: Colour) -> None:
    model, manifest = what_is_seen((456, 256), Fit(), layout, colour)
    fused, described = with_uint8_input(model, manifest, Camera((1280, 720), "nv12"))
    packed = np.empty(described.input.shape()[1:], np.uint8)
    to_nv12(picture((1280, 720)), packed, Scratch())
    frame = np.asarray(cv2.cvtColor(packed, cv2.COLOR_YUV2BGR_NV12), np.uint8)
    apart = np.abs(run_onnx(fused, packed[None])["seen"] - to_input(place(frame, letterbox((1280, 720), (456, 256))), manifest.input))
    assert apart.max() <= 1.0
    assert apart.mean() < 0.01


@pytest.mark.parametrize("frame_wh", [(640, 480), (1280, 720), (101, 333)])
def test_a_network_for_crops_sees_the_whole_frame_as_its_crop(frame_wh: tuple[int, int]) -> None:
    model, manifest = what_is_seen((192, 256), Fit("crop", 7))
    fused, described = with_uint8_input(model, manifest, Camera(frame_wh))
    frame = picture(frame_wh)
    expected = to_input(cut(frame, whole_in(frame_wh, (192, 256), "crop"), 7), manifest.input)
    apart = np.abs(run_onnx(fused, to_input(frame, described.input))["seen"] - expected)
    # warpAffine rounds places to a 32nd of a pixel.
    assert np.quantile(apart, 0.99) <= 2.0
    assert apart.mean() < 0.5


def test_in_float16_the_picture_stays_within_a_grey_level() -> None:
    model, manifest = what_is_seen((456, 256), Fit())
    for pixel_format in ("bgr", "nv12"):
        fused, described = with_uint8_input(model, manifest, Camera((1920, 1080), pixel_format))  # type: ignore[arg-type]
        tensor = to_input(picture((1920, 1080)), described.input)
        half = to_fp16(fused)
        made = {
            name: value.type.tensor_type.elem_type
            for value in onnx.shape_inference.infer_shapes(half).graph.value_info
            for name in [value.name]
        }
        samples = [node for node in half.graph.node if node.op_type == "Gather"]
        assert len(samples) == 6
        assert all(made[name] == TensorProto.FLOAT16 for node in samples for name in node.output)
        apart = np.abs(run_onnx(half, tensor)["seen"] - run_onnx(fused, tensor)["seen"])
        assert apart.max() <= 2.0
        assert apart.mean() < 0.3


@pytest.mark.parametrize("frame_wh", [(1280, 720), (1920, 1080)])
@pytest.mark.parametrize("pixel_format", ["bgr", "nv12"])
def test_tensorrt_for_rtx_builds_it(frame_wh: tuple[int, int], pixel_format: Any) -> None:
    model, manifest = what_is_seen((456, 256), Fit(), colour="RGB")
    fused, _ = with_uint8_input(model, manifest, Camera(frame_wh, pixel_format))
    assert build_with_rtx(fused)
    assert build_with_rtx(to_fp16(fused))


def test_the_manifest_says_what_the_camera_must_give_and_reads_back() -> None:
    model, manifest = what_is_seen((456, 256), Fit())
    assert "camera_wh" not in manifest.to_dict()["input"]
    _, described = with_uint8_input(model, manifest, Camera((1280, 720), "nv12"))
    again = manifest_from_dict(described.to_dict(), "here")
    assert again.input == described.input
    assert (again.input.camera_wh, again.input.pixel_format, again.input.size_wh) == ((1280, 720), "nv12", (456, 256))
    assert again.input.shape(2) == (2, 1080, 1280)
    with pytest.raises(UsageError, match="even sides"):
        with_uint8_input(model, manifest, Camera((1281, 720), "nv12"))
    with pytest.raises(UsageError, match="already"):
        with_uint8_input(*with_uint8_input(model, manifest, Camera((1280, 720))), Camera((1280, 720)))


def test_a_frame_of_the_cameras_size_goes_in_as_it_is_and_another_is_refused(tmp_path: Path) -> None:
    folder = camera_folder(tmp_path, "bgr")
    with open_pose(folder) as pose:
        frame = picture((320, 240))
        assert isinstance(pose.whole, WholeFrame)
        prepared = pose.whole.prepare(frame)
        assert np.shares_memory(prepared.tensor, frame)
        pose(frame)
        pose.warm_up()
        with pytest.raises(PosetrtError, match="exported with --camera 320x240 and takes frames of that size; this one is 640x480"):
            pose(picture((640, 480)))


def test_maps_and_placement_are_those_of_the_cpus_letterbox(tmp_path: Path) -> None:
    model, manifest = tiny(tmp_path)
    plain = write_folder(model, manifest, tmp_path / "plain")
    frame = picture((320, 240))
    packed = np.empty((360, 320), np.uint8)
    to_nv12(frame, packed, Scratch())
    with (
        open_pose(plain.onnx) as pose,
        open_pose(camera_folder(tmp_path, "bgr")) as camera,
        open_pose(camera_folder(tmp_path, "nv12")) as nv12,
    ):
        assert pose.whole is not None
        assert camera.whole is not None
        plainly, straight = pose.whole.prepare(frame), camera.whole.prepare(frame)
        assert plainly.placements == straight.placements
        expected, found = pose.engine.infer(plainly.tensor), camera.engine.infer(straight.tensor)
        for name, maps in expected.items():
            assert np.abs(found[name] - maps).max() < 0.02 * np.ptp(maps)
        assert nv12.whole is not None
        same = nv12.whole.prepare(packed).tensor
        assert np.shares_memory(same, packed)
        assert np.array_equal(same, nv12.whole.prepare(frame).tensor)


def test_int8_leaves_the_camera_part_in_float(tmp_path: Path) -> None:
    pictures = []
    for number in range(3):
        pictures.append(tmp_path / f"{number}.png")
        cv2.imwrite(str(pictures[-1]), picture((200 + 40 * number, 180)))
    folder = open_folder(camera_folder(tmp_path, "nv12").parent, to_write=True)
    calibrate(folder, pictures, all_int8=True)
    for variant in ("int8-ort", "int8-trt", "int8-trt-fp16"):
        graph = load_graph(folder.variant(variant))
        camera = [node for node in graph.nodes if node.name.startswith(CAMERA_PREFIX)]
        assert [node.op_type for node in camera].count("Gather") == 6
        quantised = {name for node in graph.nodes if node.op_type == "DequantizeLinear" for name in node.output}
        assert not any(quantised & set(node.input) for node in camera)
        assert any(node.op_type == "QuantizeLinear" for node in graph.nodes)
    assert build_with_rtx(folder.variant("int8-trt-fp16").read_bytes())


def test_a_photograph_of_another_size_calibrates_as_that_camera_would_show_it() -> None:
    model, manifest = what_is_seen((456, 256), Fit())
    _, described = with_uint8_input(model, manifest, Camera((1280, 720)))
    canvas, placement = whole_picture(picture((480, 640)), described.input)
    assert canvas.shape == (720, 1280, 3)
    whole = placement.to_network(np.array([[-0.5, -0.5, 1], [479.5, 639.5, 1]], np.float32))
    assert whole[:, :2] == pytest.approx(np.array([[-0.5, -0.5], [0.75 * 256 - 0.5, 255.5]]), abs=0.2)


def tiny(tmp_path: Path) -> tuple[Any, Manifest]:
    return model_from_onnx(tiny_network(tmp_path / "tiny.onnx"), GraphOptions(normalise="openpose", size_wh=(128, 96)))


def camera_folder(tmp_path: Path, pixel_format: Any) -> Path:
    """The model.onnx of a small network behind a camera of 320x240."""
    model, manifest = with_uint8_input(*tiny(tmp_path), Camera((320, 240), pixel_format))
    return write_folder(model, manifest, tmp_path / pixel_format).onnx


@pytest.mark.slow
@pytest.mark.parametrize("pixel_format", ["bgr", "nv12"])
@pytest.mark.parametrize("frame_wh", [(1280, 720), (1920, 1080)])
def test_people_of_real_frames_are_the_same(hpe0001: Path, shared_data: Path, frame_wh: tuple[int, int], pixel_format: Any) -> None:
    """Key points within 0.1 px of the network's input."""
    model, manifest = model_from_onnx(hpe0001, GraphOptions(normalise="in-graph", size_wh=(456, 256)))
    fused, described = with_uint8_input(model, manifest, Camera(frame_wh, pixel_format))
    decoder = manifest.head.decoder(manifest.skeleton)
    people = 0
    for path in sorted((shared_data / "images").glob("*.jpg"))[::4]:
        photo = cv2.imread(str(path))
        assert photo is not None
        frame = whole_picture(np.asarray(photo, np.uint8), described.input)[0]
        tensor = to_input(frame, described.input)
        if pixel_format == "nv12":
            frame = np.asarray(cv2.cvtColor(tensor[0], cv2.COLOR_YUV2BGR_NV12), np.uint8)
        outputs = run_onnx(model, to_input(place(frame, letterbox(frame_wh, (456, 256))), manifest.input))
        (expected,), (found,) = (decoder.decode(each, (456, 256)) for each in (outputs, run_onnx(fused, tensor)))
        assert len(found) == len(expected)
        assert np.abs(found.keypoints[..., :2] - expected.keypoints[..., :2]).max(initial=0) < 0.1
        people += len(found)
    assert people > 15
