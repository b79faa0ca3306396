"""TensorRT's layouts in front of a real TensorRT parser and builder (TensorRT for RTX, which needs no GPU for either)."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from posetrt.calib.calibrate import calibrate
from posetrt.runtime.folder import ModelFolder
from tests.rtx import build_with_rtx


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
