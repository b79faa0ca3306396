"""Sources and sinks that another package adds are used by their names."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from posetrt.cli import main
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.plugins import SINKS, SOURCES, load_plugin
from posetrt.runtime.sinks.base import Result, Sink
from posetrt.runtime.sources import Frame, open_source
from tests.tiny_model import tiny_folder


class Grey:
    """Three grey frames."""

    live, state, shortfall = False, "on", None
    fps: float | None = 10.0

    def __init__(self, text: str, say: object) -> None:
        self.label, self.skipped = text.partition("://")[2], []

    def __iter__(self) -> Iterator[Frame]:
        return (Frame(np.full((48, 64, 3), 128, np.uint8), f"grey{index}", index, index / 10) for index in range(3))

    def close(self) -> None:
        pass


class Counts(Sink):
    def __init__(self, argument: str) -> None:
        self._path, self._seen = Path(argument), 0

    def write(self, result: Result) -> None:
        self._seen += 1

    def close(self) -> None:
        self._path.write_text(str(self._seen))


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {
        SOURCES: [metadata.EntryPoint("grey", f"{__name__}:Grey", SOURCES), metadata.EntryPoint("bad", "posetrt_no_such:x", SOURCES)],
        SINKS: [metadata.EntryPoint("count", f"{__name__}:Counts", SINKS)],
    }
    real = metadata.entry_points
    monkeypatch.setattr(metadata, "entry_points", lambda **given: there.get(given.get("group", "")) or real(**given))


def test_a_run_reads_from_and_writes_to_what_other_packages_add(tmp_path: Path) -> None:
    folder, count = tiny_folder(tmp_path / "m"), tmp_path / "count.txt"
    assert main(["run", str(folder.onnx), "--source", "grey://one", "--sink", f"count={count}"]) == 0
    assert count.read_text() == "3"


def test_a_scheme_that_nobody_adds_names_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="grey://"):
        open_source("blue://one")
    with pytest.raises(UsageError, match="installed: count"):
        load_plugin(SINKS, "kafka")


def test_a_package_that_fails_on_import_is_named() -> None:
    with pytest.raises(PosetrtError, match=r"'bad' comes from posetrt_no_such:x.*ModuleNotFoundError"):
        open_source("bad://x")
