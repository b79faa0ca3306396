"""From an ONNX graph with heat maps and PAFs to the model.onnx of a model folder: sized, simplified, checked, described."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import posetrt
from posetrt.export.normalisation import Normalisation
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import sha256_of, written_whole
from posetrt.runtime.folder import ModelFolder
from posetrt.runtime.manifest import METADATA_KEY, InputSpec, Manifest, OutputNames
from posetrt.runtime.skeleton import BUILT_IN, Skeleton, load_skeleton

DEFAULT_OPSET = 17
IR_FOR_OPSET = {17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10}
# Simplifying and converting reorder float32 sums; more than this share of an output's range is a different network.
TOLERANCE = 1e-4

ModelProto = Any  # onnx.ModelProto; the onnx package is imported only where a graph is touched


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
    reference = _run(original.SerializeToString(), _random_input(size, normalisation), path)
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
        _run(model.SerializeToString(), _random_input(manifest.input.min_wh, normalisation), path)
    return model, manifest


def finish(model: ModelProto, manifest: Manifest, opset: int = DEFAULT_OPSET) -> ModelProto:
    """Bring a graph to its final form: opset and IR version, simplified, checked, with the manifest inside.

    Raises:
        UsageError: the graph uses an operator that the opset lacks.
        PosetrtError: the result is not a valid graph.
    """
    import onnx
    import onnxsim
    from onnx import version_converter

    if opset not in IR_FOR_OPSET:
        raise UsageError(f"--opset must be one of {', '.join(map(str, IR_FOR_OPSET))}; got {opset}")
    present = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if present != opset:
        try:
            model = version_converter.convert_version(model, opset)
        except Exception as error:  # the converter raises RuntimeError and its own errors alike
            raise UsageError(
                f"the graph of opset {present} cannot be written in opset {opset}: {error}. Try another with --opset"
            ) from error
    try:
        model, _ = onnxsim.simplify(model, check_n=0)
    except Exception as error:  # onnxsim raises whatever its C++ side threw
        raise PosetrtError(f"the graph cannot be simplified: {error}") from error
    model.ir_version = IR_FOR_OPSET[opset]
    model.producer_name, model.producer_version = "posetrt", posetrt.__version__
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {METADATA_KEY: manifest.to_json()})
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise PosetrtError(f"the exported graph is not valid ONNX: {error}") from error
    return model


def check_equal(
    model: ModelProto, reference: dict[str, NDArray[np.float32]], inputs: NDArray[Any], names: list[str], path: Path
) -> dict[str, float]:
    """Compare a graph with reference outputs on the same input; give each output's largest difference over its range.

    Raises:
        PosetrtError: a difference above 1e-4 of the range, or a NaN.
    """
    found = _run(model.SerializeToString(), inputs, path)
    differences = {}
    for name in names:
        expected = reference[name]
        span = float(np.ptp(expected)) or 1.0
        differences[name] = float(np.max(np.abs(found[name] - expected))) / span
        if not differences[name] <= TOLERANCE:
            raise PosetrtError(
                f"{path.name}: after export, output {name!r} differs from the original by {differences[name]:.2g} of its range "
                f"(at most {TOLERANCE:g} was expected); nothing was written. Check the graph for NaN, or report it"
            )
    return differences


def write_folder(model: ModelProto, manifest: Manifest, folder: Path, *, force: bool = False) -> ModelFolder:
    """Write model.onnx into a model folder, whole or not at all.

    Args:
        model: as `finish` gave it, with the manifest inside.
        manifest: the same, for the path of errors.
        folder: made where absent.
        force: replace another model; its calibration and engines stay, and are refused by their hashes from then on.

    Raises:
        UsageError: the folder holds another model and `force` was not given.
        PosetrtError: the disk refuses.
    """
    target = ModelFolder(folder)
    data = model.SerializeToString(deterministic=True)
    if target.onnx.is_file() and not force and target.onnx.read_bytes() != data:
        raise UsageError(
            f"{target.onnx} holds another model ({target.manifest().network}), and model.onnx never changes after export; "
            f"choose another folder for {manifest.network}, or replace it with --force"
        )
    with written_whole(target.onnx) as temporary:
        temporary.write_bytes(data)
    return target


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


def _run(serialised: bytes, inputs: NDArray[Any], path: Path) -> dict[str, NDArray[np.float32]]:
    """All outputs of a graph on ONNX Runtime, without its optimisations: the reference."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(serialised, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, {session.get_inputs()[0].name: inputs}), strict=True))
    except Exception as error:  # ONNX Runtime raises many types, all of them RuntimeError's cousins in C++
        raise PosetrtError(
            f"{path.name} does not run at input {tuple(inputs.shape)} on ONNX Runtime: {str(error).splitlines()[0]}. "
            "Networks that join maps of several strides want sizes that are multiples of 32"
        ) from error
