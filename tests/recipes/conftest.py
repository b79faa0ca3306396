"""One recipe at a time: their modules have the same names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def only_this_recipe(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Put a recipe's folder first on the path and forget the modules of every other."""

    def choose(recipe: Path) -> None:
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if file is not None and Path(file).parent.parent == recipe.parent and Path(file).parent != recipe:
                monkeypatch.delitem(sys.modules, name)
        monkeypatch.syspath_prepend(str(recipe))

    return choose
