"""Reads our source for names of TensorRT, and looks each up in a version's list, as far as our own feature tests let it run there.

A value's class is known by the variable's name, which our code keeps to (`config` is an IBuilderConfig), or by where it
comes from (`trt` is the module). `hasattr(trt.ITensor, "set_dynamic_range")` is decided for the version at hand, and
what cannot run there is not looked at.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

CLASSES = {
    "trt": "module",
    "builder": "Builder",
    "config": "IBuilderConfig",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "layer": "ILayer",
    "constant": "IConstantLayer",
    "tensor": "ITensor",
    "profile": "IOptimizationProfile",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "_engine": "ICudaEngine",
    "context": "IExecutionContext",
    "_context": "IExecutionContext",
    "inspector": "EngineInspector",
    "runtime_config": "IRuntimeConfig",
    "runtime_cache": "IRuntimeCache",
}


@dataclass(frozen=True)
class Missing:
    """A name that a version lacks."""

    line: int
    name: str


class Names:
    """A version's names: members of classes, values of enumerations, and what the module holds."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names = names

    def has(self, owner: str, name: str) -> bool:
        """Whether a class, an enumeration or the module has a name."""
        if owner == "module":
            return name in self.names or name == "__version__"
        entry = self.names.get(owner, {})
        # Enumerations nested in a class (ILogger.ERROR) are members of it; every enumeration has `name` and `value`.
        return name in entry.get("enum", ()) or name in entry.get("members", ()) or ("enum" in entry and name in ("name", "value"))


def missing(source: str, names: Names, classes: Mapping[str, str] = CLASSES) -> list[Missing]:
    """Names of TensorRT in a source that a version lacks and that are not behind a feature test.

    Args:
        classes: class by variable; a variable that is something else in this source is left out.
    """
    return sorted(set(_Reader(names, classes).read(ast.parse(source))), key=lambda one: (one.line, one.name))


class _Reader:
    def __init__(self, names: Names, classes: Mapping[str, str]) -> None:
        self.names, self.classes = names, classes

    def read(self, node: ast.AST) -> Iterator[Missing]:
        if isinstance(node, (ast.If, ast.IfExp)):
            yield from self.read(node.test)
            sure = self.truth(node.test)
            body = node.body if isinstance(node.body, list) else [node.body]
            other = node.orelse if isinstance(node.orelse, list) else [node.orelse]
            for part in ([] if sure is False else body) + ([] if sure is True else other):
                yield from self.read(part)
            return
        if isinstance(node, ast.BoolOp):
            for value in node.values:
                yield from self.read(value)
                if self.truth(value) is isinstance(node.op, ast.Or):
                    return
            return
        if isinstance(node, ast.ClassDef):
            for base in node.bases:
                owner = self.class_of(base)
                if owner is not None:
                    yield from self.overridden(node, owner)
        if isinstance(node, ast.Attribute):
            owner = self.class_of(node.value)
            if owner is not None and not self.names.has(owner, node.attr) and not node.attr.startswith("__"):
                yield Missing(node.lineno, f"{owner}.{node.attr}")
        for name, value in ast.iter_fields(node):
            if name == "body" and isinstance(value, list):
                yield from self.block(value)
            else:
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        yield from self.read(child)

    def block(self, statements: list[ast.stmt]) -> Iterator[Missing]:
        """Statements in order, up to one that surely leaves the block."""
        for statement in statements:
            yield from self.read(statement)
            if isinstance(statement, ast.If) and self.truth(statement.test) and isinstance(statement.body[-1], (ast.Return, ast.Raise)):
                return

    def overridden(self, node: ast.ClassDef, owner: str) -> Iterator[Missing]:
        """A method of a subclass that the base does not know is never called."""
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and not method.name.startswith("__") and not self.names.has(owner, method.name):
                yield Missing(method.lineno, f"{owner}.{method.name}")

    def class_of(self, node: ast.AST) -> str | None:
        """The TensorRT class that an expression is or is an object of; None where it is none of TensorRT's."""
        if isinstance(node, ast.Name):
            return self.classes.get(node.id)
        if isinstance(node, ast.Attribute):
            if self.class_of(node.value) == "module":
                return node.attr if node.attr in self.names.names and "kind" not in self.names.names[node.attr] else None
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                return self.classes.get(node.attr)
        return None

    def truth(self, test: ast.AST) -> bool | None:
        """What a feature test comes to for this version; None where it is no feature test."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            inner = self.truth(test.operand)
            return None if inner is None else not inner
        if isinstance(test, ast.BoolOp):
            parts = [self.truth(value) for value in test.values]
            deciding = isinstance(test.op, ast.Or)
            return deciding if deciding in parts else (None if None in parts else not deciding)
        if (
            isinstance(test, ast.Call)
            and isinstance(test.func, ast.Name)
            and test.func.id == "hasattr"
            and isinstance(test.args[1], ast.Constant)
        ):
            owner = self.class_of(test.args[0])
            return None if owner is None else self.names.has(owner, str(test.args[1].value))
        return None
