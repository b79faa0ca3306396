"""Which TensorRT this machine has: TensorRT itself or TensorRT for RTX. Alone imports either."""

from __future__ import annotations

import importlib
import importlib.util
import re
from dataclasses import dataclass
from typing import Any, Literal

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.packages import install_hint

LibraryName = Literal["tensorrt", "tensorrt-rtx"]
MODULES: dict[LibraryName, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
# The oldest whose names are known to be all there: JetPack 6.0 has 8.6.2.
OLDEST = (8, 6)


@dataclass(frozen=True)
class Library:
    """A TensorRT that is installed here.

    Attributes:
        name: which of the two products.
        module: the Python module.
        text: its version as it prints it.
        version: the same as integers, to compare.
    """

    name: LibraryName
    module: Any
    text: str
    version: tuple[int, ...]

    @property
    def title(self) -> str:
        """For sentences: "TensorRT 10.3.0"."""
        return f"{'TensorRT' if self.name == 'tensorrt' else 'TensorRT for RTX'} {self.text}"


def version_numbers(text: str) -> tuple[int, ...]:
    """`"10.3.0.post1"` → (10, 3, 0): versions are compared as numbers, since "10.3" < "8.6" as text."""
    match = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def as_library(text: str) -> LibraryName:
    """Check a library's name.

    Raises:
        UsageError: neither tensorrt nor tensorrt-rtx.
    """
    for name in MODULES:
        if text == name:
            return name
    raise UsageError(f"backend {text!r} is not one of {', '.join(MODULES)}, onnxruntime")


def present() -> LibraryName | None:
    """The TensorRT that could be imported here, without importing it."""
    return next((name for name, module in MODULES.items() if importlib.util.find_spec(module) is not None), None)


def installed(name: LibraryName | None = None) -> Library:
    """The TensorRT of this machine; TensorRT itself where both are here.

    Raises:
        PosetrtError: none is installed, it does not load, or it is too old; says the commands for this machine.
    """
    wanted: tuple[LibraryName, ...] = (name,) if name else ("tensorrt", "tensorrt-rtx")
    for candidate in wanted:
        try:
            module = importlib.import_module(MODULES[candidate])
        except ModuleNotFoundError as error:
            if error.name != MODULES[candidate]:
                raise PosetrtError(f"{MODULES[candidate]} is installed, and needs {error.name}, which is not. {_remedy()}") from error
            continue
        except (ImportError, OSError) as error:
            raise PosetrtError(f"{MODULES[candidate]} is installed and does not load: {error}. {_remedy()}") from error
        library = Library(candidate, module, str(module.__version__), version_numbers(str(module.__version__)))
        if candidate == "tensorrt" and library.version < OLDEST:
            raise PosetrtError(f"{library.title} is older than 8.6, the oldest that posetrt drives: install JetPack 6.0 or newer")
        return library
    raise PosetrtError(f"no {' or '.join(MODULES[one] for one in wanted)} for this Python. {_remedy()}")


def _remedy() -> str:
    return f"Install it with: {install_hint('tensorrt')}; or run on the CPU with: --backend onnxruntime"
