"""Networks whose outputs look like another kind's, or whose usual pixels and place are easily mistaken: all without PyTorch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from posetrt.export.heads.base import Asked
from posetrt.export.heads.facts import gather, image_input
from posetrt.export.heads.recognise import recognise
from posetrt.export.heads.user_graph import GraphOptions, model_from_onnx
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.paf.layout import load_layout
from posetrt.runtime.heads.rows import RowsHead
from posetrt.runtime.model.skeleton import Skeleton
from tests.export.heads.candidate_networks import facts_for, network, outputs_of
from tests.export.heads.graph_facts import drawn, facts
from tests.runtime.heads.families import ROWS

Array = NDArray[Any]


def empty_maps(shape: tuple[int, ...]) -> Array:
    """Heat maps of a trained network where nothing is to be found."""
    return np.random.default_rng(0).normal(0, 0.02, shape).astype(np.float32)


def class_logits(shape: tuple[int, ...]) -> Array:
    """Logits of a trained segmenter where all is background."""
    values = np.random.default_rng(0).normal(-1.5, 1.5, shape).astype(np.float32)
    values[:, 0] += 9
    return values


def test_heat_maps_and_pafs_apart_are_taken_before_an_output_that_joins_them() -> None:
    """human-pose-estimation-3d-0001 of Open Model Zoo."""
    maps = {"features": (1, 57, 32, 56), "heatmaps": (1, 19, 32, 56), "pafs": (1, 38, 32, 56)}
    given = facts((448, 256), {name: drawn(shape, "probability") for name, shape in maps.items()})
    reading, _ = recognise(given, Asked())
    assert (dict(reading.head.outputs), reading.split) == ({"heatmaps": "heatmaps", "pafs": "pafs"}, {})
    named, _ = recognise(given, Asked(outputs={"heatmaps": "features", "pafs": "features"}))
    assert list(named.split) == ["features"]


@pytest.mark.parametrize(("size", "cells"), [((513, 513), 65), ((520, 520), 65), ((256, 256), 64), ((512, 512), 64)])
def test_class_logits_of_21_maps_ask_whether_they_are_a_hands(size: tuple[int, int], cells: int) -> None:
    untrained = [empty_maps((1, 21, cells, cells))] if size[0] > 400 else []
    for values in (class_logits((1, 21, cells, cells)), drawn((1, 21, cells, cells), "tags"), *untrained):
        with pytest.raises(UsageError, match=r"a segmenter.*--head heatmap"):
            recognise(facts(size, {"out": values}), Asked())
    if size[0] % cells == 0:
        assert recognise(facts(size, {"out": class_logits((1, 21, cells, cells))}), Asked(head="heatmap"))[1].name == "hand21"


@pytest.mark.parametrize("values", ["linear", "probability", "logits"])
def test_21_maps_that_find_nothing_are_a_hands(values: str) -> None:
    maps = empty_maps((1, 21, 64, 64))
    if values == "probability":
        maps = np.abs(maps)
    elif values == "logits":
        maps = 40 * maps - 6
    reading, skeleton = recognise(facts((256, 256), {"output": maps}), Asked())
    assert (skeleton.name, reading.head.logits) == ("hand21", values == "logits")  # type: ignore[attr-defined]


def test_openposes_hand_has_a_background_that_wins_without_being_a_segmenters() -> None:
    maps = empty_maps((1, 22, 46, 46))
    maps[:, 21] += 1
    assert recognise(facts((368, 368), {"net_output": maps}), Asked())[1].name == "hand21"


def of_class(name: str, head: RowsHead = ROWS["yolo11"]) -> Any:
    """Facts of a YOLO-pose of one class."""
    return facts_for(head, metadata={"task": "pose", "names": str({0: name}), "kpt_shape": f"[{head.parts}, 3]"})


@pytest.mark.parametrize("name", ["animal", "dog", "tiger", "hand", "Horse"])
def test_17_parts_of_a_class_that_is_no_person_ask_for_the_skeleton(name: str) -> None:
    given = of_class(name)
    with pytest.raises(UsageError, match=rf"class '{name.lower()}'.*not a person.*--skeleton FILE.json.*--skeleton coco17"):
        recognise(given, Asked())
    dog = Skeleton("dog17", tuple(f"p{number}" for number in range(17)), ())
    assert recognise(given, Asked(skeleton=dog))[1] is dog


@pytest.mark.parametrize("name", ["person", "Person", "soccer player", "class0", "0", "pose", "worker"])
def test_17_parts_of_a_person_or_of_a_class_without_a_name_are_cocos(name: str) -> None:
    assert recognise(of_class(name), Asked())[1].name == "coco17"


def test_the_chosen_class_of_several_names_the_skeleton() -> None:
    names = {"task": "pose", "names": "{0: 'person', 1: 'dog'}", "kpt_shape": "[17, 2]"}
    given = facts_for(ROWS["two classes, logits, no visibility"], metadata=names)
    assert recognise(given, Asked())[1].name == "coco17"
    with pytest.raises(UsageError, match=r"'dog'.*--skeleton"):
        recognise(given, Asked(person_class=1))


def detections(count: int = 100) -> dict[str, Array]:
    """Boxes, scores and class numbers, the best first."""
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 300, (1, count, 2))
    corners = np.concatenate([low, low + rng.uniform(20, 200, (1, count, 2))], 2).astype(np.float32)
    scores = np.sort(rng.uniform(0, 1, (1, count)))[:, ::-1].astype(np.float32)
    return {"boxes": corners, "scores": scores, "classes": rng.integers(0, 80, (1, count)).astype(np.int32)}


@pytest.mark.parametrize(
    "names",
    [
        ("num_dets", "boxes", "scores", "classes"),
        ("num_dets", "det_boxes", "det_scores", "det_classes"),
        ("num_detections", "nmsed_boxes", "nmsed_scores", "nmsed_classes"),
    ],
)
def test_detections_with_their_number_stand_behind_a_yolo(names: tuple[str, ...]) -> None:
    outputs = dict(zip(names, (np.array([[7]], np.int32), *detections().values()), strict=True))
    reading, _ = recognise(facts((640, 640), outputs), Asked())
    assert (reading.head.kind, reading.normalise, reading.fit) == ("boxes", "yolo", "centre")


@pytest.mark.parametrize(
    ("scores", "boxes", "classes", "wanted"),
    [
        ("output", "953", 80, ("movenet", "stretch")),
        ("pred_scores", "pred_bboxes", 80, ("yolo", "centre")),
        ("labels", "dets", 91, ("imagenet", "stretch")),
        ("logits", "pred_boxes", 92, ("imagenet", "stretch")),
        ("logits", "pred_boxes", 80, ("unit", "stretch")),
    ],
    ids=["DAMO-YOLO", "YOLO-NAS", "RF-DETR", "DETR", "RT-DETR"],
)
def test_boxes_beside_class_scores_are_fed_as_their_family(scores: str, boxes: str, classes: int, wanted: tuple[str, str]) -> None:
    rng = np.random.default_rng(0)
    if classes == 80 and wanted[0] != "unit":
        low = rng.uniform(0, 500, (1, 8400, 2))
        outputs = {scores: drawn((1, 8400, 80), "probability"), boxes: np.concatenate([low, low + 90], 2).astype(np.float32)}
    else:
        outputs = {scores: drawn((1, 300, classes)), boxes: drawn((1, 300, 4), "unit")}
    reading, _ = recognise(facts((640, 640), outputs), Asked())
    assert (reading.normalise, reading.fit) == wanted


def test_yolos_own_levels_are_fed_as_yolo() -> None:
    outputs = {str(stride): drawn((1, 65, 640 // stride, 640 // stride)) for stride in (8, 16, 32)}
    outputs |= {f"k{stride}": drawn((1, 51, 640 // stride, 640 // stride)) for stride in (8, 16, 32)}
    reading, _ = recognise(facts((640, 640), outputs), Asked())
    assert (reading.head.kind, reading.normalise, reading.fit) == ("rows", "yolo", "centre")


def with_arithmetic(kind: str) -> Any:
    """A graph that first does that to its picture, and gives heat maps and tags for COCO's parts."""
    (maps, tags) = (drawn((1, 17, 64, 64), "probability"), drawn((1, 17, 64, 64), "tags"))
    outputs = {"heatmaps": maps, "tags": tags}
    model = network(outputs, outputs, size_wh=(256, 256))
    graph = model.graph
    graph.node[0].input[0] = "fed"
    constants = {"mean": [[[123.675]], [[116.28]], [[103.53]]], "share": [[[0.485]], [[0.456]], [[0.406]]], "byte": [255.0]}
    nodes, last = [helper.make_node("Cast", ["picture"], ["cast"], to=TensorProto.FLOAT)], "cast"
    for operator, name in {"none": [], "mean": [("Sub", "mean")], "byte": [("Div", "byte"), ("Sub", "share")], "share": [("Sub", "share")]}[
        kind
    ]:
        graph.initializer.append(numpy_helper.from_array(np.array(constants[name], np.float32), f"{name}_of_pixels"))
        nodes.append(helper.make_node(operator, [last, f"{name}_of_pixels"], [f"{name}_done"]))
        last = f"{name}_done"
    nodes.append(helper.make_node("Conv", [last, "filter"], ["convolved"]))
    graph.initializer.append(numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), "filter"))
    nodes.append(helper.make_node("Identity", ["convolved"], ["fed"]))
    first = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *first])
    return model


