"""The peak memory of a run is that of its own process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from posetrt.bench.run_memory import run_peak_mb
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.memory import resident_mb
from posetrt.runtime.model.shipped import network_folder, shipped_model


def test_the_peak_is_of_a_process_that_runs_the_frames(tmp_path: Path) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((720, 1280, 3), np.uint8))
    held = np.ones(400_000_000, np.uint8)
    peak = run_peak_mb(network_folder(shipped_model()), str(tmp_path / "a.png"), {"threads": 1}, 1)
    assert peak is not None
    assert 60 < peak < 400, "what this process holds is no part of it"
    assert resident_mb() > 400
    assert resident_mb(peak=True) >= resident_mb() - 1
    del held


def test_a_run_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(PosetrtError, match="no photograph, folder or video"):
        run_peak_mb(network_folder(shipped_model()), str(tmp_path / "b.png"), {}, 1)
