"""A user's own ONNX graph: which input and output is what, at which size, and from it a described model."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import posetrt
from posetrt.export.graph.canonical import check_functions, check_operators
from posetrt.export.graph.float32 import in_float32
from posetrt.export.graph.fused import described
from posetrt.export.graph.normalisation import NORMALISATIONS, Normalisation
from posetrt.export.graph.onnx_model import DEFAULT_OPSET, ModelProto, check_equal, finish, run_plainly
from posetrt.export.heads.base import Asked, GraphFacts, Reading
from posetrt.export.heads.facts import ImageInput, gather, image_input, noise, single_cells, with_batch_axis, with_known_inputs
from posetrt.export.heads.normalise import Judge, choose, rivals
from posetrt.export.heads.recognise import recognise
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import sha256_of
from posetrt.runtime.heads.base import Head
from posetrt.runtime.model.manifest import InputSpec, Manifest
from posetrt.runtime.placement import PERSON_GROW, Fit, How


@dataclass(frozen=True)
class GraphOptions:
    """What a user chooses when a graph of their own is exported.

    Attributes:
        asked: what the user says of its head and skeleton.
        normalise: a name of `NORMALISATIONS`; None takes what networks of this kind usually want.
        fit: how a picture is placed in the input; None takes what networks of this kind usually want.
        size_wh: input width and height; None takes the graph's own where that is fixed.
        dynamic: leave height and width open, between half and twice `size_wh`, where the graph does.
        batch: above 1 leaves the batch open, up to so many, where the graph does.
        opset: of the result; its IR version is the oldest that carries it.
        licence: a note on the weights, kept in the manifest.
        tell: takes a line for people: what was recognised, and why.
        judge: shows the network pictures of people under each normalisation (`posetrt.looking`); None takes the usual one unseen.
    """

    asked: Asked = field(default_factory=Asked)
    normalise: str | None = None
    fit: How | None = None
    size_wh: tuple[int, int] | None = None
    dynamic: bool = False
    batch: int = 1
    opset: int = DEFAULT_OPSET
    licence: str = ""
    tell: Callable[[str], None] = lambda _line: None
    judge: Judge | None = None


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
        check_operators(model, path.name)
        onnx.checker.check_model(model)
    except PosetrtError:
        raise
    except Exception as error:  # onnx raises protobuf's, its checker's and plain errors for a bad file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise PosetrtError(f"{path} is not a valid ONNX file (truncated, or another format?): {reason}") from error
    if not model.graph.node:
        raise PosetrtError(f"{path} is an ONNX file without a graph; was it truncated?")
    check_functions(model, path.name)
    return model


def model_from_onnx(path: Path, options: GraphOptions | None = None) -> tuple[ModelProto, Manifest]:
    """Make a described graph, of fixed or bounded size, of a user's ONNX file.

    Args:
        path: any ONNX with one picture as its input, `(N, 3, H, W)` or `(N, H, W, 3)`, and outputs of a kind that is known.
        options: what the user chooses.

    Returns:
        The model, equal to the original on random input within 1e-4 of each output's range, and its manifest.

    Raises:
        UsageError: the request does not fit the graph: names, sizes, skeleton, head.
        PosetrtError: the file is no usable network.
    """
    wish = options or GraphOptions()
    original = in_float32(with_batch_axis(with_known_inputs(load_onnx(path), path, wish.size_wh)))
    image = image_input(original, path)
    size = _set_size(original, image, wish, path)
    outputs = {value.name for value in original.graph.output}
    for role, name in wish.asked.outputs.items():
        if name not in outputs:
            raise UsageError(f"{path.name} has no output {name!r} for --role {role}={name}; its outputs are {', '.join(sorted(outputs))}")
    given = None if wish.normalise is None else NORMALISATIONS[wish.normalise]
    facts = gather(original, path, image, size, given)
    if not all(image.size_wh):
        _check_cells(original, facts, image, path)
    reading, skeleton = recognise(facts, wish.asked, wish.tell)
    reading.head.check(skeleton)
    pixels = _pixels(image, given or NORMALISATIONS[reading.normalise])
    stride = 2 * math.lcm(16, reading.head.map_stride())
    how: How = wish.fit or _how(reading)
    model, reference, head = _as_the_head_wants(original, image, reading, pixels, size, path)
    manifest = Manifest(
        network=path.stem,
        skeleton=skeleton,
        input=InputSpec(
            image.name,
            image.layout,
            size,
            _bound(size, 0.5, stride) if wish.dynamic else size,
            _bound(size, 2.0, stride) if wish.dynamic else size,
            pixels.colour,
            pixels.mean,
            pixels.scale,
            pixels.in_graph,
            wish.batch,
            image.dtype,
            Fit(how, pixels.pad, PERSON_GROW, pixels.resize),
        ),
        head=head,
        weights_sha256=sha256_of(path),
        licence=wish.licence,
        exporter=posetrt.__version__,
    )
    model = finish(model, manifest, wish.opset)
    names = list(dict.fromkeys(head.outputs.values()))
    check_equal(model, reference, noise(image, size, pixels), names, path)
    if wish.batch > 1:
        # Two at once must be the one twice: a graph may mix its batch, or hold a size of 1 in its middle.
        twice = np.repeat(noise(image, size, pixels), 2, axis=0)
        check_equal(model, {name: np.repeat(values, 2, axis=0) for name, values in reference.items()}, twice, names, path)
    if wish.dynamic:
        # A graph may hold a size somewhere in its middle: the smallest must run as well.
        run_plainly(model.SerializeToString(), noise(image, manifest.input.min_wh, pixels), path)
    normalise = wish.normalise or reading.normalise
    if wish.judge is not None:
        names = rivals((normalise, reading.normalise), lambda one: _pixels(image, one))
        forms = [_fed(manifest, _pixels(image, NORMALISATIONS[name])) for name in names]
        found = wish.judge(model, forms)
        if found is not None:
            own = reading.normalise if reading.normalise in names else None
            normalise, line = choose(normalise, wish.normalise is not None, dict(zip(names, found, strict=True)), own)
            manifest = forms[names.index(normalise)]
            model = described(model, manifest)
            if line:
                wish.tell(f"{path.name}: {line}")
    if head.scope == "crop" and wish.batch == 1 and not image.batch:
        wish.tell(f"{path.name}: it takes one crop a call; its batch is open, and with --batch 8 it takes up to 8")
    wish.tell(
        f"{path.name}: {reading.why}; head {reading.head.kind}, skeleton {skeleton.name}, "
        f"picture {how}{'' if wish.fit or how == 'crop' else ' (override with --placement)'}, "
        f"normalisation {normalise} ({_pixels(image, NORMALISATIONS[normalise]).told}{'' if wish.normalise else '; override with --normalise'})"
    )
    return model, manifest


def _fed(manifest: Manifest, pixels: Normalisation) -> Manifest:
    """The manifest with pixels fed another way."""
    spec = manifest.input
    fed = replace(
        spec, colour=pixels.colour, mean=pixels.mean, scale=pixels.scale, in_graph=pixels.in_graph, fit=replace(spec.fit, pad=pixels.pad)
    )
    return replace(manifest, input=fed)


def _how(reading: Reading) -> How:
    return "crop" if reading.head.scope == "crop" else reading.fit  # type: ignore[return-value]


def _pixels(image: ImageInput, pixels: Normalisation) -> Normalisation:
    """Whole numbers go in as they are: 0 to 255."""
    if image.dtype == "float32":
        return pixels
    return Normalisation(pixels.colour, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), in_graph=True, pad=pixels.pad, resize=pixels.resize)


def _bound(size_wh: tuple[int, int], factor: float, step: int) -> tuple[int, int]:
    # Multiples of 32 and of two cells at least, which networks that join maps of several strides want.
    width, height = (max(1, round(side * factor / step)) * step for side in size_wh)
    return width, height


def _set_size(model: ModelProto, image: ImageInput, wish: GraphOptions, path: Path) -> tuple[int, int]:
    """Fix the input's shape, or leave the batch, or height and width, open, and forget shapes that said otherwise."""
    value = next(value for value in model.graph.input if value.name == image.name)
    dims = value.type.tensor_type.shape.dim
    own, size_wh = image.size_wh, wish.size_wh
    if size_wh is None and not all(own):
        size_wh = size_told(model)
    if size_wh is None and not all(own):
        raise UsageError(
            f"{path.name} takes any input size: say which with --input-size WxH. Most networks want multiples of 32, as 448x256; PoseNet wants "
            "16 n + 1, as 449x257"
        )
    size = size_wh or own
    if any(mine and mine != asked for mine, asked in zip(own, size, strict=True)):
        raise UsageError(
            f"{path.name} is fixed at {own[0]}x{own[1]}, so --input-size {size[0]}x{size[1]} cannot be; "
            "export the network again at that size"
        )
    if image.batch not in (0, 1):
        raise UsageError(
            f"{path.name} takes {image.batch} pictures at a time and no other number; one, or a free number, was expected. Export the network "
            "again with batch 1, or with a dynamic batch axis (torch.onnx.export: dynamic_axes, or dynamic_shapes in its newer exporter)"
        )
    if wish.batch > 1 and image.batch:
        raise UsageError(f"{path.name} is fixed at batch 1: leave --batch out, or export the network again with a dynamic batch axis")
    if wish.dynamic and any(own):
        raise UsageError(f"{path.name} is fixed at {own[0]}x{own[1]}: leave --dynamic out, or export the network again with a free size")
    for dim, fixed in zip(dims, image.shape(size), strict=True):
        dim.dim_value = fixed
    if wish.dynamic:
        _, down, across = image.axes
        dims[down].dim_param, dims[across].dim_param = "height", "width"
    if wish.batch > 1:
        dims[0].dim_param = "batch"
    del model.graph.value_info[:]
    for output in model.graph.output:
        for index, dim in enumerate(output.type.tensor_type.shape.dim):
            if index == 0 or (index >= 2 and len(output.type.tensor_type.shape.dim) == 4) or not dim.dim_value:
                dim.Clear()
    return size


