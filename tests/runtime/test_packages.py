"""What a user is told to install, on a board and at the desk."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from posetrt.jetson.aarch64_wheels import requirements
from posetrt.runtime import packages
from posetrt.runtime.packages import DESK, install_hint

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def _names(extra: str) -> set[str]:
    return {re.split(r"[<>=!\[ ]", entry)[0] for entry in requirements(PYPROJECT, (extra,), "3.11")} - {"numpy"}


@pytest.mark.parametrize("module", [*sorted(DESK), "cv2", "google.protobuf"])
def test_no_remedy_on_a_board_brings_pips_opencv(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "board_name", lambda: "NVIDIA Jetson Orin NX")
    hint = install_hint(module)
    assert "posetrt[" not in hint
    assert "pip install opencv" not in hint
    monkeypatch.setattr(packages, "board_name", lambda: None)
    assert install_hint(module) == "pip install 'posetrt[desk]'"


def test_a_package_outside_the_extra_is_named_itself() -> None:
    assert install_hint("supervision.detection", on_jetson=False) == "pip install supervision"
    assert _names("desk") == DESK


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("aiohttp", "web"),
        ("tensorrt", "gpu"),
        ("pycuda.driver", "gpu"),
        ("ray", "cluster"),
        ("pyarrow", "parquet"),
        ("tritonclient.grpc", "triton"),
    ],
)
def test_the_extra_that_a_user_is_told_holds_the_package(module: str, extra: str) -> None:
    assert install_hint(module, on_jetson=False) == f"pip install 'posetrt[{extra}]'"
    assert module.partition(".")[0] in _names(extra)
    assert "posetrt[" not in install_hint(module, on_jetson=True)


def test_tensorrt_comes_to_a_board_from_jetpack() -> None:
    assert "apt install python3-libnvinfer" in install_hint("tensorrt", on_jetson=True)


def test_the_gpu_extra_can_run_and_the_boards_has_no_opencv() -> None:
    assert "opencv-python" in _names("gpu")
    assert not {name for name in _names("jetson") if name.startswith("opencv")}
    assert {"matplotlib", "pycocotools"} <= _names("jetson")
