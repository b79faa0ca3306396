"""Random networks as Caffe's two files, written byte by byte, so that nothing of the reader under test has a part in them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Blobs = dict[str, list[NDArray[np.float32]]]


_NUMBERS = {
    "Convolution": ("num_output", "kernel", "pad", "stride", "dilation"),
    "Pooling": ("pool", "kernel", "stride"),
    "Concat": ("axis",),
}


def layer_table(network: str) -> list[dict[str, Any]]:
    """Layers of one of OpenPose's published networks (`tests/facts`)."""
    rows = json.loads((Path(__file__).parent / "facts" / "openpose_layers.json").read_text(encoding="utf-8"))[network]
    return [
        {"name": name, "type": kind, "bottom": bottom.split(), "top": top.split()} | dict(zip(_NUMBERS.get(kind, ()), numbers, strict=True))
        for name, kind, bottom, top, numbers in rows
    ]


def random_blobs(layers: list[dict[str, Any]], seed: int = 0) -> Blobs:
    """He-initialised weights, small biases, slopes around 0.25, of the shapes that the table implies."""
    rng = np.random.default_rng(seed)
    channels, blobs = {"image": 3}, {}
    for layer in layers:
        if layer["type"] == "Slice":
            channels |= {layer["top"][0]: 3, layer["top"][1]: 1}
            continue
        inputs = sum(channels[bottom] for bottom in layer["bottom"])
        if layer["type"] == "Convolution":
            shape = (layer["num_output"], inputs, layer["kernel"], layer["kernel"])
            spread = np.float32((2 / np.prod(shape[1:])) ** 0.5)
            blobs[layer["name"]] = [
                rng.standard_normal(shape, np.float32) * spread,
                rng.standard_normal(shape[0], np.float32) * np.float32(0.05),
            ]
        elif layer["type"] == "PReLU":
            blobs[layer["name"]] = [rng.uniform(0.0, 0.5, inputs).astype(np.float32)]
        channels[layer["top"][0]] = layer.get("num_output", inputs)
    return blobs


def prototxt(layers: list[dict[str, Any]], size_wh: tuple[int, int], channels: int = 3) -> str:
    """Caffe's description of the network."""
    text = [f'input: "image"\ninput_dim: 1\ninput_dim: {channels}\ninput_dim: {size_wh[1]}\ninput_dim: {size_wh[0]}']
    for layer in layers:
        ends = "".join(f' bottom: "{name}"' for name in layer["bottom"]) + "".join(f' top: "{name}"' for name in layer["top"])
        kind = layer["type"]
        extra = ""
        if kind == "Convolution":
            extra = (
                f" convolution_param {{ num_output: {layer['num_output']} pad: {layer['pad']} kernel_size: {layer['kernel']} "
                f"stride: {layer['stride']} dilation: {layer['dilation']} }}"
            )
        elif kind == "Pooling":
            extra = f" pooling_param {{ pool: {layer['pool']} kernel_size: {layer['kernel']} stride: {layer['stride']} }}"
        elif kind == "Concat":
            extra = " concat_param { axis: 1 }"
        elif kind == "Slice":
            extra = f" slice_param {{ axis: 1 slice_point: {layer['slice_point']} }}"
        text.append(f'layer {{ name: "{layer["name"]}" type: "{kind}"{ends}{extra} }}')
    return "\n".join(text) + "\n"


def caffemodel(blobs: Blobs, *, old: bool = False, packed: bool = True, double: bool = False, legacy: bool = False) -> bytes:
    """A .caffemodel: `layer` or the `old` `layers`; numbers packed or one by one; float or double; `shape` or four sizes."""
    parts = []
    for name, arrays in blobs.items():
        body = _bytes(4 if old else 1, name.encode())
        for array in arrays:
            body += _bytes(6 if old else 7, _blob(array, packed, double, legacy))
        parts.append(_bytes(2 if old else 100, body))
    return _bytes(1, b"random") + b"".join(parts)


def _blob(array: NDArray[np.float32], packed: bool, double: bool, legacy: bool) -> bytes:
    if legacy:
        sizes = (1,) * (4 - array.ndim) + array.shape
        head = b"".join(_varint(number << 3) + _varint(size) for number, size in enumerate(sizes, start=1))
    else:
        head = _bytes(7, _bytes(1, b"".join(_varint(size) for size in array.shape)))
    field, kind, wire = (8, "<f8", 1) if double else (5, "<f4", 5)
    raw = array.astype(kind).tobytes()
    if packed:
        return head + _bytes(field, raw)
    size = 8 if double else 4
    tag = _varint(field << 3 | wire)
    return head + b"".join(tag + raw[start : start + size] for start in range(0, len(raw), size))


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += struct.pack("B", value & 0x7F | 0x80)
        value >>= 7
    return out + struct.pack("B", value)
