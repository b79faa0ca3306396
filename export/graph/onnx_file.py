"""ONNX files, read and written in one place: copied, described, checked, saved.

The proto itself is what the calibration and the fused nodes work on; where values are renamed, retyped or moved, `onnx-ir` (the ONNX
project's own in-memory form) does it: it knows who reads a value, also from inside a subgraph, and sorts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.model.folder import MADE_FROM_KEY
from posetrt.runtime.model.manifest import METADATA_KEY

ModelProto = Any  # onnx.ModelProto; the onnx package is imported only where a graph is touched


def read_model(path: Path) -> ModelProto:
    """Read an ONNX file with its weights.

    Raises:
        PosetrtError: missing, truncated or no ONNX file.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load(str(path))
    except (OSError, DecodeError, onnx.checker.ValidationError) as error:
        raise PosetrtError(f"{path} cannot be read as an ONNX file: {error}; export the network again") from error


def save_model(path: Path, model: ModelProto) -> None:
    """Write a graph, the same bytes for the same graph. `path` is a temporary one, of `written_together`.

    Raises:
        PosetrtError: more than the 2 GiB that an ONNX file without external data can hold.
    """
    path.write_bytes(serialised(model))


def serialised(model: ModelProto) -> bytes:
    """The bytes of a graph's file.

    Raises:
        PosetrtError: more than the 2 GiB that an ONNX file without external data can hold.
    """
    from google.protobuf.message import EncodeError

    try:
        return bytes(model.SerializeToString(deterministic=True))
    except (EncodeError, ValueError) as error:
        raise PosetrtError(f"the graph cannot be written as one ONNX file, which holds at most 2 GiB: {error}") from error


def copied(model: ModelProto) -> ModelProto:
    """An independent copy."""
    copy = type(model)()
    copy.CopyFrom(model)
    return copy


def describe(model: ModelProto, manifest: str, made_from: Mapping[str, str] | None = None) -> ModelProto:
    """Put the manifest inside, in place of all metadata before, and what the graph was made from.

    Args:
        manifest: its JSON text.
        made_from: SHA-256 by what: "model", and "calibration" where one was used; None for a model.onnx.
    """
    import onnx

    del model.metadata_props[:]
    note = {} if made_from is None else {MADE_FROM_KEY: json.dumps(dict(made_from))}
    onnx.helper.set_model_props(model, {METADATA_KEY: manifest, **note})
    return model


def check(model: ModelProto, what: str) -> ModelProto:
    """Refuse a graph that is not valid ONNX, types and shapes included; `what` names it in the error.

    Raises:
        PosetrtError: it is not.
    """
    import onnx

    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise PosetrtError(f"{what} is not valid ONNX: {first_line(error)}") from error
    return model


def all_nodes(graph: Any) -> Iterator[Any]:
    """Every node of a GraphProto, those of subgraphs included."""
    for node in graph.node:
        yield node
        for inner in subgraphs(node):
            yield from all_nodes(inner)


def subgraphs(node: Any) -> Iterator[Any]:
    """The GraphProtos in a node's attributes: branches and loop bodies."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def reads(node: Any) -> list[str]:
    """Names of the tensors that a node reads, each once: its inputs, and what its subgraphs take from around them."""
    names = [name for name in node.input if name]
    for graph in subgraphs(node):
        own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
        own.update(name for inner in graph.node for name in inner.output)
        names += [name for inner in graph.node for name in reads(inner) if name not in own]
        names += [value.name for value in graph.output if value.name not in own]
    return list(dict.fromkeys(names))


def rename_reads(graph: Any, old: str, new: str) -> None:
    """Let every node, also in subgraphs, read `new` in place of `old`."""
    for node in all_nodes(graph):
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new


def first_line(error: Exception) -> str:
    """What an error of a library says, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
