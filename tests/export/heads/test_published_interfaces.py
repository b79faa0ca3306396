"""Outputs of networks as exporters and model zoos give them, which are easily misread or refused without help; a row names the exporter or the zoo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from posetrt.export.heads.base import Asked, GraphFacts, Layout, OutputFacts
from posetrt.export.heads.recognise import recognise
from posetrt.export.heads.user_graph import load_onnx, model_from_onnx
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.heads.boxes import BoxesHead
from tests.export.heads.candidate_networks import facts_for
from tests.export.heads.graph_facts import drawn, facts
from tests.runtime.heads.families import ROWS

Array = NDArray[Any]
Outputs = dict[str, Array]


def corners(count: int, scale: float = 640, seed: int = 0) -> Array:
    """(N, 4) left, top, right, bottom."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 0.6, (count, 2))
    return (np.concatenate([low, low + rng.uniform(0.1, 0.3, (count, 2))], 1) * scale).astype(np.float32)


def scores(count: int) -> Array:
    """(N,) the best first."""
    return np.sort(np.random.default_rng(1).uniform(0.3, 0.9, count))[::-1].astype(np.float32)


def columns(*values: Any) -> Array:
    """(N, V) of columns and tables of columns."""
    return np.concatenate([np.asarray(each, np.float32).reshape(len(values[-1]), -1) for each in values], 1)


def heat_maps(channels: int, rows: int, across: int) -> Array:
    """(1, C, h, w) where nothing is to be found."""
    return np.random.default_rng(0).normal(0, 0.02, (1, channels, rows, across)).astype(np.float32)


@dataclass(frozen=True)
class Interface:
    """What a network gives.

    Attributes:
        outputs: on noise.
        wanted: kind, skeleton, normalisation and placement.
        grey: outputs on grey, where they differ.
        size_wh, layout, dtype: of its input.
        person_class: that the head keeps; -1 where it is not looked at.
    """

    outputs: Callable[[], Outputs]
    wanted: tuple[str, str, str, str]
    grey: Callable[[], Outputs] | None = None
    size_wh: tuple[int, int] = (640, 640)
    layout: Layout = "NCHW"
    dtype: str = "float32"
    person_class: int = -1
    metadata: dict[str, str] = field(default_factory=dict)

    def facts(self) -> GraphFacts:
        """As the exporter would gather them."""
        noise = self.outputs()
        grey = self.grey() if self.grey else noise
        given = replace(facts(self.size_wh, noise, self.layout, self.dtype), metadata=self.metadata)
        return replace(given, outputs=tuple(OutputFacts(name, value, grey[name]) for name, value in noise.items()))


def paddle(*classes: int) -> Outputs:
    """PaddleDetection with NMS: class, score, box of each; one row of -1 or none where nothing is found."""
    count = len(classes)
    found = columns(classes, scores(count), corners(count)) if count else np.zeros((0, 6), np.float32)
    return {"multiclass_nms3_0.tmp_0": found, "multiclass_nms3_0.tmp_2": np.array([count], np.int32)}


def nothing() -> Outputs:
    """The same without a find, as one row."""
    return {"multiclass_nms3_0.tmp_0": np.array([[-1, 0, 0, 0, 0, 0]], np.float32), "multiclass_nms3_0.tmp_2": np.zeros(1, np.int32)}


def unnamed(count: int) -> Outputs:
    """As PaddleX 3 names them."""
    return {"fetch_name_0": np.zeros((count, 6), np.float32), "fetch_name_1": np.array([count], np.int32)}


