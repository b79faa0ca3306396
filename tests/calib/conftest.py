"""A small network and real photographs for the calibration's tests."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from posetrt.export.graph.onnx_model import write_folder
from posetrt.export.heads.user_graph import GraphOptions, model_from_onnx
from posetrt.runtime.heads.paf.layout import load_layout
from posetrt.runtime.model.folder import ModelFolder
from posetrt.runtime.model.manifest import InputSpec, Manifest
from posetrt.runtime.model.skeleton import load_skeleton
from tests.heads import maps_head

SIZE_WH = (64, 48)


def small_model(outlier: float = 1.0) -> onnx.ModelProto:
    """Conv-ReLU, depthwise, pointwise, residual add, ELU, concat, PReLU: all that the calibration must know, 4 cells a pixel.

    Args:
        outlier: what one channel before the depthwise convolution is multiplied by, and divided by behind it.
    """
    random = np.random.default_rng(7)
    constants: dict[str, np.ndarray] = {}
    nodes = []

    def conv(name: str, source: str, shape: tuple[int, ...], group: int = 1, stride: int = 1, activation: str | None = "Relu") -> str:
        fan = shape[1] * shape[2] * shape[3]
        constants[f"{name}.weight"] = (random.standard_normal(shape) * np.sqrt(2 / fan)).astype(np.float32)
        constants[f"{name}.bias"] = (random.standard_normal(shape[0]) * 0.1).astype(np.float32)
        pad = shape[2] // 2
        nodes.append(
            helper.make_node(
                "Conv", [source, f"{name}.weight", f"{name}.bias"], [name], name, group=group, strides=[stride] * 2, pads=[pad] * 4
            )
        )
        if activation is None:
            return name
        inputs = [name]
        if activation == "PRelu":
            constants[f"{name}.slope"] = np.full((shape[0], 1, 1), 0.1, np.float32)
            inputs.append(f"{name}.slope")
        nodes.append(helper.make_node(activation, inputs, [f"{name}/out"], f"{name}/{activation}"))
        return f"{name}/out"

    constants["scale"] = np.float32(1 / 128).reshape(1)
    constants["shift"] = np.float32(-1).reshape(1)
    nodes.append(helper.make_node("Mul", ["image", "scale"], ["scaled"], "mul"))
    nodes.append(helper.make_node("Add", ["scaled", "shift"], ["normalised"], "add"))
    first = conv("first", "normalised", (8, 3, 3, 3), stride=2)
    depth = conv("depth", first, (8, 1, 3, 3), group=8)
    point = conv("point", depth, (16, 8, 1, 1))
    smooth = conv("smooth", point, (16, 16, 3, 3), stride=2, activation="Elu")
    soft_depth = conv("soft_depth", smooth, (16, 1, 3, 3), group=16)
    side = conv("side", soft_depth, (16, 16, 1, 1), activation="PRelu")
    nodes.append(helper.make_node("Add", [smooth, side], ["sum"], "residual"))
    early = conv("early", "sum", (57, 16, 1, 1), activation=None)
    nodes.append(helper.make_node("Concat", [early, "sum"], ["joined"], "join", axis=1))
    head = conv("head", "joined", (16, 73, 1, 1))
    conv("heatmaps", head, (19, 16, 1, 1), activation=None)
    conv("pafs", head, (38, 16, 1, 1), activation=None)
    constants["first.weight"][3] *= outlier
    constants["first.bias"][3] *= outlier
    constants["depth.weight"][3] /= outlier
    width, height = SIZE_WH
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, height, width])],
        [
            helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, [1, 19, height // 4, width // 4]),
            helper.make_tensor_value_info("pafs", TensorProto.FLOAT, [1, 38, height // 4, width // 4]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def small_manifest() -> Manifest:
    """The manifest of `small_model`."""
    spec = InputSpec("image", "NCHW", SIZE_WH, SIZE_WH, SIZE_WH, in_graph=True)
    return Manifest("small", load_skeleton("coco18"), spec, maps_head(load_layout("coco18"), stride=4))


def folder_of(model: onnx.ModelProto, path: Path) -> ModelFolder:
    """A model folder of `small_model` or one like it."""
    entry = model.metadata_props.add()
    entry.key, entry.value = "posetrt", small_manifest().to_json()
    path.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path / "model.onnx"))
    return ModelFolder(path)


@pytest.fixture
def small_folder(tmp_path: Path) -> ModelFolder:
    """A folder of a small random network; its depthwise input has one channel 40 times as large as it need be."""
    return folder_of(small_model(40.0), tmp_path / "small")


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Twelve drawn pictures, no two of one size."""
    random = np.random.default_rng(3)
    folder = tmp_path / "pictures"
    folder.mkdir()
    paths = []
    for index in range(12):
        picture = random.integers(0, 256, (40 + index, 70 - index, 3), dtype=np.uint8)
        paths.append(folder / f"{index:02}.png")
        cv2.imwrite(str(paths[-1]), cv2.GaussianBlur(picture, (5, 5), 0))
    return paths


@pytest.fixture(scope="session")
def hpe_folder(hpe0001: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A model folder of the real network at 456x256. Tests that change it copy it first."""
    model, manifest = model_from_onnx(hpe0001, GraphOptions(normalise="in-graph", size_wh=(456, 256)))
    return write_folder(model, manifest, tmp_path_factory.mktemp("hpe") / "hpe0001")


@pytest.fixture
def many(pictures: list[Path]) -> Path:
    """42 pictures: enough to hold some back."""
    random = np.random.default_rng(5)
    for index in range(12, 42):
        picture = random.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(pictures[0].parent / f"{index:02}.png"), cv2.GaussianBlur(picture, (5, 5), 0))
    return pictures[0].parent
