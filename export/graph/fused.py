"""What runs on the device inside the graph, in front of the network: a camera's bytes. Decoding behind it is in `export.heads.fuse`.

Only plain operators that every TensorRT from 8.6 takes: no plugin, no NonZero, no NonMaxSuppression. Nodes in front are named
`input/…` and nodes behind `decode/…`; both stay float32 in every precision.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from posetrt.export.graph.camera import CAMERA_PREFIX, Camera, placed_frame
from posetrt.export.graph.graph_ops import GraphOps, axes
from posetrt.export.graph.onnx_file import ModelProto, check, copied, describe, rename_reads
from posetrt.runtime.errors import UsageError
from posetrt.runtime.model.manifest import Manifest

INPUT_PREFIX, DECODE_PREFIX = "input/", "decode/"
_ZERO, _ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def with_uint8_input(model: ModelProto, manifest: Manifest, camera: Camera | None = None) -> tuple[ModelProto, Manifest]:
    """Let a graph take the camera's bytes: `(N, H, W, 3)` uint8 BGR under the input's name; colour order, mean and scale are inside.

    Args:
        model: with float, int32 or uint8 input.
        manifest: of it.
        camera: let it take the camera's whole frame, and convert and place it as the runtime would; None: placed frames.

    Raises:
        UsageError: the graph takes bytes already, or a camera's frame does not go with it.
    """
    from onnx import TensorProto

    spec = manifest.input
    if spec.takes_bytes and (camera is None or spec.camera_wh is not None):
        raise UsageError("the graph takes uint8 already; leave --input uint8 out")
    fused = copied(model)
    ops = GraphOps(fused.graph, INPUT_PREFIX)
    first = spec.layout == "NCHW"
    placing = GraphOps(fused.graph, CAMERA_PREFIX)
    if camera is not None:
        x = placed_frame(placing, spec.name, spec, camera)
        if not first:
            x = ops("Transpose", x, perm=[0, 2, 3, 1])
    else:
        # TensorRT wants the Cast first: it has no Transpose of uint8.
        x = ops("Cast", spec.name, to=TensorProto.FLOAT)
        if first:
            x = ops("Transpose", x, perm=[0, 3, 1, 2])
    if spec.colour == "RGB":
        x = ops("Gather", x, axes(2, 1, 0), axis=1 if first else 3)
    if not spec.in_graph:
        shape = (1, 3, 1, 1) if first else (1, 1, 1, 3)
        mean, scale = (np.array(values, np.float32).reshape(shape) for values in (spec.mean, spec.scale))
        x = ops("Mul", ops("Sub", x, mean), scale)
    if camera is not None and spec.dtype != "float32":
        x = ops("Round", x)
    if spec.dtype != "float32":
        x = ops("Cast", x, to=TensorProto.INT32 if spec.dtype == "int32" else TensorProto.UINT8)
    rename_reads(fused.graph, spec.name, x)
    ops.put(front=True)
    placing.put(front=True)
    taken = replace(manifest, input=replace(spec, layout="NHWC", dtype="uint8", colour="BGR", mean=_ZERO, scale=_ONE, in_graph=True))
    if camera is not None:
        taken = replace(taken, input=replace(taken.input, camera_wh=camera.size_wh, pixel_format=camera.pixel_format))
    tensor = next(value for value in fused.graph.input if value.name == spec.name).type.tensor_type
    tensor.elem_type = TensorProto.UINT8
    if camera is not None:
        del tensor.shape.dim[1:]
        for size in taken.input.shape()[1:]:
            tensor.shape.dim.add().dim_value = size
    elif first:
        batch, channels, height, width = (type(dim).FromString(dim.SerializeToString()) for dim in tensor.shape.dim)
        for place, dim in zip(tensor.shape.dim, (batch, height, width, channels), strict=True):
            place.CopyFrom(dim)
    return described(fused, taken), taken


def described(model: ModelProto, manifest: Manifest) -> ModelProto:
    """Put the manifest inside, in place of the one before, and check the graph."""
    return check(describe(model, manifest.to_json()), "the graph with its fused nodes")
