"""A network exported for a batch gives each image what it gives it alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from posetrt.export.graph.onnx_model import write_folder
from posetrt.export.weights.from_weights import model_from_weights
from posetrt.export.weights.random_weights import write_random_weights
from posetrt.export.weights.zoo import find_network
from posetrt.runtime.engines.onnxruntime import OnnxRuntimeEngine


@pytest.mark.parametrize("name", ["cpm-person", "lightweight-openpose"])
def test_each_image_of_a_batch_comes_out_as_it_does_alone(name: str, tmp_path: Path) -> None:
    write_random_weights(name, tmp_path / "w.npz")
    single, manifest = model_from_weights(find_network(name), tmp_path / "w.npz", size_wh=(64, 48))
    assert manifest.input.max_batch == 1
    assert not [node.op_type for node in single.graph.node if node.op_type in ("Expand", "Shape")], "a fixed graph needs none"
    model, manifest = model_from_weights(find_network(name), tmp_path / "w.npz", size_wh=(64, 48), batch=3)
    assert manifest.input.max_batch == 3
    images = np.random.default_rng(0).normal(0, 0.3, (3, 3, 48, 64)).astype(np.float32)
    alone = onnxruntime.InferenceSession(single.SerializeToString())
    expected = np.concatenate([alone.run(["heatmaps"], {"image": image[None]})[0] for image in images])
    folder = write_folder(model, manifest, tmp_path / "folder")
    with OnnxRuntimeEngine(folder.onnx, folder.manifest(), "fp32") as engine:
        found = engine.infer(images)["heatmaps"]
    assert found is not None
    assert np.abs(found - expected).max() <= 1e-4 * np.ptp(expected)
    assert onnx.load(str(folder.onnx)).graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
