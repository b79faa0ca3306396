"""What a user's graph is: its picture's tensor, and its outputs on noise and on grey."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from posetrt.export.graph.normalisation import Normalisation
from posetrt.export.graph.onnx_file import rename_reads
from posetrt.export.graph.onnx_model import ModelProto, run_plainly
from posetrt.export.graph.opset import opset_of
from posetrt.export.heads.base import GraphFacts, OutputFacts
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.model.manifest import DType, Layout

_TYPES: dict[int, DType] = {1: "float32", 2: "uint8", 6: "int32"}
"""ONNX's element types that a picture can come in."""


@dataclass(frozen=True)
class ImageInput:
    """The picture's tensor.

    Attributes:
        name: of it.
        layout, dtype: as in the manifest.
        size_wh: width and height, 0 where the graph leaves them open.
        batch: 0 where it is open.
    """

    name: str
    layout: Layout
    dtype: DType
    size_wh: tuple[int, int]
    batch: int

    @property
    def axes(self) -> tuple[int, int, int]:
        """Which axes are the channels, height and width."""
        return (1, 2, 3) if self.layout == "NCHW" else (3, 1, 2)

    def shape(self, size_wh: tuple[int, int], batch: int = 1) -> tuple[int, ...]:
        """Of the tensor for a picture of that size."""
        return (batch, 3, size_wh[1], size_wh[0]) if self.layout == "NCHW" else (batch, size_wh[1], size_wh[0], 3)


_BESIDE: dict[str, Callable[[int, int], Any]] = {
    "scale_factor": lambda _width, _height: [1, 1],
    "im_shape": lambda width, height: [height, width],
    "image_shape": lambda width, height: [height, width],
    "orig_target_sizes": lambda width, height: [width, height],
    "pixel_mask": lambda width, height: np.ones((height, width)),
    "dataset_index": lambda _width, _height: 0,
}
"""Inputs beside the picture that stay the same for every frame of a size: PaddleDetection's, RT-DETR's and D-FINE's, Hugging Face's DETR and
ViTPose+ (whose first data set is COCO). With them boxes come in pixels of the input."""


def with_known_inputs(model: ModelProto, path: Path, size_wh: tuple[int, int] | None) -> ModelProto:
    """The graph with what it wants to know beside the picture, where that is known by its name, as constants.

    Args:
        size_wh: that the user asked for; None takes the graph's own.

    Raises:
        PosetrtError: the size is left open, and a constant depends on it.
    """
    from onnx import helper, numpy_helper

    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    others = [value for value in inputs if value.name in _BESIDE]
    if not others or len(inputs) - len(others) != 1:
        return model
    (picture,) = (value for value in inputs if value not in others)
    dims = [dim.dim_value for dim in picture.type.tensor_type.shape.dim]
    width, height = size_wh or ((dims[2], dims[1]) if len(dims) == 4 and dims[3] == 3 else (dims[-1], dims[-2]))
    if not (width and height):
        raise UsageError(f"{path.name} takes any input size: say which with --input-size WxH, as in --input-size 640x640")
    for value in others:
        tensor = value.type.tensor_type
        known = np.asarray(_BESIDE[value.name](width, height), helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        rank = len(tensor.shape.dim)
        known = known.reshape((1,) * (rank - known.ndim) + known.shape)
        model.graph.initializer.append(numpy_helper.from_array(known, value.name))
        model.graph.input.remove(value)
    return model


def with_batch_axis(model: ModelProto) -> ModelProto:
    """The graph with a batch of one before a picture that has none, (3, H, W) or (H, W, 3), as torchvision's networks take it."""
    from onnx import helper, numpy_helper

    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    dims: list[Any] = list(inputs[0].type.tensor_type.shape.dim) if len(inputs) == 1 else []
    if len(dims) != 3 or 3 not in (dims[0].dim_value, dims[2].dim_value):
        return model
    name, own = inputs[0].name, f"{inputs[0].name}_without_batch"
    rename_reads(graph, name, own)
    shape = [1, *(dim.dim_value or dim.dim_param or None for dim in dims)]
    inputs[0].CopyFrom(helper.make_tensor_value_info(name, inputs[0].type.tensor_type.elem_type, shape))
    if opset_of(model) < 13:
        node = helper.make_node("Squeeze", [name], [own], name=own, axes=[0])
    else:
        graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.int64), f"{own}_axes"))
        node = helper.make_node("Squeeze", [name, f"{own}_axes"], [own], name=own)
    graph.node.insert(0, node)
    return model


