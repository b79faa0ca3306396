"""Boards as file trees: what the tests read in place of a real Jetson's root file system."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

BOARDS = Path(__file__).parent / "boards"
Tree = Callable[[str], Path]


def write_tree(root: Path, files: dict[str, str]) -> Path:
    """Write files, by path below `root`."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return root


@pytest.fixture
def board_root(tmp_path: Path) -> Tree:
    """The root folder of a recorded board: `board_root("orin-nx_jetpack-6.2")`."""

    def make(name: str) -> Path:
        return write_tree(tmp_path / name, json.loads((BOARDS / f"{name}.json").read_text(encoding="utf-8"))["files"])

    return make
