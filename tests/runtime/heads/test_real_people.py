"""Real networks' people on the 38 photographs, against the AP of a plain decoder (the data's README)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posetrt.runtime.heads.base import DecodeOptions
from posetrt.runtime.heads.coordinates import CoordinatesHead
from posetrt.runtime.heads.embedding import EmbeddingHead
from posetrt.runtime.heads.offsets import OffsetsHead
from posetrt.runtime.heads.simcc import SimccHead
from posetrt.runtime.heads.subpixel import best_points, to_pixels
from posetrt.runtime.model.skeleton import load_skeleton
from tests.runtime.heads.photographs import Photographs, back, crop_matrix, resized, row, unresized, warp

pytestmark = pytest.mark.slow

EVALUATE = DecodeOptions("evaluate")
COCO17 = load_skeleton("coco17")
GROUPED = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)


@pytest.fixture(scope="module")
def photographs(shared_data: Path) -> Photographs:
    return Photographs(shared_data)


@pytest.fixture
def network(shared_data: Path) -> Any:
    import onnxruntime

    def opened(model: str | bytes) -> Any:
        path = model if isinstance(model, bytes) else str(shared_data / "weights" / "heads" / model)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        given = session.get_inputs()[0].name
        return lambda picture: dict(zip(names, session.run(names, {given: picture}), strict=True))

    return opened


def _imagenet(crop: np.ndarray) -> np.ndarray:
    rgb = (crop[..., ::-1] - np.array([123.675, 116.28, 103.53])) / np.array([58.395, 57.12, 57.375])
    return rgb.transpose(2, 0, 1)[None].astype(np.float32)


def _bytes(crop: np.ndarray) -> np.ndarray:
    return crop[None, ..., ::-1].astype(np.int32)


def test_pp_tinypose_on_annotated_boxes(photographs, network, tmp_path):
    run, rows = network("pp-tinypose/pp_tinypose_256x192.onnx"), []
    for person, matrix, crop in photographs.crops((192, 256), 1.25):
        points = to_pixels(best_points(run(_imagenet(crop))["heatmaps"]), (64, 48), (192, 256), grid="origin")[0]
        rows.append(row(person["image_id"], back(points, matrix), points[:, 2].mean()))
    assert photographs.ap(rows, tmp_path) >= 0.66


def test_the_stand_in_for_simcc_on_annotated_boxes(photographs, network, tmp_path):
    run, rows = network("standin-simcc/standin_simcc_256x192.onnx"), []
    decoder = SimccHead(outputs={"x": "simcc_x", "y": "simcc_y"}).decoder(COCO17)
    for person, matrix, crop in photographs.crops((192, 256), 1.25):
        one = decoder.decode(run(_imagenet(crop)), (192, 256))[0]
        rows.append(row(person["image_id"], back(one.keypoints[0], matrix), one.scores[0]))
    # The reference is .619. It depends on how crops are cut by .01: its two axes are stretched by 1.6 % (see the report of the issue).
    assert photographs.ap(rows, tmp_path) >= 0.605


def test_movenet_lightning_on_annotated_boxes(photographs, network, tmp_path):
    run, rows = network("movenet-lightning/movenet_lightning.onnx"), []
    decoder = CoordinatesHead(outputs={"points": "output_0"}, columns=("y", "x", "score"), unit="input").decoder(COCO17)
    for person, matrix, crop in photographs.crops((192, 192), 1.0):
        one = decoder.decode(run(_bytes(crop)), (192, 192))[0]
        rows.append(row(person["image_id"], back(one.keypoints[0], matrix), one.scores[0]))
    assert photographs.ap(rows, tmp_path) >= 0.424


def test_blazepose_in_two_passes_from_annotated_boxes(photographs, network, tmp_path):
    run, rows, size = network("blazepose-lite/blazepose_lite_landmarks.onnx"), [], (256, 256)
    head = CoordinatesHead(
        outputs={"points": "ld_3d", "presence": "output_poseflag"},
        columns=("x", "y", "z", "score", "-"),
        rows=39,
        score_logits=True,
        next_crop_rows=(33, 34),
    )
    skeleton = load_skeleton("blazepose33")
    decoder = head.decoder(skeleton)

    def seen(crop: np.ndarray) -> Any:
        return run((crop[None, ..., ::-1] / 255).astype(np.float32))

    for person, first, crop in photographs.crops(size, 1.25):
        x, y, side, turned = head.next_crop(seen(crop), size)[0]
        inner = crop_matrix((x + 0.5, y + 0.5), (side, side), size, turned)
        matrix = np.c_[first[:, :2] @ inner[:, :2], first[:, :2] @ inner[:, 2] + first[:, 2]]
        one = decoder.decode(seen(warp(photographs.images[person["image_id"]], matrix, size)), size)[0]
        points = one.keypoints[0, list(skeleton.coco17)]
        rows.append(row(person["image_id"], back(points, matrix), one.scores[0]))
    assert photographs.ap(rows, tmp_path) >= 0.14


@pytest.mark.parametrize(("long_side", "least"), [(385, 0.285), (513, 0.333)])
def test_posenet_on_whole_photographs(photographs, network, tmp_path, long_side, least):
    run, rows = network("posenet-mobilenetv1-075/posenet.onnx"), []
    outputs = {"heatmaps": "heatmaps", "offsets": "offsets", "forward": "displacements_fwd", "backward": "displacements_bwd"}
    decoder = OffsetsHead(outputs=outputs, channels="last").decoder(COCO17, EVALUATE)
    for image_id, picture in photographs.images.items():
        height, width = picture.shape[:2]
        size = tuple(round((side * long_side / max(width, height) - 1) / 16) * 16 + 1 for side in (width, height))
        found = decoder.decode(run((resized(picture, size)[None, ..., ::-1] / 127.5 - 1).astype(np.float32)), size)[0]
        back_to = (size, (width, height))
        rows += [row(image_id, unresized(points, *back_to), score) for points, score in zip(found.keypoints, found.scores, strict=True)]
    assert photographs.ap(rows, tmp_path) >= least


def _with_tags(path: Path) -> bytes:
    """MoveNet MultiPose cut open: heat-map logits, and as tags where each cell sees the middle of a person's trunk, from its regression."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(path))
    graph = model.graph
    weights = {each.name: each for each in graph.initializer}
    casts = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Cast"}
    last: dict[int, list[str]] = {}
    for node in graph.node:
        kernel = weights.get(node.input[1]) or weights.get(casts.get(node.input[1], "")) if node.op_type == "Conv" else None
        if kernel is not None and kernel.dims[1] == 96:
            last.setdefault(kernel.dims[0], []).append(node.output[0])
    # Of the two with 34 channels the first is the regression; y and x of shoulders and hips follow one another.
    trunk = np.array([2 * part + axis for axis in (0, 1) for part in (5, 6, 11, 12)], np.int64)
    cells = np.stack(np.mgrid[:64, :64]).astype(np.float32)[None]
    for name, values in (("trunk", trunk), ("four", np.array([1, 2, 4, 64, 64], np.int64)), ("cells", cells)):
        graph.initializer.append(numpy_helper.from_array(values, name))
    graph.node.extend(
        [
            helper.make_node("Gather", [last[34][0], "trunk"], ["of_trunk"], axis=1),
            helper.make_node("Reshape", ["of_trunk", "four"], ["by_axis"]),
            helper.make_node("ReduceMean", ["by_axis"], ["mean"], axes=[2], keepdims=0),
            helper.make_node("Add", ["mean", "cells"], ["tag"]),
            helper.make_node("Concat", ["tag"] * 17, ["tags"], axis=1),
        ]
    )
    del graph.output[:]
    for name in (last[17][0], "tags"):
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, 64, 64]))
    graph.node.append(helper.make_node("Identity", [last[17][0]], ["heatmaps"]))
    graph.output[0].name = "heatmaps"
    return model.SerializeToString()


def test_associative_embedding_with_movenets_centre_as_tag(shared_data, photographs, network, tmp_path):
    run = network(_with_tags(shared_data / "weights" / "heads" / "movenet-multipose" / "movenet_multipose.onnx"))
    # Tags are in cells. Radius and threshold were chosen on everyday photographs, with YOLO's people as truth.
    head = EmbeddingHead(
        outputs={"heatmaps": "heatmaps", "tags": "tags"}, dimensions=2, tag_threshold=30.0, nms_radius=3.0, order=GROUPED, logits=True
    )
    decoder, rows = head.decoder(COCO17, EVALUATE), []
    for image_id, picture in photographs.images.items():
        height, width = picture.shape[:2]
        inner = tuple(round(side * 256 / max(width, height)) for side in (width, height))
        frame = np.zeros((256, 256, 3), np.uint8)
        frame[: inner[1], : inner[0]] = resized(picture, inner)
        found = decoder.decode(run(_bytes(frame)), (256, 256))[0]
        rows += [
            row(image_id, unresized(points, inner, (width, height)), score)
            for points, score in zip(found.keypoints, found.scores, strict=True)
        ]
    assert photographs.ap(rows, tmp_path) >= 0.285