def image_input(model: ModelProto, path: Path) -> ImageInput:
    """The one picture that the graph takes.

    Raises:
        PosetrtError: it takes something else.
    """
    import onnx

    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise PosetrtError(
            f"{path.name} has {len(inputs)} inputs ({', '.join(value.name for value in inputs)}); one image input was expected, and beside it "
            f"only what is the same for every picture: {', '.join(_BESIDE)}. Export the network with the picture as its only input: what it is asked "
            "for, as the words of a detector that takes text, must be inside the graph"
        )
    tensor = inputs[0].type.tensor_type
    dims = [dim.dim_value for dim in tensor.shape.dim]
    kind = _TYPES.get(tensor.elem_type)
    last = len(dims) == 4 and dims[3] == 3 and dims[1] != 3
    if kind is None or len(dims) != 4 or not (last or dims[1] in (0, 3)):
        element = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        shape = ", ".join(str(dim.dim_value or dim.dim_param or "?") for dim in tensor.shape.dim)
        raise PosetrtError(
            f"{path.name}: input {inputs[0].name!r} must be a picture (N, 3, H, W) or (N, H, W, 3), or one of these "
            f"without N, in float32, float16, uint8 or int32; it is {element} ({shape})"
        )
    size = (dims[2], dims[1]) if last else (dims[3], dims[2])
    return ImageInput(str(inputs[0].name), "NHWC" if last else "NCHW", kind, size, dims[0])


def noise(image: ImageInput, size_wh: tuple[int, int], pixels: Normalisation | None) -> NDArray[Any]:
    """A picture of noise as the graph takes it, the same each time; without a normalisation 0 to 1, or 0 to 255 for whole numbers."""
    values = np.random.default_rng(0).integers(0, 256, image.shape(size_wh)).astype(np.float32)
    return _fed(values, image, pixels)


def _grey(image: ImageInput, size_wh: tuple[int, int], pixels: Normalisation | None) -> NDArray[Any]:
    return _fed(np.full(image.shape(size_wh), 114, np.float32), image, pixels)


def _fed(values: NDArray[np.float32], image: ImageInput, pixels: Normalisation | None) -> NDArray[Any]:
    if image.dtype != "float32":
        return np.asarray(values, image.dtype)
    if pixels is None:
        return np.asarray(values / 255, np.float32)
    if pixels.in_graph:
        return values
    shape = (3, 1, 1) if image.layout == "NCHW" else (3,)
    mean, scale = (np.asarray(given, np.float32).reshape(shape) for given in (pixels.mean, pixels.scale))
    return np.asarray((values - mean) * scale, np.float32)


def gather(model: ModelProto, path: Path, image: ImageInput, size_wh: tuple[int, int], pixels: Normalisation | None = None) -> GraphFacts:
    """Run the graph on noise and on grey, and note what it is made of.

    Raises:
        PosetrtError: it does not run at that size.
    """
    serialised = model.SerializeToString()
    on_noise = run_plainly(serialised, noise(image, size_wh, pixels), path)
    on_grey = run_plainly(serialised, _grey(image, size_wh, pixels), path)
    makers = {name: node for node in model.graph.node for name in node.output}
    return GraphFacts(
        file=path.name,
        input_name=image.name,
        layout=image.layout,
        dtype=image.dtype,
        size_wh=size_wh,
        outputs=tuple(OutputFacts(name, on_noise[name], on_grey[name], _way_back(makers, name)) for name in on_noise),
        metadata={entry.key: entry.value for entry in model.metadata_props},
        producer=str(model.producer_name),
        operators=Counter(node.op_type for node in model.graph.node),
        stem=_stem(model.graph, image.name),
        takes=_takes(model.graph, image.name),
    )