@pytest.mark.parametrize(("kind", "normalise"), [("none", "imagenet"), ("mean", "in-graph"), ("byte", "in-graph"), ("share", "unit")])
def test_higherhrnet_is_fed_imagenets_pixels_unless_its_graph_normalises(kind: str, normalise: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    model = with_arithmetic(kind)
    path.write_bytes(model.SerializeToString())
    reading, _ = recognise(gather(model, path, image_input(model, path), (256, 256)), Asked())
    assert (reading.head.kind, reading.normalise) == ("embedding", normalise)


def test_human_pose_estimation_0001_normalises_itself(shared_data: Path) -> None:
    told: list[str] = []
    path = shared_data / "weights" / "hpe0001" / "human-pose-estimation-0001_dequant_fp32.onnx"
    _, manifest = model_from_onnx(path, GraphOptions(tell=told.append, size_wh=(448, 256)))
    assert (manifest.input.colour, manifest.input.in_graph) == ("BGR", True)
    assert "the graph takes 0 to 255 and normalises it" in told[-1]


def test_what_was_proposed_is_said(tmp_path: Path) -> None:
    head = ROWS["yolo11"]
    path = tmp_path / "net.onnx"
    path.write_bytes(network(outputs_of(head, 0), outputs_of(head, 1)).SerializeToString())
    told: list[str] = []
    model_from_onnx(path, GraphOptions(tell=told.append))
    assert "picture centre (override with --placement), normalisation yolo (RGB, 0 to 1; override with --normalise)" in told[-1]
    model_from_onnx(path, GraphOptions(tell=told.append, fit="stretch"))
    assert "picture stretch, normalisation" in told[-1]
    model_from_onnx(path, GraphOptions(tell=told.append, normalise="rtmdet"))
    assert told[-1].endswith("normalisation rtmdet (BGR, -2.1 to 2.6)")


@pytest.mark.parametrize("parts", [68, 98, 308])
def test_maps_of_other_parts_are_first_taken_for_heat_maps(parts: int) -> None:
    with pytest.raises(UsageError) as refused:
        recognise(facts((256, 256), {"output": empty_maps((1, parts, 64, 64))}), Asked())
    said = str(refused.value)
    assert 0 < said.index("--head heatmap --skeleton FILE") < said.index("paf")
    own = Skeleton("own", tuple(f"p{number}" for number in range(parts)), ())
    assert recognise(facts((256, 256), {"output": empty_maps((1, parts, 64, 64))}), Asked(head="heatmap", skeleton=own))[1] is own


def yunet() -> dict[str, Array]:
    """face_detection_yunet_2023mar of OpenCV's zoo."""
    columns = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    return {f"{name}_{stride}": drawn((1, (640 // stride) ** 2, count)) for name, count in columns.items() for stride in (8, 16, 32)}


def scrfd() -> dict[str, Array]:
    """InsightFace's det_10g: two anchors in each cell."""
    columns = {"score": 1, "bbox": 4, "kps": 10}
    return {
        f"{name}_{stride}": drawn((2 * (640 // stride) ** 2, count), "unit") for name, count in columns.items() for stride in (8, 16, 32)
    }


def rknn() -> dict[str, Array]:
    """yolov8n-pose of Rockchip's model zoo."""
    return {
        **{str(stride): drawn((1, 65, 640 // stride, 640 // stride)) for stride in (8, 16, 32)},
        "points": drawn((1, 17, 3, 8400), "pixels"),
    }


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (yunet(), "YuNet.*Export MediaPipe's face detector"),
        (scrfd(), "SCRFD.*Export MediaPipe's face detector"),
        (rknn(), "RKNN.*format=onnx"),
        ({"heatmaps": drawn((1, 18, 128, 128)), "displacements": drawn((1, 34, 128, 128))}, "DEKR.*Export a HigherHRNet"),
        ({"heatmap": drawn((1, 15, 128, 128)), "offset": drawn((1, 28, 128, 128))}, "DEKR.*Export a HigherHRNet"),
    ],
    ids=["YuNet", "SCRFD", "RKNN", "DEKR", "DEKR, CrowdPose"],
)
def test_a_family_that_no_head_reads_says_what_to_export(outputs: dict[str, Array], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        recognise(facts((640 if len(outputs) > 2 else 512,) * 2, outputs), Asked())


def test_an_mpi_network_without_background_is_read_where_its_names_say_so() -> None:
    given = facts((368, 368), {"heatmaps": drawn((1, 15, 46, 46), "probability"), "pafs": drawn((1, 28, 46, 46), "tags")})
    assert recognise(given, Asked())[1].name == "mpi15"
    unnamed = replace(given, outputs=tuple(replace(output, name=f"o{number}") for number, output in enumerate(given.outputs)))
    assert recognise(unnamed, Asked(head="paf"))[1].name == "mpi15"


def test_a_background_that_was_assumed_is_told_with_the_way_to_say_otherwise() -> None:
    given = facts((368, 368), {"o1": empty_maps((1, 15, 46, 46))})
    reading, skeleton = recognise(given, Asked())
    assert skeleton.name == "mpi14"
    assert "14 heat maps and a background" in reading.why
    assert "give 15 parts with --skeleton" in reading.why
    joints = Skeleton("joints", tuple(f"part {number}" for number in range(15)), ())
    reading, skeleton = recognise(given, Asked(skeleton=joints))
    assert (skeleton.name, reading.parts) == ("joints", 15)
    assert "--skeleton" not in reading.why


def test_a_skeleton_with_pafs_for_maps_alone_asks_for_the_kind_and_not_for_a_skeleton_again() -> None:
    layout = load_layout("mpi15")
    given = facts((368, 368), {"o1": empty_maps((1, 15, 46, 46))})
    with pytest.raises(UsageError, match=r"15 heat maps, and skeleton mpi15 has 15 parts\. If .*--head heatmap"):
        recognise(given, Asked(skeleton=layout.skeleton, layout=layout))
    assert recognise(given, Asked(head="heatmap", skeleton=layout.skeleton, layout=layout))[0].parts == 15


def test_maps_of_twice_a_number_that_no_network_with_tags_has_ask() -> None:
    given = facts((512, 512), {"output": empty_maps((1, 52, 128, 128))})
    with pytest.raises(UsageError, match=r"26 heat maps and as many tags.*--head embedding"):
        recognise(given, Asked())
    assert recognise(given, Asked(head="embedding"))[1].name == "halpe26"
