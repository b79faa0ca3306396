"""`--no-cuda-graph` reaches the engine from each command that runs one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from posetrt.cli import main
from posetrt.export.engine.build import build
from posetrt.runtime.engines import onnxruntime
from tests.tiny_model import tiny_folder


@pytest.mark.parametrize("command", ["run", "bench"])
def test_a_command_without_cuda_graphs_opens_its_engine_without(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_folder(tmp_path / "m")
    build(folder, "fp32", "onnxruntime")
    photograph = tmp_path / "photograph.png"
    cv2.imwrite(str(photograph), np.zeros((64, 64, 3), np.uint8))
    asked: list[bool] = []
    opened = onnxruntime.open_built

    def open_built(*args: Any, cuda_graph: bool, **options: Any) -> Any:
        asked.append(cuda_graph)
        return opened(*args, **options)

    monkeypatch.setattr(onnxruntime, "open_built", open_built)
    options = {"run": ["--jsonl", str(tmp_path / "people.jsonl")], "bench": ["--rounds", "1", "--frames", "1"]}[command]
    base = [command, str(folder.path), "--source", str(photograph), "--precision", "fp32", *options]
    assert main(base) == 0
    assert main([*base, "--no-cuda-graph"]) == 0
    assert asked == [True, False]
