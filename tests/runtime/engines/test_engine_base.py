"""Submit and collect mean the same on an engine that works on one frame at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from posetrt.runtime.engines.choose import open_engine
from posetrt.runtime.errors import PosetrtError
from tests.tiny_model import tiny_folder


def test_onnx_runtime_is_driven_by_submit_and_collect_as_a_gpu_is(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m")
    image = np.random.default_rng(0).uniform(0, 1, (1, 3, 64, 64)).astype(np.float32)
    with open_engine(folder.onnx) as engine:
        expected = engine.infer(image)
        assert engine.frames_in_flight == 1
        engine.submit(image)
        with pytest.raises(PosetrtError, match="one frame in flight"):
            engine.submit(image)
        outputs = engine.collect()
        np.testing.assert_array_equal(outputs["heatmaps"], expected["heatmaps"])
        with pytest.raises(PosetrtError, match="nothing is in flight"):
            engine.collect()
