"""Fixtures that every folder's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# In CI a change is judged by the same examples each time; elsewhere new ones are looked for.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

SHARED = Path(__file__).resolve().parents[2] / "shared"


def _shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{folder} is absent, and in CI the tests on real data must run")
        pytest.skip(f"{folder} is absent: this test needs the real weights and photographs")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real weights, photographs and maps; skips where absent, fails in CI."""
    return _shared("data")


@pytest.fixture(scope="session")
def hpe0001(shared_data: Path) -> Path:
    """human-pose-estimation-0001, the real float32 network."""
    return shared_data / "weights" / "hpe0001" / "human-pose-estimation-0001_dequant_fp32.onnx"
