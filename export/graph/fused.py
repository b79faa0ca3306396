"""What runs on the device inside the graph, beside the network: the camera's bytes in front of it, decoding behind it.

Only plain operators that every TensorRT from 8.6 takes: no plugin, no NonZero, no NonMaxSuppression. Nodes in front are named
`input/…` and nodes behind `decode/…`; both stay float32 in every precision.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from posetrt.export.graph.graph_ops import GraphOps, Value, axes
from posetrt.export.graph.onnx_file import ModelProto, check, copied, describe, rename_reads
from posetrt.export.heads.decode import find_peaks, score_pairs
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.paf.parser import ParserSettings
from posetrt.runtime.model.manifest import Manifest, OutputNames

DEFAULT_SLOTS = 32
MOST_SLOTS = 3840  # TensorRT's limit for TopK
INPUT_PREFIX, DECODE_PREFIX = "input/", "decode/"


def with_uint8_input(model: ModelProto, manifest: Manifest) -> tuple[ModelProto, Manifest]:
    """Let a graph take the camera's bytes: `(N, H, W, 3)` uint8 BGR under the input's name; colour order, mean and scale are inside.

    Raises:
        UsageError: the graph takes bytes already.
    """
    from onnx import TensorProto

    spec = manifest.input
    if spec.layout != "NCHW":
        raise UsageError("the graph takes uint8 already; leave --input uint8 out")
    fused = copied(model)
    ops = GraphOps(fused.graph, INPUT_PREFIX)
    # TensorRT wants the Cast first: it has no Transpose of uint8.
    x = ops("Transpose", ops("Cast", spec.name, to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    if spec.colour == "RGB":
        x = ops("Gather", x, axes(2, 1, 0), axis=1)
    if not spec.in_graph:
        mean, scale = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in (spec.mean, spec.scale))
        x = ops("Mul", ops("Sub", x, mean), scale)
    rename_reads(fused.graph, spec.name, x)
    ops.put(front=True)
    tensor = next(value for value in fused.graph.input if value.name == spec.name).type.tensor_type
    tensor.elem_type = TensorProto.UINT8
    batch, channels, height, width = (type(dim).FromString(dim.SerializeToString()) for dim in tensor.shape.dim)
    for place, dim in zip(tensor.shape.dim, (batch, height, width, channels), strict=True):
        place.CopyFrom(dim)
    taken = replace(manifest, input=replace(spec, layout="NHWC"))
    return _described(fused, taken), taken


def with_decoding(model: ModelProto, manifest: Manifest, slots: int = DEFAULT_SLOTS) -> tuple[ModelProto, Manifest]:
    """Let a graph find peaks and score pairs itself, as `runtime.parser` does with its default settings.

    Args:
        model: with heat maps and, where the skeleton has limbs, PAFs.
        manifest: of it.
        slots: K, peaks kept a part, best first.

    Returns:
        The model with outputs `peaks (N, J, K, 3)` and `pairs (N, C, K, K)` (see `Outputs`) in place of the maps.

    Raises:
        UsageError: it decodes already, or K is more than TensorRT or the smallest map can hold.
    """
    from onnx import TensorProto, helper

    heatmaps, pafs, skeleton = manifest.outputs.heatmaps, manifest.outputs.pafs, manifest.skeleton
    if heatmaps is None:
        raise UsageError("the graph decodes already; leave --decode in-graph out")
    cells = manifest.input.min_wh[0] * manifest.input.min_wh[1] // manifest.stride**2
    if not 1 <= slots <= min(cells, MOST_SLOTS):
        raise UsageError(f"the graph can keep 1 to {min(cells, MOST_SLOTS)} peaks a part at this input size; got {slots}")
    fused, settings = copied(model), ParserSettings()
    ops = GraphOps(fused.graph, DECODE_PREFIX)
    size = _map_size(ops, manifest, heatmaps)
    found = find_peaks(ops, heatmaps, len(skeleton.parts), size, slots, settings)
    names = {ops("Concat", *(ops("Unsqueeze", each, axes(3)) for each in found), axis=3): "peaks"}
    shapes = {"peaks": [len(skeleton.parts), slots, 3]}
    if pafs is not None:
        names[score_pairs(ops, pafs, skeleton, found, size, slots, settings)] = "pairs"
        shapes["pairs"] = [len(skeleton.limbs), slots, slots]
    ops.put(renamed=names)
    batch = fused.graph.input[0].type.tensor_type.shape.dim[0]
    del fused.graph.output[:]
    for name, shape in shapes.items():
        first = batch.dim_param or batch.dim_value or None
        fused.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [first, *shape]))
    decoded = replace(manifest, outputs=OutputNames(peaks="peaks", pairs="pairs" if pafs is not None else None))
    return _described(fused, decoded), decoded


def _map_size(ops: GraphOps, manifest: Manifest, heatmaps: str) -> tuple[Value, Value]:
    """Height and width of the maps: constants, or taken from the maps where the size may change."""
    if not manifest.input.dynamic:
        width, height = manifest.input.size_wh
        return float(height // manifest.stride), float(width // manifest.stride)
    shape = ops("Cast", ops("Shape", heatmaps), to=1)
    return ops("Gather", shape, np.array(2, np.int64)), ops("Gather", shape, np.array(3, np.int64))


def _described(model: ModelProto, manifest: Manifest) -> ModelProto:
    """Put the manifest inside, in place of the one before, and check the graph."""
    return check(describe(model, manifest.to_json()), "the graph with its fused nodes")
