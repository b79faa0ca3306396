"""Recognition of networks of rows: each family by what its outputs are, and none by its name alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from posetrt.calib.heads.rows import encode
from posetrt.export.heads import boxes, rows
from posetrt.export.heads.base import Asked, GraphFacts, NearMiss, OutputFacts, Reading
from posetrt.runtime.heads.rows import RowsHead
from posetrt.runtime.model.skeleton import load_skeleton
from tests.export.heads.candidate_networks import SIZE, facts_for, facts_of, network, outputs_of, people_everywhere
from tests.runtime.heads.families import COCO, ROWS
from tests.runtime.heads.test_rows import people_in_a_row

ULTRALYTICS = {"task": "pose", "kpt_shape": "[17, 3]", "names": "{0: 'person'}", "stride": "32"}


def the_reading(facts: GraphFacts, asked: Asked | None = None) -> Reading:
    found = rows.recognise(facts, asked or Asked())
    readings = [one for one in found if isinstance(one, Reading)]
    assert len(readings) == 1, found
    assert not [one for one in boxes.recognise(facts, asked or Asked()) if isinstance(one, Reading)]
    return readings[0]


def reads_like(reading: Reading, head: RowsHead) -> None:
    """Decoding by the reading gives what decoding by the head gives, in numbers that the recogniser has not seen."""
    people = people_in_a_row(3)
    assert isinstance(reading.head, RowsHead)
    tensors = encode(head, COCO, [people], SIZE)
    (a,), (b,) = (each.decoder(COCO).decode(tensors, SIZE) for each in (reading.head, head))
    assert len(b) == 3
    np.testing.assert_allclose(a.keypoints, b.keypoints, atol=1e-3)
    np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)
    np.testing.assert_allclose(a.boxes, b.boxes, atol=1e-3)


ALONE = [name for name in ROWS if name not in ("two classes, logits, no visibility", "key point r-cnn")]


@pytest.mark.parametrize("family", ALONE)
def test_each_family_is_told_by_its_outputs(family: str) -> None:
    reading = the_reading(facts_for(ROWS[family]))
    assert reading.skeletons == ("coco17",)
    assert reading.rank >= 1
    reads_like(reading, ROWS[family])


def test_ultralytics_metadata_makes_it_sure_and_names_the_person() -> None:
    head = ROWS["two classes, logits, no visibility"]
    metadata = {"task": "pose", "kpt_shape": "[17, 2]", "names": "{0: 'dog', 1: 'person'}"}
    reading = the_reading(facts_for(head, metadata=metadata))
    assert reading.rank == 2
    reads_like(reading, head)
    assert (reading.normalise, reading.fit) == ("yolo", "centre")


def test_several_classes_that_nobody_names_ask_for_the_class() -> None:
    head = ROWS["two classes, logits, no visibility"]
    (near,) = rows.recognise(facts_for(head), Asked())
    assert isinstance(near, NearMiss)
    assert "--class" in near.why
    reads_like(the_reading(facts_for(head), Asked(person_class=1)), head)


def test_rows_of_things_that_are_no_people_ask_for_the_class() -> None:
    facts = facts_for(ROWS["yolo26"], metadata={"task": "pose", "kpt_shape": "[17, 3]", "names": "{0: 'cat', 1: 'dog'}"})
    (near,) = rows.recognise(facts, Asked())
    assert isinstance(near, NearMiss)
    assert "--class" in near.why


def test_three_anchors_per_cell_are_objectness_and_a_class() -> None:
    # YOLO v5 and v7 give each level three times, candidates as rows.
    head = ROWS["yolo7"]

    def thrice(seed: int) -> dict[str, NDArray[np.float32]]:
        values = outputs_of(head, seed)["output"]
        ends = np.cumsum([0, *(SIZE[0] // stride * (SIZE[1] // stride) for stride in (8, 16, 32))])
        return {"output": np.concatenate([np.tile(values[:, a:b], (1, 3, 1)) for a, b in pairwise(ends)], 1)}

    reads_like(the_reading(facts_of(network(thrice(0), thrice(1)))), head)


@pytest.mark.parametrize("changes", [{"unit": "fraction"}, {"transposed": False}, {"activation": "sigmoid", "point_activation": "sigmoid"}])
def test_other_forms_of_raw_yolo_are_told(changes: dict[str, Any]) -> None:
    head = replace(ROWS["yolo11"], **changes)
    reads_like(the_reading(facts_for(head)), head)


def test_other_numbers_of_key_points_are_told() -> None:
    head = replace(ROWS["yolo11"], values={**ROWS["yolo11"].values, "keypoints": ("rows", 5, 3 * 26)})
    people = people_everywhere(head, 0)
    noise = encode(head, load_skeleton("halpe26"), [people], SIZE)
    grey = encode(head, load_skeleton("halpe26"), [people_everywhere(head, 1)], SIZE)
    reading = the_reading(facts_of(network(noise, grey)))
    assert (reading.parts, reading.skeletons) == (26, ("halpe26",))


@pytest.mark.parametrize(("layout", "dtype"), [("NHWC", "float32"), ("NHWC", "uint8"), ("NCHW", "uint8"), ("NHWC", "int32")])
def test_the_picture_may_come_in_any_layout_and_type(layout: str, dtype: str) -> None:
    for family in ("yolo11", "movenet"):
        reads_like(the_reading(facts_for(ROWS[family], layout=layout, dtype=dtype)), ROWS[family])


def test_movenet_takes_its_own_pixels_from_the_top_left() -> None:
    reading = the_reading(facts_for(ROWS["movenet"], layout="NHWC", dtype="int32"))
    assert (reading.normalise, reading.fit) == ("movenet", "top-left")


def test_an_end_to_end_network_that_sees_nobody_is_told_by_its_shapes() -> None:
    outputs = {"dets": np.zeros((1, 0, 5), np.float32), "keypoints": np.zeros((1, 0, 17, 3), np.float32)}
    facts = GraphFacts("rtmo.onnx", "input", "NCHW", "float32", (640, 640), tuple(OutputFacts(n, v, v) for n, v in outputs.items()))
    reads_like(the_reading(facts), ROWS["rtmo"])
    padded = np.zeros((1, 300, 57), np.float32)
    facts = GraphFacts("yolo26.onnx", "images", "NCHW", "float32", (640, 640), (OutputFacts("output0", padded, padded),))
    reads_like(the_reading(facts), ROWS["yolo26"])


def test_torchvisions_key_point_rcnn_has_no_batch_and_counts_people_as_1() -> None:
    def some(count: int) -> dict[str, NDArray[Any]]:
        head = ROWS["key point r-cnn"]
        tensors: dict[str, NDArray[Any]] = {name: value[:count] for name, value in outputs_of(head, count).items()}
        tensors["labels"] = tensors["labels"].astype(np.int64)
        tensors["keypoints"] = tensors["keypoints"].reshape(count, 17, 3)
        return tensors

    a, b = some(9), some(4)
    facts = GraphFacts("rcnn.onnx", "image", "NCHW", "float32", SIZE, tuple(OutputFacts(name, a[name], b[name]) for name in a))
    reading = the_reading(facts)
    assert isinstance(reading.head, RowsHead)
    assert reading.head.person_class == 1
    reads_like(reading, ROWS["key point r-cnn"])


def test_networks_of_other_kinds_are_no_rows() -> None:
    rng = np.random.default_rng(0)
    others = {
        "classifier": {"logits": (1, 1000)},
        "segmenter": {"out": (1, 21, 192, 256)},
        "heat maps": {"heatmaps": (1, 17, 48, 64)},
        "maps and fields": {"heatmaps": (1, 19, 24, 32), "pafs": (1, 38, 24, 32)},
        "simcc": {"simcc_x": (1, 17, 384), "simcc_y": (1, 17, 512)},
        "landmarks": {"landmarks": (1, 63), "presence": (1, 1)},
        "single pose": {"output_0": (1, 1, 17, 3)},
        "embedding": {"heatmaps": (1, 34, 24, 32), "fine": (1, 17, 48, 64)},
    }
    for name, shapes in others.items():
        for low in (0.0, -5.0):
            values = [{each: rng.uniform(low, 1, shape).astype(np.float32) for each, shape in shapes.items()} for _ in range(2)]
            facts = GraphFacts(
                name, "image", "NCHW", "float32", SIZE, tuple(OutputFacts(each, values[0][each], values[1][each]) for each in shapes)
            )
            assert not rows.recognise(facts, Asked()), name
            assert not boxes.recognise(facts, Asked()), name


def test_the_real_networks_are_told(shared_data: Any) -> None:
    import onnx

    folder = shared_data / "weights" / "heads"
    for path, family, size in (
        ("yolo11n-pose/yolo11n-pose-640.onnx", "yolo11", 640),
        ("movenet-multipose/movenet_multipose.onnx", "movenet", 256),
    ):
        model = onnx.load(str(folder / path))
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        for dim, value in zip(
            model.graph.input[0].type.tensor_type.shape.dim, (1, size, size, 3) if family == "movenet" else (1, 3, size, size), strict=True
        ):
            dim.dim_value = value
        reading = the_reading(facts_of(model, metadata=metadata, size_wh=(size, size)))
        assert isinstance(reading.head, RowsHead)
        assert reading.head.values.keys() >= {"box", "keypoints"}
        assert reading.head.outputs == ROWS[family].outputs
        assert replace(reading.head, values=ROWS[family].values) == ROWS[family]
