"""The PyTorch networks: the exported graph gives what a module written from the published description gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from posetrt.export.weights.from_weights import model_from_weights
from posetrt.export.weights.zoo import find_network
from tests.running import run_onnx

pytestmark = pytest.mark.slow
torch = pytest.importorskip("torch")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before-1.6"])
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("lightweight-openpose", ((64, 48), (136, 104))),
        ("trt-pose-resnet18", ((64, 64), (128, 96))),
        ("trt-pose-densenet121", ((64, 64), (128, 96))),
    ],
)
def test_a_pytorch_network_gives_what_pytorch_gives(name: str, sizes: tuple[tuple[int, int], ...], legacy: bool, tmp_path: Path) -> None:
    from tests.torch_networks import LightweightOpenPose, randomise, trt_pose

    module = randomise(LightweightOpenPose() if name.startswith("lightweight") else trt_pose(name.rpartition("-")[2]))
    weights = tmp_path / "random.pth"
    state = module.state_dict()
    checkpoint = {"state_dict": state, "iter": 370000, "optimizer": {"param_groups": [{"lr": 4e-5}]}} if legacy else state
    torch.save(checkpoint, weights, _use_new_zipfile_serialization=not legacy)
    for size in sizes:
        image = np.random.default_rng(1).uniform(-1, 1, (1, 3, size[1], size[0])).astype(np.float32)
        with torch.no_grad():
            expected = module(torch.from_numpy(image))
        model, manifest = model_from_weights(find_network(name), weights, size_wh=size)
        outputs = run_onnx(model, image)
        for role, reference in zip(("heatmaps", "pafs"), expected, strict=True):
            span = float(np.ptp(reference.numpy()))
            assert span > 0.01
            assert outputs[role].shape == tuple(reference.shape)
            assert np.abs(outputs[role] - reference.numpy()).max() <= 1e-4 * span
        assert size[0] // outputs["heatmaps"].shape[3] == manifest.head.map_stride()
