"""TensorRT's layouts in front of a real TensorRT parser and builder (TensorRT for RTX, which needs no GPU for either)."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from posetrt.calib.int8.calibrate import calibrate
from posetrt.runtime.model.folder import ModelFolder
from tests.rtx import build_with_rtx
from tests.zoo_folders import zoo_folder


@pytest.mark.parametrize("variant", ["int8-base", "int8-trt", "int8-trt-fp16"])
def test_tensorrt_parses_and_builds_the_variants_of_a_network_with_every_operator(
    small_folder: ModelFolder, pictures: list[Path], variant: str
) -> None:
    calibrate(small_folder, pictures)
    assert build_with_rtx(onnx.load(str(small_folder.variant(variant))))


@pytest.mark.slow
def test_tensorrt_parses_and_builds_the_real_network_in_int8(hpe_folder: ModelFolder, shared_data: Path) -> None:
    calibrate(hpe_folder, sorted((shared_data / "lspet").iterdir())[:4])
    for variant in ("int8-trt", "int8-trt-fp16"):
        assert build_with_rtx(onnx.load(str(hpe_folder.variant(variant))))


@pytest.mark.parametrize(
    ("network", "decode"),
    [("nano", False), ("nano", True), pytest.param("openpose-body25", False, marks=pytest.mark.slow)],
)
def test_tensorrt_parses_and_builds_networks_of_the_zoo_in_int8(network: str, decode: bool, pictures: list[Path], tmp_path: Path) -> None:
    folder = zoo_folder(network, tmp_path / network, size_wh=(128, 96), uint8=decode, decode=decode, photographs=pictures[:3])
    for variant in ("int8-trt", "int8-trt-fp16"):
        model = onnx.load(str(folder.variant(variant)))
        readers = {name: node.op_type for node in model.graph.node for name in node.input}
        quantised = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
        convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
        constant = {tensor.name for tensor in model.graph.initializer}
        inside = [node for node in convolutions if node.input[1] not in constant]
        assert inside
        assert all(node.input[0] in quantised and node.input[1] in quantised for node in inside)
        assert "QuantizeLinear" in readers.values()
        assert build_with_rtx(model)
