"""What a machine of a cluster says of itself before the start."""

from __future__ import annotations

import importlib.util
import pickle
import sys
from pathlib import Path

import pytest

from posetrt.corpus import probe
from tests.corpus.jobs import Faulty


def test_a_machine_says_why_it_cannot_do_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = probe.code_version()
    assert here is not None
    assert here.startswith("0.1.0 (code ")
    job, item = pickle.dumps(Faulty(tmp_path)), pickle.dumps(1)
    assert probe.complaint(here, job, item)[1] is None
    assert probe.complaint(here, pickle.dumps(Faulty(tmp_path, opens=False)), item)[1] == "no engine here"
    assert f"has posetrt {here}; this machine has 0.2.0" in str(probe.complaint("0.2.0", job, item)[1])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "has no posetrt in its Python" in str(probe.complaint(here, job, item)[1])


def test_the_question_travels_without_posetrt() -> None:
    """Ray looks a function of a module up by its name, unless the module goes by value: then it may import the standard library alone."""
    imported = {name.partition(".")[0] for name in _imports(Path(probe.__file__))}
    assert imported - {"posetrt"} <= set(sys.stdlib_module_names)


def _imports(path: Path) -> set[str]:
    import ast

    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    assert "posetrt" not in {name.partition(".")[0] for name in found}
    return found
