"""The notebook, run from its first cell to its last, as a reader does."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import nbclient
import nbformat
import numpy as np
import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples" / "people.ipynb"


# Jupyter's own packages warn of their next versions.
@pytest.mark.filterwarnings("default")
def test_the_notebook_runs_and_shows_people_with_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSETRT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1] / "src"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not [output for cell in notebook.cells for output in cell.get("outputs", [])], "outputs are not kept in the repository"
    done = nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
    printed = "".join(output.get("text", "") for output in outputs)
    assert "ids: [0" in printed
    assert "person 0 has" in printed
    pictures = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 2
    image = cv2.imdecode(np.frombuffer(base64.b64decode(pictures[1]), np.uint8), cv2.IMREAD_COLOR)
    assert image.std() > 20
