"""A run that finds nobody in many frames says what may be wrong: every other message would say that all is well."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from posetrt.cli import main


def test_a_run_without_anybody_names_the_likely_causes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(10):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((64, 96, 3), 90, np.uint8))
    assert main(["run", "nano", "--source", str(tmp_path), "--jsonl", str(tmp_path / "people.jsonl")]) == 0
    said = capsys.readouterr().err
    assert "nobody was found in 10 frames" in said
    assert "--normalise" in said
