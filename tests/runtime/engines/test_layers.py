"""What an engine runs in, from the inspector's JSON in the forms that 8.6 and 10 print."""

from __future__ import annotations

import json
from typing import Any

import pytest

from posetrt.runtime.engines.layers import layers_from_json, share
from posetrt.runtime.errors import PosetrtError


def tensor(name: str, form: str, shape: list[int]) -> dict[str, Any]:
    return {"Name": name, "Location": "Device", "Dimensions": shape, "Format/Datatype": form}


def conv(name: str, form: str, weights: str, count: int, out: str) -> dict[str, Any]:
    return {
        "Name": name,
        "LayerType": "CaskConvolution",
        "Inputs": [tensor("a", form, [1, 16, 32, 32])],
        "Outputs": [tensor("b", out, [1, 32, 32, 32])],
        "ParameterType": "Convolution",
        "Weights": {"Type": weights, "Count": count},
        "TacticName": "sm80_xmma_fprop_implicit_gemm",
    }


INT8, HALF, FULL = "Thirty-two wide channel vectorized row major Int8 format", "Row major linear FP16 format", "Row major linear FP32"
LISTED: list[Any] = [
    {
        "Name": "Reformatting CopyNode for Input Tensor 0 to conv1 + relu1",
        "LayerType": "Reformat",
        "Inputs": [tensor("image", FULL, [1, 3, 64, 64])],
        "Outputs": [tensor("r", INT8, [1, 3, 64, 64])],
        "ParameterType": "Reformat",
    },
    conv("conv1 + relu1", INT8, "Int8", 3000, INT8),
    conv("conv2", INT8, "Int8", 1000, FULL),
    conv("fc1", HALF, "Half", 4000, HALF),
    {
        "Name": "{ForeignNode[decode/MaxPool_0...decode/Concat_9]}",
        "LayerType": "Myelin",
        "Inputs": [tensor("m", FULL, [1, 19, 32, 32])],
        "Outputs": [],
    },
    {
        "Name": "{ForeignNode[conv3...conv4]}",
        "LayerType": "DLA",
        "Inputs": [tensor("m", "DLA half, 16-wide FP16", [1, 19, 32, 32])],
        "Outputs": [],
    },
    {
        "Name": "input",
        "LayerType": "Cast",
        "Inputs": [tensor("image", "Row major linear UInt8 format", [1, 64, 64, 3])],
        "Outputs": [tensor("x", FULL, [1])],
    },
]


def test_each_layer_has_the_precision_of_what_it_reads() -> None:
    layers = layers_from_json(json.dumps({"Layers": LISTED, "Bindings": []}))
    assert [layer.precision for layer in layers] == ["fp32", "int8", "int8", "fp16", "fp32", "fp16", "uint8"]
    assert [layer.computes for layer in layers] == [False, True, True, True, False, False, False]
    assert [layer.unit for layer in layers] == ["gpu"] * 5 + ["dla", "gpu"]
    assert layers[1].macs == 3000 * 32 * 32
    assert (layers[1].output, layers[2].output) == ("int8", "fp32")


def test_the_share_of_int8_is_of_what_computes() -> None:
    layers = layers_from_json(json.dumps({"Layers": LISTED}))
    count, macs = share(layers, "int8")
    assert count == pytest.approx(2 / 3)
    assert macs == pytest.approx(4000 / 8000)
    assert share([], "int8") == (0.0, None)
    del LISTED[1]["Weights"]
    assert share(layers_from_json(json.dumps({"Layers": LISTED})), "int8")[1] is None


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "no list of layers"), ("{}", "no list of layers"), ('{"Layers": ["conv1", "conv2"]}', "names of its layers alone")],
)
def test_an_engine_without_details_says_how_to_get_them(text: str, says: str) -> None:
    with pytest.raises(PosetrtError, match=says):
        layers_from_json(text)