def picodet() -> Outputs:
    """PicoDet of PaddleDetection without its post-processing."""
    cells = [(-(-320 // stride)) ** 2 for stride in (8, 16, 32, 64)]
    classes = {f"transpose_{2 * level}.tmp_0": drawn((1, count, 80), "probability") * np.float32(0.3) for level, count in enumerate(cells)}
    return classes | {f"transpose_{2 * level + 1}.tmp_0": drawn((1, count, 32), "tags") for level, count in enumerate(cells)}


def pinto(count: int) -> Outputs:
    """A YOLOX or Gold-YOLO of PINTO's model zoo with NMS: frame, class, score, box."""
    rows = columns(np.zeros(count), np.arange(count) % 3, scores(count), corners(count)) if count else np.zeros((0, 7), np.float32)
    return {"batchno_classid_score_x1y1x2y2": rows}


def deim() -> Outputs:
    """DEIM-Wholebody of PINTO's model zoo: class, box as shares, score."""
    return {"label_xyxy_score": columns(np.arange(680) % 34, corners(680, 1), scores(680))[None]}


def efficientdet_lite() -> Outputs:
    """EfficientDet-Lite from TensorFlow Lite, by tf2onnx."""
    ones = {"Call:3": corners(25, 1)[None], "Call:2": np.arange(25, dtype=np.float32)[None] // 5, "Call:1": scores(25)[None]}
    return ones | {"Call:0": np.array([25], np.float32)}


def with_its_levels() -> GraphFacts:
    """A YOLO-pose exported by torch.onnx.export from its module: the decoded output, and what it was made of."""
    given = facts_for(ROWS["yolo11"])
    levels = {f"level{stride}": drawn((1, 65, 192 // stride, 256 // stride)) for stride in (8, 16, 32)} | {"points": drawn((1, 51, 1008))}
    return replace(given, outputs=(*given.outputs, *(OutputFacts(name, value, value) for name, value in levels.items())))


def two_branches() -> GraphFacts:
    """YOLOv9 with its auxiliary branch."""
    given = facts_for(BoxesHead(outputs={"rows": "output0"}, values={"box": ("rows", 0, 4), "classes": ("rows", 4, 80)}, transposed=True))
    (one,) = given.outputs
    return replace(given, outputs=(one, replace(one, name="output1", noise=one.noise * np.float32(1.01))))


READ: dict[str, Interface] = {
    "PaddleDetection": Interface(lambda: paddle(0, 0, 2), ("boxes", "boxes", "unit", "stretch"), person_class=0),
    "PaddleDetection, nobody": Interface(lambda: paddle(), ("boxes", "boxes", "unit", "stretch"), person_class=0),
    "PaddleDetection, nobody, one row": Interface(nothing, ("boxes", "boxes", "unit", "stretch"), person_class=0),
    "PaddleX 3, nobody": Interface(lambda: unnamed(0), ("boxes", "boxes", "unit", "stretch"), person_class=0),
    "PicoDet, raw": Interface(picodet, ("boxes", "boxes", "imagenet", "stretch"), size_wh=(320, 320)),
    "PINTO's YOLOX": Interface(lambda: pinto(5), ("boxes", "boxes", "unit", "stretch"), lambda: pinto(2), (640, 480), person_class=0),
    "PINTO's YOLOX, nobody": Interface(lambda: pinto(0), ("boxes", "boxes", "unit", "stretch"), size_wh=(640, 480), person_class=0),
    "PINTO's DEIM": Interface(deim, ("boxes", "boxes", "unit", "stretch"), person_class=0),
    "EfficientDet-Lite": Interface(
        efficientdet_lite, ("boxes", "boxes", "movenet", "stretch"), size_wh=(320, 320), layout="NHWC", dtype="uint8", person_class=0
    ),
    "MediaPipe's hand, NCHW": Interface(
        lambda: {"xyz_x21": drawn((1, 63), "pixels"), "hand_score": np.full((1, 1), 0.5, np.float32)},
        ("coordinates", "hand21", "mediapipe", "crop"),
        size_wh=(224, 224),
    ),
    "RF-DETR-Seg": Interface(
        lambda: {"dets": drawn((1, 200, 4), "unit"), "labels": drawn((1, 200, 91)), "masks": drawn((1, 200, 108, 108))},
        ("boxes", "boxes", "imagenet", "stretch"),
        size_wh=(432, 432),
        person_class=1,
    ),
}
REFUSED: dict[str, tuple[tuple[int, int], Callable[[], Outputs], Layout, str]] = {
    "PeopleNet": (
        (960, 544),
        lambda: {"output_bbox": drawn((1, 12, 34, 60), "tags"), "output_cov": drawn((1, 3, 34, 60), "probability")},
        "NCHW",
        r"DetectNet_v2.*Export PeopleNet Transformer",
    ),
    "PoseNet of TensorFlow Lite": (
        (257, 353),
        lambda: {"heat": drawn((1, 23, 17, 17)), "short": drawn((1, 23, 17, 34)), "mid": drawn((1, 23, 17, 64)), "segments": drawn((1, 23, 17, 1))},
        "NHWC",
        r"displacement_fwd and displacement_bwd apart",
    ),
    "PoseNet of one person": (
        (257, 257),
        lambda: {"heat": drawn((1, 9, 9, 17)), "short": drawn((1, 9, 9, 34), "tags")},
        "NHWC",
        r"--role heatmaps=heat --role offsets=short.*paf",
    ),
    "MoveNet before its last step": (
        (192, 192),
        lambda: {"heat": drawn((1, 17, 48, 48)), "centre": drawn((1, 1, 48, 48)), "regs": drawn((1, 34, 48, 48)), "off": drawn((1, 34, 48, 48))},
        "NCHW",
        r"MoveNet's before its last step",
    ),
    "Detectron2's key points": (
        (800, 800),
        lambda: {"b": corners(9, 800), "c": np.zeros(9, np.int64), "k": drawn((9, 17, 56, 56)), "s": scores(9)},
        "NCHW",
        r"heat maps of each box, as Detectron2's",
    ),
    "RSN's stages": ((192, 256), lambda: {"out": heat_maps(68, 64, 48).reshape(1, 4, 17, 64, 48)}, "NCHW", r"the last of them alone"),
    "AlphaPose's regression": (
        (192, 256),
        lambda: {"pred_jts": drawn((1, 17, 2), "unit") - 0.5, "maxvals": drawn((1, 17, 1), "unit"), "sigma": drawn((1, 17, 2), "unit")},
        "NCHW",
        r"pred_jts.*on both sides of 0",
    ),
    "trt_pose's hand": (
        (224, 224),
        lambda: {"cmap": drawn((1, 21, 56, 56), "probability"), "paf": drawn((1, 40, 56, 56), "tags")},
        "NCHW",
        r"Nearly: paf: .*paf_channels.*heatmap:",
    ),
    "PaddleDetection's HigherHRNet": (
        (512, 512),
        lambda: {"a": heat_maps(17, 256, 256), "b": drawn((1, 17, 256, 256), "tags"), "c": heat_maps(17, 256, 256)},
        "NCHW",
        r"a, b, c have 17 maps each.*--head embedding --role tags=NAME",
    ),
    "RF-DETR of one class": (
        (640, 640), lambda: {"dets": drawn((1, 300, 4), "unit"), "labels": drawn((1, 300, 2))}, "NCHW", r"Nearly: rows or boxes.*--class N$"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_an_interface_is_read_and_fed_as_its_family(name: str) -> None:
    one = READ[name]
    reading, skeleton = recognise(one.facts(), Asked())
    assert (reading.head.kind, skeleton.name, reading.normalise, reading.fit) == one.wanted
    if one.person_class >= 0:
        assert reading.head.person_class == one.person_class  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", REFUSED)
def test_an_interface_that_is_not_read_says_what_to_do(name: str) -> None:
    size, outputs, layout, said = REFUSED[name]
    with pytest.raises(UsageError, match=said):
        recognise(facts(size, outputs(), layout), Asked())


@pytest.mark.parametrize(
    ("outputs", "count", "kept"),
    [(pinto(6), 6, slice(0, None, 3)), (paddle(0, 2, 0), 3, slice(0, None, 2)), (deim(), 680, slice(0, None, 34))],
)
def test_rows_with_the_class_first_give_their_people(outputs: Outputs, count: int, kept: slice) -> None:
    reading, skeleton = recognise(facts((640, 640), outputs), Asked())
    (found,) = reading.head.decoder(skeleton).decode(outputs, (640, 640))
    np.testing.assert_allclose(found.scores, scores(count)[kept], rtol=1e-6)
    np.testing.assert_allclose(found.boxes[:, :2], corners(count)[kept, :2], atol=1e-2)


@pytest.mark.parametrize("classes", [1, 80])
def test_deepstreams_candidates_have_the_number_of_their_best_class(classes: int) -> None:
    """DeepStream-Yolo: (1, candidates, 6) of corners, score and class number."""
    raw = facts_for(BoxesHead(outputs={"rows": "o"}, values={"box": ("rows", 0, 4), "classes": ("rows", 4, 80)}, box="corners")).outputs[0]

    def ended(values: Array) -> Array:
        every = values[..., 4 : 4 + classes]
        return np.concatenate([values[..., :4], every.max(-1, keepdims=True), every.argmax(-1)[..., None]], -1).astype(np.float32)

    given = facts((256, 192), {"output": ended(raw.noise)})
    given = replace(given, outputs=(replace(given.outputs[0], grey=ended(raw.grey)),))
    reading, skeleton = recognise(given, Asked())
    assert (reading.head.kind, reading.normalise, reading.fit) == ("boxes", "yolo", "centre")
    rows = ended(raw.noise)
    rows[..., 4] = 0.01
    rows[0, [7, 99], 4:] = (0.9, 0), (0.8, 0)
    rows[0, 50, 4:] = 0.9, 3
    (found,) = reading.head.decoder(skeleton).decode({"output": rows}, (256, 192))
    assert found.scores[:2].tolist() == pytest.approx([0.9, 0.8])


@pytest.mark.parametrize("fixed", [4, 5])
def test_a_score_of_1_for_all_is_no_class_number(fixed: int) -> None:
    """YOLOv6's objectness, and the only class of a detector trained with objectness."""
    values = {"box": ("rows", 0, 4), "score": ("rows", 4, 1), "classes": ("rows", 5, 1)}
    given = facts_for(BoxesHead(outputs={"rows": "outputs"}, values=values))
    (raw,) = given.outputs
    noise, grey = raw.noise.copy(), raw.grey.copy()
    for each in (noise, grey):
        each[..., 9 - fixed] = np.random.default_rng(0).uniform(0, 0.3, each.shape[:2])
        each[..., fixed] = 1
    reading, _ = recognise(replace(given, outputs=(replace(raw, noise=noise, grey=grey),)), Asked())
    assert reading.head.values["classes"] == ("rows", 5, 1)  # type: ignore[attr-defined]


@pytest.mark.parametrize("found", [300, 0])
def test_mask_coefficients_behind_end_to_end_rows_are_no_key_points(found: int) -> None:
    """YOLO26-seg: 300 rows of 38."""
    rows = np.zeros((1, 300, 38), np.float32)
    if found:
        rows[0] = columns(corners(300), scores(300), np.arange(300) % 2, drawn((300, 32), "tags"), scores(300))[:, :38]
    reading, _ = recognise(facts((640, 640), {"output0": rows, "output1": drawn((1, 32, 160, 160), "tags")}), Asked())
    assert (reading.head.kind, reading.normalise) == ("boxes", "yolo")


def test_scores_of_nearly_nothing_are_no_class_numbers() -> None:
    given = facts_for(BoxesHead(outputs={"rows": "o"}, values={"box": ("rows", 0, 4), "classes": ("rows", 4, 2)}, transposed=True))
    (raw,) = given.outputs

    def faint(values: Array) -> Array:
        return np.concatenate([values[:, :4], 0.01 + 0 * values[:, 4:5], np.float32(1e-6) + 0 * values[:, 5:]], 1).astype(np.float32)

    given = replace(given, outputs=(replace(raw, noise=faint(raw.noise), grey=faint(raw.grey)),))
    assert recognise(given, Asked(person_class=1))[0].head.values["classes"] == ("rows", 4, 2)  # type: ignore[attr-defined]


def test_a_decoded_output_is_taken_before_the_levels_that_it_was_made_of() -> None:
    reading, skeleton = recognise(with_its_levels(), Asked())
    assert (dict(reading.head.outputs), skeleton.name) == ({"rows": "output0"}, "coco17")


def test_two_branches_alike_ask_which_and_take_the_one_that_is_named() -> None:
    with pytest.raises(UsageError, match="--role rows=output1"):
        recognise(two_branches(), Asked())
    reading, _ = recognise(two_branches(), Asked(outputs={"rows": "output1"}))
    assert (reading.head.kind, dict(reading.head.outputs)) == ("boxes", {"rows": "output1"})


def test_rows_of_nobody_are_17_key_points_of_3_before_25_of_2() -> None:
    reading, skeleton = recognise(facts((640, 640), {"output": np.zeros((0, 56), np.float32)}), Asked())
    assert (skeleton.name, reading.head.values["keypoints"]) == ("coco17", ("rows", 5, 51))  # type: ignore[attr-defined]


def test_a_network_that_gives_no_numbers_is_told_from_one_that_is_not_known() -> None:
    with pytest.raises(UsageError, match=r"NaN.*output0.*float32"):
        recognise(facts((640, 640), {"output0": np.full((1, 56, 8400), np.nan, np.float32)}), Asked())


def test_maps_without_channels_are_refused() -> None:
    with pytest.raises(UsageError, match="is no network that posetrt knows"):
        recognise(facts((192, 256), {"output": np.zeros((1, 0, 64, 48), np.float32)}), Asked())


def test_17_parts_of_a_square_crop_are_said_to_be_perhaps_an_animals() -> None:
    maps = {name: drawn((1, 17, 512)) for name in ("simcc_x", "simcc_y")}
    assert "AP-10K" in recognise(facts((256, 256), maps), Asked())[0].why
    assert "AP-10K" not in recognise(facts((192, 256), {"simcc_x": drawn((1, 17, 384)), "simcc_y": drawn((1, 17, 512))}), Asked())[0].why


@pytest.mark.parametrize(
    ("operator", "domain", "said"),
    [
        ("EfficientNMS_TRT", "TRT", "holds EfficientNMS_TRT.*without NMS"),
        ("EfficientNMS_TRT", "", "holds EfficientNMS_TRT.*without NMS"),
        ("TRTBatchedNMS", "mmdeploy", "holds TRTBatchedNMS.*config for onnxruntime"),
        ("grid_sampler", "mmdeploy", "holds grid_sampler.*standard operators"),
    ],
)
def test_a_plugin_of_another_runtime_is_named_with_the_way_out(operator: str, domain: str, said: str, tmp_path: Path) -> None:
    picture = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])
    output = helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 100, 4])
    graph = helper.make_graph([helper.make_node(operator, ["images"], ["boxes"], domain=domain)], "plugin", [picture], [output])
    path = tmp_path / "net.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
    with pytest.raises(PosetrtError, match=said):
        load_onnx(path)


def test_an_input_that_is_no_picture_is_named_by_type_and_shape(tmp_path: Path) -> None:
    video = helper.make_tensor_value_info("clip", TensorProto.DOUBLE, ["N", 3, 8, 64, 64])
    graph = helper.make_graph(
        [helper.make_node("Neg", ["clip"], ["y"])],
        "g",
        [video],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["N", 3, 8, 64, 64])],
    )
    path = tmp_path / "net.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
    with pytest.raises(PosetrtError, match=r"it is double \(N, 3, 8, 64, 64\)"):
        model_from_onnx(path)