def _check_cells(model: ModelProto, facts: GraphFacts, image: ImageInput, path: Path) -> None:
    """Raises: UsageError: at this size the maps have a single row or column of cells, and look like another head's outputs."""
    single = single_cells(model, facts, image, path)
    if single:
        shapes = ", ".join(f"{output.name} {'x'.join(map(str, output.shape))}" for output in single)
        width, height = facts.size_wh
        raise UsageError(
            f"{path.name}: --input-size {width}x{height} is so small that its maps have a single row or column of cells ({shapes}): give the size "
            "that it was trained at, or one near that"
        )


def size_told(model: ModelProto) -> tuple[int, int] | None:
    """Width and height that a graph of any size was exported for, as Ultralytics writes them into the file; None where nothing says so."""
    told = {entry.key: entry.value for entry in model.metadata_props}.get("imgsz", "")
    found = re.fullmatch(r"[\[(]\s*(\d{2,4})\s*,\s*(\d{2,4})\s*[\])]", told)
    return (int(found[2]), int(found[1])) if found else None


def _as_the_head_wants(
    model: ModelProto, image: ImageInput, reading: Reading, pixels: Normalisation, size: tuple[int, int], path: Path
) -> tuple[ModelProto, dict[str, NDArray[Any]], Head]:
    """The graph with the head's outputs alone: joint ones split, those with their channels last turned.

    Returns:
        The changed model, what the original gives on noise by the new names, and the head with these.
    """
    from onnx import helper, numpy_helper

    reference = {
        name: np.asarray(values) for name, values in run_plainly(model.SerializeToString(), noise(image, size, pixels), path).items()
    }
    graph = model.graph
    renamed: dict[str, str] = {}
    channels_first, rows_first = [0, 3, 1, 2], [0, 2, 1]
    for name, suffix, order in [(name, "channels_first", channels_first) for name in reading.nhwc] + [
        (name, "rows_first", rows_first) for name in reading.swapped
    ]:
        turned = f"{name}_{suffix}"
        graph.node.append(helper.make_node("Transpose", [name], [turned], name=turned, perm=order))
        reference[turned] = reference[name].transpose(order)
        renamed[name] = turned
    taken = {name for node in graph.node for name in node.output}
    for joint, wanted in reading.split.items():
        source = renamed.get(joint, joint)
        parts = [(_free(name, taken), count) for name, count in wanted]
        renamed |= {old: new for (old, _), (new, _) in zip(wanted, parts, strict=True)}
        graph.initializer.append(numpy_helper.from_array(np.array([count for _, count in parts], np.int64), "posetrt_split"))
        graph.node.append(helper.make_node("Split", [source, "posetrt_split"], [name for name, _ in parts], name="split_outputs", axis=1))
        ends = np.cumsum([count for _, count in parts])[:-1]
        reference |= dict(zip([name for name, _ in parts], np.split(reference[source], ends, axis=1), strict=True))
    kept = {value.name: value for value in graph.output}
    del graph.output[:]
    outputs: dict[str, str] = {}
    for role, name in reading.head.outputs.items():
        source = renamed.get(name, name)
        outputs[role] = source
        made = kept.get(source)
        if made is None:
            kind = helper.np_dtype_to_tensor_dtype(reference[source].dtype)
            made = helper.make_tensor_value_info(source, kind, [None] * reference[source].ndim)
        if source not in {value.name for value in graph.output}:
            graph.output.append(made)
    return model, reference, replace(reading.head, outputs=outputs)


def _free(name: str, taken: set[str]) -> str:
    """A name for a new tensor that no tensor of the graph has."""
    while name in taken:
        name += "_of_head"
    return name
