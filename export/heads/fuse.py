"""Decoding behind the network, inside the graph: the kind of head says how.

Only plain operators that every TensorRT from 8.6 takes: no plugin, no NonZero, no NonMaxSuppression. Nodes are named `decode/…` and stay
float32 in every precision: what they compute are coordinates.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace

from posetrt.export.graph.fused import DECODE_PREFIX, described
from posetrt.export.graph.graph_ops import GraphOps
from posetrt.export.graph.onnx_file import ModelProto, copied
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.base import Head
from posetrt.runtime.model.manifest import Manifest

MOST_SLOTS = 3839
"""TensorRT's TopK takes K below 3840."""


@dataclass(frozen=True)
class Fused:
    """What a kind made of its outputs.

    Attributes:
        head: of the new outputs.
        outputs: tensor that was computed → name of the output that it becomes.
        shapes: of each output, by its name, without the batch.
    """

    head: Head
    outputs: Mapping[str, str]
    shapes: Mapping[str, list[int]]


def with_decoding(model: ModelProto, manifest: Manifest, slots: int | None = None) -> tuple[ModelProto, Manifest]:
    """Let a graph decode itself, as the head's decoder does with its default settings.

    Args:
        model: with the head's outputs.
        manifest: of it.
        slots: how many candidates are kept: peaks per part, or rows; None takes the kind's usual number.

    Raises:
        UsageError: it decodes already, its kind cannot be decoded in a graph, or there are too many slots.
    """
    from onnx import TensorProto, helper

    head = manifest.head
    if head.decoded_in_graph:
        raise UsageError("the graph decodes already; leave --decode in-graph out")
    module = f"posetrt.export.heads.{head.kind.replace('-', '_')}"
    found = importlib.import_module(module) if importlib.util.find_spec(module) is not None else type(head)
    if not hasattr(found, "fuse"):
        raise UsageError(f"a head {head.kind!r} is decoded on the CPU alone; leave --decode in-graph out")
    fused = copied(model)
    ops = GraphOps(fused.graph, DECODE_PREFIX)
    made: Fused = found.fuse(ops, manifest, slots)
    ops.put(renamed=dict(made.outputs))
    batch = fused.graph.input[0].type.tensor_type.shape.dim[0]
    first = batch.dim_param or batch.dim_value or None
    del fused.graph.output[:]
    for name in made.outputs.values():
        fused.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [first, *made.shapes[name]]))
    decoded = replace(manifest, head=made.head)
    return described(fused, decoded), decoded
