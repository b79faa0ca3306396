"""A user's own ONNX graph with heat maps and PAFs: which input and output is what, at which size, and from it a described model."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import posetrt
from posetrt.export.graph.normalisation import Normalisation
from posetrt.export.graph.onnx_model import DEFAULT_OPSET, ModelProto, check_equal, finish, run_plainly
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import sha256_of
from posetrt.runtime.model.manifest import InputSpec, Manifest, OutputNames
from posetrt.runtime.model.skeleton import BUILT_IN, Skeleton, load_skeleton


@dataclass(frozen=True)
class GraphOutput:
    """A graph output: its name and its channel count, None where the graph leaves it open."""

    name: str
    channels: int | None


def load_onnx(path: Path) -> ModelProto:
    """Read a user's ONNX file with its weights.

    Raises:
        PosetrtError: missing, not ONNX, truncated, or not a valid graph.
    """
    import onnx

    if not path.is_file():
        raise PosetrtError(f"there is no ONNX file at {path}")
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except Exception as error:  # onnx raises protobuf's, its checker's and plain errors for a bad file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise PosetrtError(f"{path} is not a valid ONNX file (truncated, or another format?): {reason}") from error
    if not model.graph.node:
        raise PosetrtError(f"{path} is an ONNX file without a graph; was it truncated?")
    return model


def model_from_onnx(
    path: Path,
    *,
    normalisation: Normalisation,
    skeleton: Skeleton | None = None,
    heatmaps: str | None = None,
    pafs: str | None = None,
    size_wh: tuple[int, int] | None = None,
    dynamic: bool = False,
    batch: int = 1,
    opset: int = DEFAULT_OPSET,
    licence: str = "",
) -> tuple[ModelProto, Manifest]:
    """Make a described graph, of fixed or bounded size, of a user's ONNX file.

    Args:
        path: any ONNX with one `(N, 3, H, W)` image input, heat maps, and PAFs (or both in one output, heat maps first,
            as OpenPose's `net_output`).
        normalisation: what the graph expects of its pixels.
        skeleton: None finds the built-in one whose channel counts fit.
        heatmaps, pafs: output names; None finds them by channel count.
        size_wh: input width and height; None takes the graph's own where that is fixed.
        dynamic: leave height and width open, between half and twice `size_wh`, where the graph does.
        batch: above 1 leaves the batch open, up to so many, where the graph does.
        opset: of the result; its IR version is the oldest that carries it.
        licence: a note on the weights, kept in the manifest.

    Returns:
        The model, equal to the original on random input within 1e-4 of each output's range, and its manifest.

    Raises:
        UsageError: the request does not fit the graph: names, sizes, skeleton.
        PosetrtError: the file is no usable network.
    """
    original = load_onnx(path)
    input_name = _image_input(original, path)
    size = _set_size(original, input_name, size_wh, dynamic, batch, path)
    outputs = [GraphOutput(value.name, _channels(value)) for value in original.graph.output]
    reference = run_plainly(original.SerializeToString(), _random_input(size, normalisation), path)
    outputs = [
        GraphOutput(output.name, reference[output.name].shape[1] if reference[output.name].ndim == 4 else None) for output in outputs
    ]
    skeleton, names = _roles(outputs, skeleton, heatmaps, pafs, path)
    stride = _stride(size, reference[names.heatmaps or ""].shape, path)
    manifest = Manifest(
        network="onnx",
        skeleton=skeleton,
        input=InputSpec(
            input_name,
            "NCHW",
            size,
            _bound(size, 0.5, stride) if dynamic else size,
            _bound(size, 2.0, stride) if dynamic else size,
            normalisation.colour,
            normalisation.mean,
            normalisation.scale,
            normalisation.in_graph,
            batch,
        ),
        outputs=names,
        stride=stride,
        weights_sha256=sha256_of(path),
        licence=licence,
        exporter=posetrt.__version__,
    )
    kept = [name for name in (names.heatmaps, names.pafs) if name is not None]
    if len(kept) == 2 and kept[0] == kept[1]:
        kept, manifest = _split_joint_output(original, manifest)
        joint = reference[names.heatmaps or ""]
        reference = {kept[0]: joint[:, : skeleton.heatmap_channels], kept[1]: joint[:, skeleton.heatmap_channels :]}
    _keep_outputs(original, kept)
    model = finish(original, manifest, opset)
    check_equal(model, reference, _random_input(size, normalisation), kept, path)
    if batch > 1:
        # Two at once must be the one twice: a graph may mix its batch, or hold a size of 1 in its middle.
        twice = np.repeat(_random_input(size, normalisation), 2, axis=0)
        check_equal(model, {name: np.repeat(values, 2, axis=0) for name, values in reference.items()}, twice, kept, path)
    if dynamic:
        # A graph may hold a size somewhere in its middle: the smallest must run as well.
        run_plainly(model.SerializeToString(), _random_input(manifest.input.min_wh, normalisation), path)
    return model, manifest


def _image_input(model: ModelProto, path: Path) -> str:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise PosetrtError(
            f"{path.name} has {len(inputs)} inputs ({', '.join(value.name for value in inputs)}); one image input was expected"
        )
    tensor = inputs[0].type.tensor_type
    dims = [dim.dim_value for dim in tensor.shape.dim]
    if tensor.elem_type != 1 or len(dims) != 4 or dims[1] not in (0, 3):
        raise PosetrtError(
            f"{path.name}: input {inputs[0].name!r} must be float32 (N, 3, H, W); it has element type {tensor.elem_type} and shape {dims}. "
            "Export the network again in channels-first float32"
        )
    return str(inputs[0].name)


def _bound(size_wh: tuple[int, int], factor: float, stride: int) -> tuple[int, int]:
    # Multiples of four cells, which networks that join maps of several strides want.
    width, height = (max(1, round(side * factor / (4 * stride))) * 4 * stride for side in size_wh)
    return width, height


def _set_size(
    model: ModelProto, input_name: str, size_wh: tuple[int, int] | None, dynamic: bool, batch: int, path: Path
) -> tuple[int, int]:
    """Fix the input to `(1, 3, H, W)`, or leave the batch, or H and W, open, and forget shapes that said otherwise."""
    value = next(value for value in model.graph.input if value.name == input_name)
    dims = value.type.tensor_type.shape.dim
    own = (dims[3].dim_value, dims[2].dim_value)
    if size_wh is None and not all(own):
        raise UsageError(f"{path.name} takes any input size: say which with --input-size WxH, as in --input-size 456x256")
    size = size_wh or own
    if any(mine and mine != asked for mine, asked in zip(own, size, strict=True)):
        raise UsageError(
            f"{path.name} is fixed at {own[0]}x{own[1]}, so --input-size {size[0]}x{size[1]} cannot be; "
            "export the network again at that size"
        )
    if dims[0].dim_value not in (0, 1):
        raise UsageError(f"{path.name} is fixed at batch {dims[0].dim_value}; export the network again with batch 1 or a free batch")
    if batch > 1 and dims[0].dim_value:
        raise UsageError(f"{path.name} is fixed at batch 1: leave --batch out, or export the network again with a free batch")
    if dynamic and any(own):
        raise UsageError(f"{path.name} is fixed at {own[0]}x{own[1]}: leave --dynamic out, or export the network again with a free size")
    for dim, fixed in zip(dims, (1, 3, size[1], size[0]), strict=True):
        dim.dim_value = fixed
    if dynamic:
        dims[2].dim_param, dims[3].dim_param = "height", "width"
    if batch > 1:
        dims[0].dim_param = "batch"
    del model.graph.value_info[:]
    for output in model.graph.output:
        shape = output.type.tensor_type.shape.dim
        for index, dim in enumerate(shape):
            if index != 1 or not dim.dim_value:
                dim.Clear()
    return size


def _channels(value: Any) -> int | None:
    dims = value.type.tensor_type.shape.dim
    return dims[1].dim_value or None if len(dims) == 4 else None


def _roles(
    outputs: list[GraphOutput], skeleton: Skeleton | None, heatmaps: str | None, pafs: str | None, path: Path
) -> tuple[Skeleton, OutputNames]:
    """Which skeleton the graph has and which output is what."""
    listing = ", ".join(f"{output.name} ({output.channels or '?'} channels)" for output in outputs)
    by_name = {output.name: output for output in outputs}
    for option, name in (("--heatmaps", heatmaps), ("--pafs", pafs)):
        if name is not None and name not in by_name:
            raise UsageError(f"{path.name} has no output {name!r} for {option}; its outputs are {listing}")
    found = []
    for candidate in [skeleton] if skeleton is not None else [load_skeleton(name) for name in BUILT_IN]:
        for variant in (candidate, replace(candidate, background=not candidate.background)):
            names = _match(outputs, variant, heatmaps, pafs)
            if names is not None:
                found.append((variant, names))
                break
    # A network with PAFs is never meant for a skeleton without, and a name given for PAFs asks for them.
    with_fields = [entry for entry in found if entry[1].pafs]
    found = with_fields or ([] if pafs is not None else found)
    if len(found) == 1:
        return found[0]
    if skeleton is not None:
        wanted = f"{skeleton.heatmap_channels} heat maps" + (
            f" and {skeleton.paf_channel_count} PAF channels" if skeleton.paf_channels else ""
        )
        raise UsageError(f"{path.name} does not fit skeleton {skeleton.name!r}, which needs {wanted}; its outputs are {listing}")
    if found:
        raise UsageError(f"{path.name} fits several skeletons ({', '.join(s.name for s, _ in found)}); choose one with --skeleton")
    counts = ", ".join(
        f"{s.name}: {s.heatmap_channels} + {s.paf_channel_count}" for s in (load_skeleton(name) for name in BUILT_IN) if s.paf_channels
    )
    raise UsageError(
        f"{path.name}: no built-in skeleton fits its outputs {listing}. Heat maps + PAF channels expected: {counts}. "
        "Give your own with --skeleton FILE.json, and the outputs with --heatmaps and --pafs"
    )


def _match(outputs: list[GraphOutput], skeleton: Skeleton, heatmaps: str | None, pafs: str | None) -> OutputNames | None:
    """The outputs that fit a skeleton; of several (a network that gives each stage) the last stage's."""

    def last(channels: int, name: str | None) -> str | None:
        fitting = [output.name for output in outputs if output.channels == channels and name in (None, output.name)]
        return fitting[-1] if fitting else None

    maps, fields = skeleton.heatmap_channels, skeleton.paf_channel_count
    if fields and (joint := last(maps + fields, heatmaps if heatmaps == pafs else heatmaps or pafs)):
        return OutputNames(joint, joint)
    names = OutputNames(last(maps, heatmaps), last(fields, pafs) if fields else None)
    return names if names.heatmaps and (names.pafs or not fields) and names.heatmaps != names.pafs else None


def _stride(size_wh: tuple[int, int], shape: tuple[int, ...], path: Path) -> int:
    width, height = size_wh
    stride = 2 ** max(0, round(math.log2(width / shape[3])))
    if (shape[3] * stride, shape[2] * stride) != size_wh:
        near = [f"{max(1, round(width / stride)) * stride}x{max(1, round(height / stride)) * stride}"]
        raise UsageError(
            f"{path.name} has stride {stride}, so the input size must be a multiple of it; {width}x{height} is not. Try {near[0]}"
        )
    return int(stride)


def _split_joint_output(model: ModelProto, manifest: Manifest) -> tuple[list[str], Manifest]:
    """Split one output of heat maps, then PAFs, in two."""
    from onnx import TensorProto, helper, numpy_helper

    joint = manifest.outputs.heatmaps
    names = OutputNames("heatmaps", "pafs")
    sizes = np.array([manifest.skeleton.heatmap_channels, manifest.skeleton.paf_channel_count], np.int64)
    model.graph.initializer.append(numpy_helper.from_array(sizes, "posetrt_split"))
    model.graph.node.append(helper.make_node("Split", [joint, "posetrt_split"], ["heatmaps", "pafs"], name="split_heatmaps_pafs", axis=1))
    for name in ("heatmaps", "pafs"):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4))
    return ["heatmaps", "pafs"], replace(manifest, outputs=names)


def _keep_outputs(model: ModelProto, names: list[str]) -> None:
    by_name = {value.name: value for value in model.graph.output}
    kept = [by_name[name] for name in names]
    del model.graph.output[:]
    model.graph.output.extend(kept)


def _random_input(size_wh: tuple[int, int], normalisation: Normalisation) -> NDArray[np.float32]:
    """Noise in the range of a normalised photograph, the same each time."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, size_wh[1], size_wh[0])).astype(np.float32)
    if normalisation.in_graph:
        return pixels
    mean, scale = (np.asarray(values, np.float32)[:, None, None] for values in (normalisation.mean, normalisation.scale))
    result: NDArray[np.float32] = (pixels - mean) * scale
    return result
