"""Model folders of the zoo's networks with random weights, in every form that `posetrt export` and `calibrate` give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from posetrt.calib.int8.calibrate import calibrate
from posetrt.export.graph.float16 import write_fp16
from posetrt.export.graph.fused import with_uint8_input
from posetrt.export.graph.onnx_model import write_folder
from posetrt.export.heads.fuse import with_decoding
from posetrt.export.weights.from_weights import model_from_weights
from posetrt.export.weights.random_weights import write_random_weights
from posetrt.export.weights.zoo import find_network
from posetrt.runtime.model.folder import ModelFolder


def zoo_folder(
    name: str,
    path: Path,
    *,
    size_wh: tuple[int, int] | None = None,
    dynamic: bool = False,
    uint8: bool = False,
    decode: bool = False,
    photographs: Sequence[Path] = (),
) -> ModelFolder:
    """Export a network with random weights; calibrate it where photographs are given."""
    weights = path.with_name(f"{path.name}.npz")
    write_random_weights(name, weights)
    model, manifest = model_from_weights(find_network(name), weights, size_wh=size_wh, dynamic=dynamic)
    if uint8:
        model, manifest = with_uint8_input(model, manifest)
    if decode:
        model, manifest = with_decoding(model, manifest, 16 if manifest.head.scope == "frame" else None)
    folder = write_folder(model, manifest, path)
    write_fp16(folder)
    if photographs:
        calibrate(folder, list(photographs), method="minmax")
    return folder
