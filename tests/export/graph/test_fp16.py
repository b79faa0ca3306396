"""Float16 graphs: types change, people do not, and nothing overflows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from posetrt.export.graph.float16 import LARGEST, to_fp16, write_fp16
from posetrt.export.graph.fused import DECODE_PREFIX, INPUT_PREFIX, with_uint8_input
from posetrt.export.graph.onnx_model import write_folder
from posetrt.export.heads.fuse import with_decoding
from posetrt.export.heads.user_graph import GraphOptions, model_from_onnx
from posetrt.export.weights.from_weights import model_from_weights
from posetrt.export.weights.zoo import find_network
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.heads.paf.layout import load_layout
from posetrt.runtime.heads.paf.parser import PafParser
from posetrt.runtime.picture import place, to_input
from posetrt.runtime.placement import letterbox
from tests.caffe_files import caffemodel, layer_table, random_blobs
from tests.running import run_onnx


def random_body25(folder: Path, size: tuple[int, int] = (96, 64)) -> tuple[Any, Any]:
    path = folder / "body25.caffemodel"
    path.write_bytes(caffemodel(random_blobs(layer_table("openpose-body25"))))
    return model_from_weights(find_network("openpose-body25"), path, size_wh=size)


def every_activation(model: Any) -> Any:
    """The same graph, giving every tensor of its network as an output."""
    shown = onnx.shape_inference.infer_shapes(model)
    known = {value.name for value in shown.graph.output}
    for value in list(shown.graph.value_info):
        if value.name not in known and value.type.tensor_type.elem_type in (TensorProto.FLOAT, TensorProto.FLOAT16):
            shown.graph.output.append(value)
    return shown


def test_the_network_runs_in_float16_and_what_stands_around_it_in_float32(tmp_path: Path) -> None:
    model, manifest = random_body25(tmp_path)
    fused, _ = with_decoding(*with_uint8_input(model, manifest))
    half = to_fp16(fused)
    onnx.checker.check_model(half, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(half, strict_mode=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in inferred.value_info}
    types |= {tensor.name: tensor.data_type for tensor in inferred.initializer}
    convolutions = 0
    for node in half.graph.node:
        if node.op_type == "Conv":
            convolutions += 1
            assert {types[name] for name in node.input} == {TensorProto.FLOAT16}
        if node.name.startswith((INPUT_PREFIX, DECODE_PREFIX)):
            assert all(types.get(name) != TensorProto.FLOAT16 for name in (*node.input, *node.output))
    assert convolutions == 114
    assert half.ByteSize() < 0.51 * fused.ByteSize()
    assert [value.type for value in half.graph.output] == [value.type for value in fused.graph.output]
    assert half.graph.input[0].type == fused.graph.input[0].type


@pytest.mark.slow
def test_random_body25_does_not_overflow_and_stays_near_float32(tmp_path: Path) -> None:
    model, _ = random_body25(tmp_path)
    image = np.random.default_rng(1).uniform(-0.5, 0.5, (1, 3, 64, 96)).astype(np.float32)
    full, half = run_onnx(every_activation(model), image), run_onnx(every_activation(to_fp16(model)), image)
    largest = max(float(np.abs(value).max()) for value in full.values())
    assert largest < LARGEST / 10
    assert all(np.isfinite(value).all() for value in half.values())
    for name in ("heatmaps", "pafs"):
        assert np.abs(half[name] - full[name]).max() < 0.01 * np.ptp(full[name])


@pytest.mark.slow
def test_real_activations_fit_float16_and_the_people_stay(hpe0001: Path, shared_data: Path) -> None:
    import cv2

    model, manifest = model_from_onnx(hpe0001, GraphOptions(normalise="in-graph", size_wh=(456, 256)))
    half, parser = to_fp16(model), PafParser(load_layout("coco18"))
    shown = every_activation(model)
    matched = total = 0
    for path in sorted((shared_data / "images").glob("*.jpg"))[::6]:
        frame = cv2.imread(str(path))
        assert frame is not None
        canvas = place(frame.astype(np.uint8), letterbox((frame.shape[1], frame.shape[0]), (456, 256)))
        tensor = to_input(canvas, manifest.input)
        full = run_onnx(shown, tensor)
        assert max(float(np.abs(value).max()) for value in full.values()) < LARGEST / 10
        found = run_onnx(half, tensor)
        expected = parser.parse(full["Mconv7_stage2_L2"][0], full["Mconv7_stage2_L1"][0])
        people = parser.parse(found["Mconv7_stage2_L2"][0], found["Mconv7_stage2_L1"][0])
        for person in expected.keypoints:
            seen = person[:, 2] > 0
            away = [np.abs(other[seen, :2] - person[seen, :2]).max() for other in people.keypoints]
            matched += min(away, default=99.0) < 0.25
            total += 1
    assert total > 8
    assert matched >= 0.9 * total


def test_a_weight_beyond_float16_is_refused_by_name() -> None:
    graph = helper.make_graph(
        [helper.make_node("Mul", ["image", "gain"], ["maps"], name="Mul")],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, [1])],
        [onnx.numpy_helper.from_array(np.array([1e5], np.float32), "gain")],
    )
    with pytest.raises(PosetrtError, match=r"gain holds 100000, more than float16's 65504"):
        to_fp16(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


def test_a_weight_that_the_decoding_reads_too_is_kept_in_both_types() -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["image", "gain"], ["maps"], name="Mul"),
            helper.make_node("Add", ["maps", "gain"], ["peaks"], name=f"{DECODE_PREFIX}0_Add"),
        ],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("peaks", TensorProto.FLOAT, [1])],
        [onnx.numpy_helper.from_array(np.array([0.1], np.float32), "gain")],
    )
    half = to_fp16(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    (peaks,) = run_onnx(half, np.array([1.0], np.float32)).values()
    assert peaks[0] == np.float32(np.float16(0.1)) + np.float32(0.1)


def test_the_folder_knows_what_its_fp16_graph_was_made_from(tmp_path: Path) -> None:
    model, manifest = random_body25(tmp_path)
    folder = write_folder(model, manifest, tmp_path / "person")
    write_fp16(folder)
    assert folder.checked_variant("fp16").is_file()
    stored = {entry.key: entry.value for entry in onnx.load(str(folder.variant("fp16"))).metadata_props}
    assert json.loads(stored["posetrt.made_from"]) == {"model": folder.hashes()["model"]}
    assert stored["posetrt"] == manifest.to_json()
