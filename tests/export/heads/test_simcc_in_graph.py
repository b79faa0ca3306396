"""SimCC decoded inside the graph."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from posetrt.calib.heads.simcc import encode
from posetrt.export.graph.graph_ops import GraphOps
from posetrt.export.heads.simcc import fuse
from posetrt.runtime.heads.base import Head
from posetrt.runtime.heads.simcc import SimccHead
from posetrt.runtime.model.manifest import InputSpec, Manifest
from posetrt.runtime.people import People
from tests.rtx import build_with_rtx
from tests.runtime.heads.drawn_people import COCO17, people_in_crops

SIZE = (192, 256)
HEAD = SimccHead(outputs={"x": "simcc_x", "y": "simcc_y"})
LENGTHS = {"simcc_x": 384, "simcc_y": 512}


def _manifest(head: SimccHead) -> Manifest:
    return Manifest("simcc", COCO17, InputSpec("image", "NCHW", SIZE, SIZE, SIZE), head)


def _decoding_graph(head: SimccHead) -> tuple[Any, Head]:
    """A graph that has a network's two outputs as inputs, and nothing but the decoding."""
    from onnx import TensorProto, helper

    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 17, length]) for name, length in LENGTHS.items()]
    graph = helper.make_graph([], "decoding", inputs, [])
    ops = GraphOps(graph, "decode/")
    made = fuse(ops, _manifest(head), None)
    ops.put(renamed=dict(made.outputs))
    graph.output.append(helper.make_tensor_value_info("points", TensorProto.FLOAT, ["batch", 17, 3]))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), made.head


def _nasty(count: int) -> dict[str, np.ndarray]:
    """Outputs of people, some of them flat, at the border, negative or above 1."""
    people = people_in_crops(count, SIZE)
    tensors = encode(HEAD, COCO17, [People(people.keypoints[i : i + 1], people.scores[i : i + 1]) for i in range(count)], SIZE)
    tensors["simcc_x"] += np.random.default_rng(0).normal(0, 0.02, tensors["simcc_x"].shape).astype(np.float32)
    tensors["simcc_x"][0, 0], tensors["simcc_y"][0, 1] = -1, 0
    tensors["simcc_x"][0, 2, 1], tensors["simcc_y"][0, 3, 510] = 3, 3
    tensors["simcc_y"][0, 4] *= 5
    return tensors


@pytest.mark.parametrize("refine", [True, False])
def test_the_graph_finds_what_the_decoder_finds(refine):
    import onnxruntime

    head = SimccHead(outputs=HEAD.outputs, refine=refine)
    model, decoded = _decoding_graph(head)
    tensors = _nasty(6)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    points = session.run(None, tensors)[0]
    assert decoded.decoded_in_graph
    inside = decoded.decoder(COCO17).decode({decoded.outputs["points"]: points}, SIZE)
    outside = head.decoder(COCO17).decode(tensors, SIZE)
    for one, other in zip(inside, outside, strict=True):
        assert np.abs(one.keypoints - other.keypoints).max() < 1e-3
        assert one.scores == pytest.approx(other.scores, abs=1e-6)


def test_tensorrt_builds_it_and_everything_in_it_is_float32_or_an_index():
    from onnx import TensorProto, shape_inference

    model, _ = _decoding_graph(HEAD)
    types = {value.type.tensor_type.elem_type for value in shape_inference.infer_shapes(model).graph.value_info}
    assert types <= {TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL}
    profile = {name: tuple((batch, 17, length) for batch in (1, 4, 8)) for name, length in LENGTHS.items()}
    assert build_with_rtx(model, profile)


@pytest.mark.slow
def test_tensorrt_builds_rtmpose_with_its_decoding(shared_data, tmp_path):
    import onnx
    from onnx import TensorProto, helper

    folder, path = shared_data / "weights" / "heads" / "rtmpose-t-random", tmp_path / "rtmpose-t.onnx"
    arguments = [str(folder / "rtmpose-t.param"), "random:0", "input:3,256,192", "simcc_x,simcc_y", str(path)]
    subprocess.run([sys.executable, str(folder / "ncnn2onnx.py"), *arguments], check=True, cwd=tmp_path)
    model = onnx.load(str(path))
    ops = GraphOps(model.graph, "decode/")
    ops.put(renamed=dict(fuse(ops, _manifest(HEAD), None).outputs))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("points", TensorProto.FLOAT, [1, 17, 3]))
    assert build_with_rtx(model)
