"""What the user says of a graph, and graphs that only look like another kind: all without PyTorch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from posetrt.calib.heads import embedding as drawn_embedding
from posetrt.export.graph.onnx_model import check_equal
from posetrt.export.heads.anchors import read_anchors
from posetrt.export.heads.base import Asked, GraphFacts, OutputFacts
from posetrt.export.heads.facts import image_input, with_batch_axis
from posetrt.export.heads.recognise import recognise
from posetrt.export.heads.user_graph import GraphOptions, model_from_onnx
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.heads.boxes import BoxesHead
from posetrt.runtime.heads.embedding import EmbeddingHead
from posetrt.runtime.heads.rows import RowsHead
from posetrt.runtime.model.skeleton import load_skeleton
from tests.export.heads.candidate_networks import SIZE, facts_for
from tests.export.heads.graph_facts import drawn, facts
from tests.runtime.heads.drawn_people import COCO17, people_in_a_frame
from tests.runtime.heads.families import DETECTORS, ROWS
from tests.tiny import tiny_network

ALIKE = DETECTORS["yolox"]


def test_strides_are_taken_in_the_order_that_the_user_says() -> None:
    given = facts_for(ALIKE)
    assert recognise(given, Asked())[0].head.strides == (8, 16, 32)  # type: ignore[attr-defined]
    assert recognise(given, Asked(strides=(32, 16, 8)))[0].head.strides == (32, 16, 8)  # type: ignore[attr-defined]


def test_strides_that_give_another_number_of_cells_are_refused() -> None:
    values = drawn((1, 3000, 85), "unit")
    with pytest.raises(UsageError, match=r"--strides 8,16 does not give as many cells"):
        recognise(facts(SIZE, {"output": values}), Asked(strides=(8, 16)))


def test_anchors_of_a_file_complete_a_detector_that_lacks_them(tmp_path: Path) -> None:
    steps = np.random.default_rng(0).normal(size=(1, 50, 4)).astype(np.float32)
    given = facts(SIZE, {"boxes": steps, "scores": drawn((1, 50, 21), "logits")})
    with pytest.raises(UsageError, match="give the 50 anchors"):
        recognise(given, Asked())
    anchors = np.tile([0.5, 0.5, 0.2, 0.4], (50, 1))
    np.save(tmp_path / "anchors.npy", anchors)
    head = recognise(given, Asked(anchors=read_anchors(tmp_path / "anchors.npy")))[0].head
    assert isinstance(head, BoxesHead)
    assert (head.box, len(head.priors)) == ("priors", 50)


@pytest.mark.parametrize("text", ["[1, 2, 3]", "{}", "[[0.5, 0.5, 0, 0.1]]", "[]", "no JSON"])
def test_a_file_that_holds_no_anchors_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "anchors.json").write_text(text)
    with pytest.raises(UsageError, match="anchors"):
        read_anchors(tmp_path / "anchors.json")


def test_a_class_that_there_is_not_is_refused_by_number() -> None:
    given = facts_for(ROWS["yolo26"], metadata={"task": "pose", "kpt_shape": "[17, 3]", "names": "{0: 'cat', 1: 'dog'}"})
    with pytest.raises(UsageError, match=r"--class 7: its 2 classes are 0 to 1, cat, dog"):
        recognise(given, Asked(person_class=7))


def test_a_graph_of_another_kind_than_the_user_says_is_named() -> None:
    with pytest.raises(UsageError, match=r"cannot be read as --head simcc.*It is one of --head boxes"):
        recognise(facts_for(ALIKE), Asked(head="simcc"))


@pytest.mark.parametrize(
    ("name", "shape", "values", "said"),
    [
        ("output", (1, 51), "unit", "--head coordinates"),
        ("out", (1, 21, 256, 256), "logits", "a segmenter"),
        ("logits", (1, 17, 64, 64), "logits", "a segmenter"),
    ],
)
def test_what_could_be_a_classifier_or_a_segmenter_asks(name: str, shape: tuple[int, ...], values: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        recognise(facts((256, 256), {name: drawn(shape, values)}), Asked())


def test_rows_of_all_frames_with_the_frames_number_first_are_read_also_without_anybody() -> None:
    rng, count = np.random.default_rng(0), 12
    points = rng.uniform(20, 200, (count, 17, 3)) * [1, 1, 0.004]
    corners = np.concatenate([points[..., :2].min(1), points[..., :2].max(1)], 1)
    scores = np.sort(rng.uniform(0.3, 0.9, (count, 1)), 0)[::-1]
    rows = np.concatenate([np.zeros((count, 1)), corners, scores, points.reshape(count, 51)], 1).astype(np.float32)
    for values in (rows, rows[:0]):
        head = recognise(facts(SIZE, {"graph2_flat_predictions": values}), Asked())[0].head
        assert isinstance(head, RowsHead)
        (found,) = head.decoder(COCO17).decode({"graph2_flat_predictions": rows}, SIZE)
        np.testing.assert_allclose(found.scores, scores[:, 0], rtol=1e-6)
        np.testing.assert_allclose(found.keypoints[..., :2], points[..., :2] - 0.5, atol=1e-3)


def test_300_rows_that_a_grid_explains_as_well_are_still_the_best_ones() -> None:
    # 320 x 320 at stride 32 with three anchors per cell are 300 candidates too.
    reading, _ = recognise(facts_for(replace(ROWS["yolo26"]), size_wh=(320, 320)), Asked())
    assert isinstance(reading.head, RowsHead)
    assert reading.head.ranked


def test_tags_of_five_axes_and_negated_heat_maps_are_openvinos() -> None:
    head, size = EmbeddingHead(outputs={"heatmaps": "heatmaps", "tags": "embeddings"}, negated=True), (288, 288)
    people = people_in_a_frame(3, size, 200)
    tensors = drawn_embedding.encode(head, COCO17, [people], size)
    given = {"heatmaps": tensors["heatmaps"], "embeddings": tensors["embeddings"][..., None]}
    reading, _ = recognise(facts(size, given), Asked())
    assert isinstance(reading.head, EmbeddingHead)
    assert (reading.head.dimensions, reading.head.negated, reading.head.logits) == (1, True, False)
    assert len(reading.head.decoder(COCO17).decode(given, size)[0]) == 3


def test_a_picture_without_a_batch_gets_one() -> None:
    picture = helper.make_tensor_value_info("image", TensorProto.FLOAT, [3, 48, "width"])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Neg", ["image"], ["y"])], "one", [picture], [output])
    model = with_batch_axis(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    image = image_input(model, Path("net.onnx"))
    assert (image.layout, image.size_wh, image.batch) == ("NCHW", (0, 48), 1)
    given = np.ones((1, 3, 48, 64), np.float32)
    assert check_equal(model, {"y": -given[0]}, given, ["y"], Path("net.onnx")) == {"y": 0.0}
    with pytest.raises(PosetrtError, match="has shape 3x48x64, and the original 1x3x48x64"):
        check_equal(model, {"y": -given}, given, ["y"], Path("net.onnx"))


def test_a_graph_that_takes_four_pictures_or_words_beside_the_picture_says_what_to_export(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"

    def save(node: str, **inputs: list[int]) -> None:
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
        output = helper.make_tensor_value_info("y", TensorProto.FLOAT, inputs["picture"])
        graph = helper.make_graph([helper.make_node(node, list(inputs), ["y"])], "g", values, [output])
        path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())

    save("Neg", picture=[4, 3, 64, 64])
    with pytest.raises(UsageError, match=r"takes 4 pictures at a time.* one, or a free number, was expected\. Export .* with batch 1"):
        model_from_onnx(path)
    save("Add", picture=[1, 3, 64, 64], words=[1, 3, 64, 64])
    with pytest.raises(PosetrtError, match=r"has 2 inputs \(picture, words\).*with the picture as its only input"):
        model_from_onnx(path)


def test_queries_of_detr_are_boxes_in_fractions() -> None:
    boxes, scores = drawn((1, 300, 4), "unit"), drawn((1, 300, 80))
    outputs = (OutputFacts("logits", scores, scores), OutputFacts("pred_boxes", boxes, boxes))
    head = recognise(GraphFacts("detr.onnx", "pixel_values", "NCHW", "float32", (640, 640), outputs), Asked())[0].head
    assert isinstance(head, BoxesHead)
    assert (head.box, head.unit, head.activation, head.nms, head.person_class) == ("centre", "fraction", "sigmoid", "none", 0)


@pytest.mark.parametrize("size_wh", [(8, 8), (64, 8)])
def test_a_size_at_which_maps_have_a_single_row_of_cells_is_refused(size_wh: tuple[int, int], tmp_path: Path) -> None:
    path = tiny_network(tmp_path / "tiny.onnx")
    with pytest.raises(UsageError, match=f"--input-size {size_wh[0]}x{size_wh[1]} is so small that its maps have a single row or column"):
        model_from_onnx(path, GraphOptions(size_wh=size_wh))
    assert model_from_onnx(path, GraphOptions(size_wh=(64, 64)))[1].head.kind == "paf"


def test_a_free_size_is_asked_for_with_examples_that_fit_each_family(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--input-size WxH\. .*PoseNet wants 16 n \+ 1, as 449x257"):
        model_from_onnx(tiny_network(tmp_path / "tiny.onnx"))


@pytest.mark.parametrize("batch", ["N", 1])
def test_crops_in_one_call_are_proposed_where_the_graph_takes_several(batch: str | int, tmp_path: Path) -> None:
    """A graph of a fixed batch would refuse the option."""
    path, told = tiny_network(tmp_path / "hand.onnx", maps=22, fields=0, size_wh=(64, 64)), []
    model = onnx.load(str(path))
    if batch == 1:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
        onnx.save(model, str(path))
    options = GraphOptions(asked=Asked(skeleton=load_skeleton("hand21")), tell=told.append)
    assert model_from_onnx(path, options)[1].head.scope == "crop"
    assert any("with --batch 8" in line for line in told) == (batch == "N")