_LARGER = 4
"""How many times larger an input shows whether an axis of length 1 counts cells."""


def single_cells(model: ModelProto, facts: GraphFacts, image: ImageInput, path: Path) -> list[OutputFacts]:
    """The outputs that are maps with a single row or column of cells at this size: both axes of the cells grow with the picture."""
    suspects = [output for output in facts.outputs if len(output.shape) == 4 and 1 in output.shape[1:]]
    if not suspects:
        return []
    size = (_LARGER * facts.size_wh[0], _LARGER * facts.size_wh[1])
    larger = type(model)()
    larger.CopyFrom(model)
    (picture,) = (value for value in larger.graph.input if value.name == image.name)
    for dim, length in zip(picture.type.tensor_type.shape.dim, image.shape(size), strict=True):
        dim.dim_value = length
    try:
        grown = run_plainly(larger.SerializeToString(), noise(image, size, None), path)
    except PosetrtError:
        return []  # a graph that holds this one size in its middle
    found = []
    for output in suspects:
        here, there = output.shape, grown[output.name].shape
        if any(there[axis] > here[axis] and there[axis + 1] > here[axis + 1] and 1 in here[axis : axis + 2] for axis in (1, 2)):
            found.append(output)
    return found


_CARRIED = {"Cast", "DequantizeLinear", "Identity", "QuantizeLinear", "Squeeze", "Transpose", "Unsqueeze"}
"""Operators that leave each pixel as it is and all of them together."""
_PIXELWISE = _CARRIED | {"Add", "Div", "Mul", "Sub"}
_MOVED = _CARRIED | {"Concat", "Gather", "Slice", "Split"}


def _stem(graph: Any, name: str) -> frozenset[str]:
    """Operators that read the picture, behind those that change its pixels alone."""
    same, found = {name}, set()
    for node in graph.node:
        if same.isdisjoint(node.input):
            continue
        if node.op_type in _PIXELWISE:
            same.update(node.output)
        else:
            found.add(str(node.op_type))
    return frozenset(found)


def _takes(graph: Any, name: str) -> Literal["", "bytes", "shares"]:
    """What the first arithmetic on the picture, behind nodes that only move its pixels, tells of them: means of 104 or 0.485, scales of 1/255 or 1/0.229."""
    from onnx import numpy_helper

    same = {name}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    constants |= {
        node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant" and node.attribute[0].HasField("t")
    }
    for node in graph.node:
        if node.op_type in ("Unsqueeze", "Reshape", "Identity", "Cast") and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
        elif same.isdisjoint(node.input):
            continue
        elif node.op_type in _MOVED:
            same.update(node.output)
        else:
            known = [numpy_helper.to_array(constants[each]) for each in node.input if each in constants]
            small = [np.abs(values.astype(np.float64)) for values in known if values.size in (1, 3) and values.dtype.kind in "fiu"]
            return _range_of(node.op_type, small) if small and len(small) == len(node.input) - 1 else ""
    return ""


def _range_of(operator: str, values: list[NDArray[np.float64]]) -> Literal["", "bytes", "shares"]:
    """`values`: the constants of the operation on the pixels, without their signs."""
    if operator == "BatchNormalization" and len(values) == 4:
        operator, values = "Sub", values[2:3]
    low, high = float(values[0].min()), float(values[0].max())
    if operator in ("Add", "Sub"):
        return "bytes" if high > 2 else "shares" if low > 0.2 else ""
    if operator in ("Div", "Mul"):
        gain = 1 / low if operator == "Div" and low else high
        return "bytes" if gain < 0.05 else "shares" if gain > 1.5 else ""
    return ""


def _way_back(makers: dict[str, Any], name: str) -> tuple[str, ...]:
    """Operators that made a tensor, as long as each has one input that another node made."""
    way: list[str] = []
    while name in makers and len(way) < 8:
        node = makers[name]
        way.append(node.op_type)
        before = [each for each in node.input if each in makers and makers[each].op_type != "Constant"]
        if len(before) != 1:
            break
        name = before[0]
    return tuple(way)
