"""The Caffe networks: the exported graph gives what OpenCV's own Caffe importer gives from the same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from posetrt.export.weights.from_weights import model_from_weights
from posetrt.export.weights.zoo import find_network
from posetrt.runtime.heads.paf.layout import load_layout
from tests.caffe_files import Blobs, caffemodel, layer_table, prototxt, random_blobs
from tests.running import run_onnx

TOLERANCE = 1e-4
QUICK = ("openpose-body25", "openpose-hand")
SLOW = ("openpose-coco", "openpose-mpi", "openpose-mpi-4stage", "openpose-face")
SIZES = ((64, 48), (128, 96))
CASES = [
    pytest.param(name, size, marks=[] if name in QUICK and size == SIZES[0] else pytest.mark.slow)
    for name in (*QUICK, *SLOW)
    for size in SIZES
]


def opencv_maps(text: str, model: bytes, image: np.ndarray[Any, Any], output: str | None = None) -> np.ndarray[Any, Any]:
    net = cv2.dnn.readNetFromCaffe(np.frombuffer(text.encode(), np.uint8), np.frombuffer(model, np.uint8))
    net.enableWinograd(False)
    net.setInput(image)
    result: np.ndarray[Any, Any] = net.forward(output or net.getUnconnectedOutLayersNames()[0])
    return result


def assert_close(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> None:
    assert found.shape == expected.shape
    assert np.ptp(expected) > 0.01, "the reference is flat: the comparison would say nothing"
    assert np.abs(found - expected).max() <= TOLERANCE * np.ptp(expected)


@pytest.mark.parametrize(("name", "size"), CASES)
def test_a_caffe_network_gives_what_opencv_gives(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    layers = layer_table(name)
    data = caffemodel(random_blobs(layers))
    weights = tmp_path / "random.caffemodel"
    weights.write_bytes(data)
    image = np.random.default_rng(1).uniform(-0.5, 0.5, (1, 3, size[1], size[0])).astype(np.float32)
    expected = opencv_maps(prototxt(layers, size), data, image)
    model, _manifest = model_from_weights(find_network(name), weights, size_wh=size)
    outputs = run_onnx(model, image)
    layout = load_layout(find_network(name).skeleton)
    maps = layout.heatmap_channels
    assert_close(outputs["heatmaps"], expected[:, :maps])
    if layout.paf_channels:
        assert_close(outputs["pafs"], expected[:, maps:])
    assert [entry.version for entry in model.opset_import] == [17]
    assert model.ir_version == 8


@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_layers_have_the_names_and_joins_of_the_published_network(name: str) -> None:
    """Compared blob by blob: who feeds whom, and the shape of every parameter."""
    from posetrt.export.graph.onnx_graph import GraphWriter, Tensor
    from posetrt.export.weights.parameters import Parameters

    network, parameters, layers = find_network(name), Parameters(None), layer_table(name)
    net = GraphWriter(parameters)
    maps = network.build(net, Tensor("image", 3, 1), load_layout(network.skeleton), (64, 48))
    graph = net.model("image", [1, 3, 48, 64], {"maps": maps.heatmaps}, 17, 8).graph
    final = {"maps": maps.heatmaps.name}
    ours = {
        node.name: [final.get(i, i) for i in node.input if "." not in i]
        for node in graph.node
        if node.op_type in ("Conv", "MaxPool", "Concat")
    }
    theirs = {layer["name"]: layer["bottom"] for layer in layers if layer["type"] in ("Convolution", "Pooling", "Concat")}
    last = layers[-1]
    if last["type"] == "Concat":  # the published file joins maps and PAFs at the end; here they are two outputs
        del theirs[last["name"]]
    assert ours == theirs
    expected: dict[str, tuple[int, ...]] = {}
    for layer, blobs in random_blobs(layers).items():
        expected |= {f"{layer}.{role}": blob.shape for role, blob in zip(("weight", "bias"), blobs, strict=False)}
    assert parameters.shapes == expected


@pytest.mark.parametrize("size", [(136, 104), (72, 96)])
def test_cpm_marks_the_middle_as_the_published_network_is_told_to(size: tuple[int, int], tmp_path: Path) -> None:
    """The 2016 network takes the centre map as a fourth channel; here it is inside. Size 368 cuts the last pooling window."""
    layers = cpm_person_layers()
    blobs = random_blobs(layers)
    data = caffemodel(blobs)
    weights = tmp_path / "cpm.caffemodel"
    weights.write_bytes(data)
    image = np.random.default_rng(1).uniform(-0.5, 0.5, (1, 3, size[1], size[0])).astype(np.float32)
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    centre = np.exp(-((x - size[0] / 2) ** 2 + (y - size[1] / 2) ** 2) / (2 * 21.0 * 21.0))
    four = np.concatenate([image, centre[None, None].astype(np.float32)], 1)
    expected = opencv_maps(prototxt(layers, size, channels=4), data, four, "Mconv7_stage6")
    model, _ = model_from_weights(find_network("cpm-person"), weights, size_wh=size)
    assert_close(run_onnx(model, image)["heatmaps"], expected)


def cpm_person_layers() -> list[dict[str, Any]]:
    """Layers of model/_trained_MPI/pose_deploy_resize.prototxt of shihenw/convolutional-pose-machines-release."""
    layers: list[dict[str, Any]] = [
        {"name": "split", "type": "Slice", "bottom": ["image"], "top": ["photo", "center_map"], "slice_point": 3},
        {
            "name": "pool_center_lower",
            "type": "Pooling",
            "pool": "AVE",
            "kernel": 9,
            "stride": 8,
            "bottom": ["center_map"],
            "top": ["pooled"],
        },
    ]

    def conv(name: str, bottom: str, channels: int, kernel: int, relu: bool = True) -> str:
        ends = {"bottom": [bottom], "top": [name]}
        sizes = {"num_output": channels, "kernel": kernel, "pad": kernel // 2, "stride": 1, "dilation": 1}
        layers.append({"name": name, "type": "Convolution", **ends, **sizes})
        if relu:
            layers.append({"name": f"relu_{name}", "type": "ReLU", "bottom": [name], "top": [name]})
        return name

    blob = "photo"
    for block, (channels, count) in enumerate(((64, 2), (128, 2), (256, 4)), start=1):
        for index in range(1, count + 1):
            blob = conv(f"conv{block}_{index}", blob, channels, 3)
        layers.append({"name": f"pool{block}_stage1", "type": "Pooling", "pool": "MAX", "kernel": 2, "stride": 2})
        layers[-1] |= {"bottom": [blob], "top": [f"pool{block}_stage1"]}
        blob = f"pool{block}_stage1"
    for name, channels in (("conv4_1", 512), ("conv4_2", 512), *((f"conv4_{index}_CPM", 256) for index in (3, 4, 5, 6))):
        blob = conv(name, blob, channels, 3)
    features = conv("conv4_7_CPM", blob, 128, 3)
    maps = conv("conv5_2_CPM", conv("conv5_1_CPM", features, 512, 1), 15, 1, relu=False)
    for stage in range(2, 7):
        blob = f"concat_stage{stage}"
        layers.append({"name": blob, "type": "Concat", "bottom": [maps, features, "pooled"], "top": [blob]})
        for index in range(1, 6):
            blob = conv(f"Mconv{index}_stage{stage}", blob, 128, 7)
        maps = conv(f"Mconv7_stage{stage}", conv(f"Mconv6_stage{stage}", blob, 128, 1), 15, 1, relu=False)
    return layers


def write_random(name: str, folder: Path) -> tuple[Path, Blobs]:
    """Random weights of a Caffe network as a file."""
    blobs = random_blobs(layer_table(name))
    path = folder / f"{name}.caffemodel"
    path.write_bytes(caffemodel(blobs))
    return path, blobs


def test_every_graph_names_its_weights_and_licence(tmp_path: Path) -> None:
    weights, _ = write_random("openpose-hand", tmp_path)
    model, manifest = model_from_weights(find_network("openpose-hand"), weights, size_wh=(64, 64))
    stored = {entry.key: entry.value for entry in model.metadata_props}["posetrt"]
    assert stored == manifest.to_json()
    assert "non-commercial" in manifest.licence
    assert len(manifest.weights_sha256) == 64
    assert manifest.head.map_stride() == 8
    assert onnx.ModelProto.FromString(model.SerializeToString()).graph.input[0].name == manifest.input.name
