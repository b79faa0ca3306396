"""Recognition of detectors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from posetrt.calib.heads.boxes import encode
from posetrt.export.heads import boxes, rows
from posetrt.export.heads.base import Asked, GraphFacts, NearMiss, OutputFacts, Reading
from posetrt.runtime.heads.boxes import BoxesHead
from tests.export.heads.candidate_networks import SIZE, facts_for, facts_of, network, outputs_of
from tests.runtime.heads.families import BOXES, DETECTORS
from tests.runtime.heads.test_rows import people_in_a_row


def the_reading(facts: GraphFacts, asked: Asked | None = None) -> Reading:
    found = boxes.recognise(facts, asked or Asked())
    readings = [one for one in found if isinstance(one, Reading)]
    assert len(readings) == 1, found
    assert not [one for one in rows.recognise(facts, asked or Asked()) if isinstance(one, Reading)]
    return readings[0]


def reads_like(reading: Reading, head: BoxesHead) -> None:
    people = people_in_a_row(3)
    tensors = encode(head, BOXES, [people], SIZE)
    (a,), (b,) = (each.decoder(BOXES).decode(tensors, SIZE) for each in (reading.head, head))
    assert len(b) == 3
    np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)
    np.testing.assert_allclose(a.boxes, b.boxes, atol=1e-3)


MORE = {
    "yolo5": BoxesHead(outputs={"rows": "output"}, values={"box": ("rows", 0, 4), "score": ("rows", 4, 1), "classes": ("rows", 5, 80)}),
    "rtmdet as mmdet exports it": BoxesHead(
        outputs={
            f"{role}/{stride}": f"{name}_{stride}" for stride in (8, 16, 32) for role, name in (("classes", "cls"), ("boxes", "bbox"))
        },
        values={"box": ("boxes", 0, 4), "classes": ("classes", 0, 80)},
        transposed=True,
        box="distances",
        strides=(8, 16, 32),
        activation="sigmoid",
    ),
    "nanodet with its levels apart": BoxesHead(
        outputs={f"{role}/{stride}": f"{name}_{stride}" for stride in (8, 16, 32) for role, name in (("classes", "cls"), ("boxes", "dis"))},
        values={"box": ("boxes", 0, 32), "classes": ("classes", 0, 80)},
        box="distribution",
        unit="cells",
        cell_point=0.5,
        strides=(8, 16, 32),
    ),
    "one class": BoxesHead(outputs={"rows": "output0"}, values={"box": ("rows", 0, 4), "score": ("rows", 4, 1)}, transposed=True),
}


@pytest.mark.parametrize("family", [*(name for name in DETECTORS if name not in ("ssd", "several anchors per cell")), *MORE])
def test_each_family_is_told_by_its_outputs(family: str) -> None:
    head = (DETECTORS | MORE)[family]
    reading = the_reading(facts_for(head))
    assert (reading.parts, reading.skeletons) == (0, ("boxes",))
    reads_like(reading, head)


def test_ssd_with_its_anchors_as_an_output_is_read() -> None:
    head = DETECTORS["ssd"]
    both = [outputs_of(head, seed) for seed in (0, 1)]
    for outputs in both:
        outputs["anchors"] = np.array(head.priors, np.float32)[None]
    reading, people = the_reading(facts_of(network(*both))), people_in_a_row(3)
    tensors = encode(head, BOXES, [people], SIZE)
    (a,) = reading.head.decoder(BOXES).decode({**tensors, "anchors": both[0]["anchors"]}, SIZE)
    (b,) = head.decoder(BOXES).decode(tensors, SIZE)
    np.testing.assert_allclose(a.boxes, b.boxes, atol=1e-3)


def test_ssd_without_its_anchors_says_what_is_missing() -> None:
    (near,) = boxes.recognise(facts_for(DETECTORS["ssd"]), Asked())
    assert isinstance(near, NearMiss)
    assert "anchors" in near.why


def test_anchors_of_yolo_v5_that_the_graph_lacks_are_named() -> None:
    rng = np.random.default_rng(0)
    shapes = {f"out{stride}": (1, 255, SIZE[1] // stride, SIZE[0] // stride) for stride in (8, 16, 32)}
    pictures = [{name: rng.normal(0, 2, shape).astype(np.float32) for name, shape in shapes.items()} for _ in range(2)]
    (near,) = boxes.recognise(facts_of(network(*pictures)), Asked())
    assert isinstance(near, NearMiss)
    assert "anchors" in near.why


def test_candidates_of_strides_that_no_grid_has_name_what_is_missing() -> None:
    rng = np.random.default_rng(0)
    pictures = [{"output": rng.uniform(0, 1, (1, 3000, 85)).astype(np.float32) * 0.5} for _ in range(2)]
    (near,) = boxes.recognise(facts_of(network(*pictures)), Asked())
    assert isinstance(near, NearMiss)
    assert "strides" in near.why


def test_tensorflows_detections_are_y_before_x_and_count_people_as_1() -> None:
    values: dict[str, Any] = {
        "detection_boxes": np.tile(np.array([[0.1, 0.2, 0.5, 0.4]], np.float32), (1, 10, 1)),
        "detection_classes": np.ones((1, 10), np.float32),
        "detection_scores": np.linspace(0.9, 0.1, 10, dtype=np.float32)[None],
        "num_detections": np.array([10], np.float32),
    }
    facts = GraphFacts("ssd.onnx", "image", "NHWC", "uint8", SIZE, tuple(OutputFacts(name, value, value) for name, value in values.items()))
    (found,) = the_reading(facts).head.decoder(BOXES).decode(values, (100, 100))
    np.testing.assert_allclose(found.boxes[:1], [[20, 10, 20, 40]], atol=1e-3)


def test_a_detector_with_masks_is_read_as_boxes() -> None:
    head = DETECTORS["yolo11"]
    rng = np.random.default_rng(0)
    both = [outputs_of(head, seed) for seed in (0, 1)]
    for outputs in both:
        masks = rng.normal(0, 1, (1, 32, outputs["output0"].shape[2])).astype(np.float32)
        outputs["output0"] = np.concatenate([outputs["output0"], masks], 1)
        outputs["output1"] = rng.normal(0, 1, (1, 32, 48, 64)).astype(np.float32)
    reading = the_reading(facts_of(network(*both)))
    assert isinstance(reading.head, BoxesHead)
    assert reading.head.values["classes"] == ("rows", 4, 80)


def test_the_real_detectors_are_told(shared_data: Any) -> None:
    import onnx

    folder = shared_data / "weights" / "heads"
    for path, family, size in (
        ("yolox-nano/yolox_nano_416.onnx", "yolox", 416),
        ("rtmdet-nano-person/rtmdet_nano_person_320.onnx", "rtmdet", 320),
    ):
        reading = the_reading(facts_of(onnx.load(str(folder / path)), size_wh=(size, size)))
        told, known = reading.head, DETECTORS[family]
        assert isinstance(told, BoxesHead)
        assert replace(told, nms_threshold=known.nms_threshold, person_class=known.person_class) == known
        assert (reading.normalise, reading.fit) == (family, "top-left")
