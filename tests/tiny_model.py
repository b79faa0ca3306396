"""A small real model folder: two convolutions that give coco18's heat maps and PAFs at stride 8, and variants that name what made them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from posetrt.runtime.heads.paf.layout import load_layout
from posetrt.runtime.model.folder import MADE_FROM_KEY, ModelFolder
from posetrt.runtime.model.manifest import METADATA_KEY, InputSpec, Manifest
from tests.heads import DECODED, maps_head

SIZE = 64


def tiny_manifest(*, dynamic: bool = False, decodes: bool = False) -> Manifest:
    low, high = ((32, 32), (96, 96)) if dynamic else ((SIZE, SIZE), (SIZE, SIZE))
    spec = InputSpec("image", "NCHW", (SIZE, SIZE), low, high, max_batch=2 if dynamic else 1)
    layout = load_layout("coco18")
    return Manifest("tiny", layout.skeleton, spec, DECODED if decodes else maps_head(layout))


def tiny_graph(*, dynamic: bool = False, seed: int = 0) -> Any:
    """image (N, 3, H, W) → conv1 (stride 8) → relu1 → maps and fields."""
    rng = np.random.default_rng(seed)
    dims: list[Any] = ["n", 3, "h", "w"] if dynamic else [1, 3, SIZE, SIZE]
    cells: list[Any] = ["n", "a", "b"] if dynamic else [1, SIZE // 8, SIZE // 8]
    weights = {"w1": (16, 3, 8, 8), "w2": (19, 16, 1, 1), "w3": (38, 16, 1, 1)}
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"], "conv1", strides=[8, 8]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "w2"], ["heatmaps"], "maps"),
        helper.make_node("Conv", ["r1", "w3"], ["pafs"], "fields"),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, dims)],
        [
            helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, [cells[0], 19, *cells[1:]]),
            helper.make_tensor_value_info("pafs", TensorProto.FLOAT, [cells[0], 38, *cells[1:]]),
        ],
        [numpy_helper.from_array(rng.normal(0, 0.1, shape).astype(np.float32), name) for name, shape in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def save(path: Path, model: Any, manifest: Manifest, made_from: dict[str, str] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    props = {METADATA_KEY: manifest.to_json()}
    if made_from is not None:
        props[MADE_FROM_KEY] = json.dumps(made_from)
    helper.set_model_props(model, props)
    onnx.save(model, str(path))


def tiny_folder(path: Path, *, dynamic: bool = False, decodes: bool = False, variants: tuple[str, ...] = ()) -> ModelFolder:
    """A model folder with calibration.json where a variant needs one."""
    folder = ModelFolder(path)
    manifest = tiny_manifest(dynamic=dynamic, decodes=decodes)
    save(folder.onnx, tiny_graph(dynamic=dynamic), manifest)
    if any(name.startswith("int8") for name in variants):
        tensors = {
            name: {"amax": amax}
            for name, amax in (("image", 1.0), ("scaled", 0.5), ("conv1_out", 4.0), ("relu1_out", 3.0), ("heatmaps", 0.9))
        }
        folder.calibration.write_text(json.dumps({"format": 1, "tensors": tensors, "kept_float": ["conv1"]}), encoding="utf-8")
    for name in variants:
        save(folder.variant(name), tiny_graph(dynamic=dynamic), manifest, folder.hashes())
    return folder
