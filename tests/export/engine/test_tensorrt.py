"""Every exported graph passes TensorRT's own parser and builder, and uses only operators that 8.6 and 10.3 list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from posetrt.export.graph.float16 import to_fp16
from posetrt.export.graph.fused import with_uint8_input
from posetrt.export.heads.fuse import with_decoding
from posetrt.export.weights.from_weights import model_from_weights
from posetrt.export.weights.random_weights import write_random_weights
from posetrt.export.weights.zoo import Network, find_network, names
from posetrt.runtime.model.manifest import Manifest
from tests.rtx import SizeRange, build_with_rtx
from tests.running import run_onnx

OPERATORS = json.loads((Path(__file__).parent / "tensorrt_operators.json").read_text())
QUICK = "lightweight-openpose"
QUICK_KINDS = ("dynamic, uint8, decoding", "uint8, decoding, fp16")
CASES = [(QUICK, QUICK_KINDS), *(pytest.param(name, None, marks=pytest.mark.slow, id=name) for name in names())]


def profile_of(manifest: Manifest) -> dict[str, SizeRange] | None:
    spec = manifest.input
    if not spec.dynamic:
        return None
    sizes = (spec.min_wh, spec.size_wh, spec.max_wh)
    shapes = tuple((1, h, w, 3) if spec.layout == "NHWC" else (1, 3, h, w) for w, h in sizes)
    return {spec.name: shapes}  # type: ignore[dict-item]


def variants(network: Network, weights: Path) -> dict[str, tuple[Any, Manifest]]:
    """Every kind of graph that `export` can make of a network."""
    size = (96, 64)
    found = {"static": model_from_weights(network, weights, size_wh=size)}
    # A network for crops keeps the best of each part; there is nothing to say.
    slots = 16 if found["static"][1].head.scope == "frame" else None
    found["uint8"] = with_uint8_input(*found["static"])
    found["decoding"] = with_decoding(*found["static"], slots)
    found["uint8, decoding"] = with_decoding(*found["uint8"], slots)
    if not network.fixed:
        # Half of the usual size must be a size of the network too.
        found["dynamic"] = model_from_weights(network, weights, size_wh=(192, 128), dynamic=True)
        found["dynamic, uint8, decoding"] = with_decoding(*with_uint8_input(*found["dynamic"]), slots)
    return found | {f"{kind}, fp16": (to_fp16(model), manifest) for kind, (model, manifest) in list(found.items())}


@pytest.mark.parametrize(("name", "kinds"), CASES)
def test_every_graph_of_a_network_is_checked_run_and_built(name: str, kinds: tuple[str, ...] | None, tmp_path: Path) -> None:
    network = find_network(name)
    write_random_weights(name, tmp_path / "weights.npz")
    graphs = variants(network, tmp_path / "weights.npz")
    rng = np.random.default_rng(0)
    for kind in kinds or graphs:
        model, manifest = graphs[kind]
        onnx.checker.check_model(model, full_check=True)
        assert (model.ir_version, model.opset_import[0].version, len(model.opset_import)) == (8, 17, 1), kind
        used = {node.op_type for node in model.graph.node}
        for version in ("8.6", "10.3"):
            assert used <= set(OPERATORS[version]), (kind, version)
        for node in model.graph.node:
            assert node.op_type != "MaxPool" or len(node.output) == 1, "TensorRT has no indices"
        width, height = manifest.input.size_wh
        frame = rng.integers(0, 256, (1, height, width, 3), np.uint8)
        image = frame if manifest.input.layout == "NHWC" else np.moveaxis(frame, 3, 1).astype(np.float32) / np.float32(256)
        outputs = run_onnx(model, image)
        assert all(np.isfinite(value).all() for value in outputs.values()), kind
        assert all(value.dtype == np.float32 for value in outputs.values()), kind
        assert len(build_with_rtx(model, profile_of(manifest))) > 100_000, kind


@pytest.mark.parametrize("opset", [18, pytest.param(21, marks=pytest.mark.slow)])
def test_newer_opsets_are_written_as_asked(opset: int, tmp_path: Path) -> None:
    network = find_network(QUICK)
    weights = tmp_path / "weights.npz"
    write_random_weights(QUICK, weights)
    newer = with_decoding(*with_uint8_input(*model_from_weights(network, weights, size_wh=(96, 64), opset=opset)))[0]
    usual = with_decoding(*with_uint8_input(*model_from_weights(network, weights, size_wh=(96, 64))))[0]
    assert newer.opset_import[0].version == opset
    frame = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    for name, value in run_onnx(usual, frame).items():
        np.testing.assert_allclose(run_onnx(newer, frame)[name], value, atol=1e-4)
    build_with_rtx(newer)
