"""An ONNX graph as TorchScript, for PyTorch's time of it beside TensorRT's: the operators of convolutional pose networks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posetrt.runtime.errors import PosetrtError

if TYPE_CHECKING:
    import torch

Attributes = Mapping[str, Any]


def write_torch(graph: Path, outputs: Sequence[str], target: Path) -> None:
    """Write a graph as TorchScript, which a machine runs with PyTorch alone.

    Args:
        graph: an ONNX file with one float32 input of a fixed size.
        outputs: names of the tensors that it is to give, in this order.
        target: a .pt file.

    Raises:
        PosetrtError: PyTorch is not installed, or the graph has an operator or an input that is not known here.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise PosetrtError("PyTorch is not installed") from error
    import onnx

    model = onnx.load(str(graph))
    inputs = [value for value in model.graph.input if value.name not in {one.name for one in model.graph.initializer}]
    shape = [size.dim_value for size in inputs[0].type.tensor_type.shape.dim]
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != onnx.TensorProto.FLOAT or not all(shape):
        raise PosetrtError("it does not take one float32 input of a fixed size")
    module = _module(model, inputs[0].name, list(outputs))
    # Deprecated; but what torch.export writes is not promised to load in another version, which the machine may have.
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trace: Any = torch.jit.trace
        traced = trace(module, torch.zeros(shape), check_trace=False)
        target.parent.mkdir(parents=True, exist_ok=True)
        torch.jit.save(traced, str(target))


def _module(model: Any, source: str, outputs: Sequence[str]) -> torch.nn.Module:
    import onnx
    import torch

    steps = [
        (node, {"outputs": len(node.output), **{one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}})
        for node in model.graph.node
    ]
    operators = _operators()
    unknown = sorted({node.op_type for node, _ in steps} - operators.keys())
    if unknown:
        raise PosetrtError(f"operators that are not translated: {', '.join(unknown)}")

    class Graph(torch.nn.Module):  # type: ignore[misc]  # torch is not installed where types are checked
        """The nodes, one after the other."""

        def __init__(self) -> None:
            super().__init__()
            self.whole: dict[str, Any] = {"": None}
            self.own: dict[str, str] = {}
            for number, weight in enumerate(model.graph.initializer):
                array = onnx.numpy_helper.to_array(weight)
                if array.dtype.kind == "f":
                    # A buffer, so that `half` finds it.
                    self.register_buffer(f"w{number}", torch.from_numpy(array.astype(np.float32)))
                    self.own[weight.name] = f"w{number}"
                else:
                    self.whole[weight.name] = array.tolist()

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            values = {**self.whole, **{name: getattr(self, own) for name, own in self.own.items()}, source: x}
            for node, attributes in steps:
                made = operators[node.op_type](attributes, [values[name] for name in node.input])
                values.update(zip(node.output, made if isinstance(made, (list, tuple)) else [made], strict=False))
            return tuple(values[name] for name in outputs)

    return Graph().eval()


def _padded(attributes: Attributes, x: Any, fill: float) -> Any:
    """Padded as ONNX says it: all beginnings, then all ends."""
    from torch.nn import functional

    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID") or attributes.get("ceil_mode"):
        raise PosetrtError("automatic padding is not translated")
    pads = list(attributes.get("pads", []))
    if not any(pads):
        return x
    half = len(pads) // 2
    return functional.pad(x, [side for axis in range(half - 1, -1, -1) for side in (pads[axis], pads[half + axis])], value=fill)


def _conv(attributes: Attributes, given: Sequence[Any]) -> Any:
    from torch.nn import functional

    x, weight, bias = (*given, None)[:3]
    x = _padded(attributes, x, 0.0)
    return functional.conv2d(x, weight, bias, attributes.get("strides", 1), 0, attributes.get("dilations", 1), attributes.get("group", 1))


def _max_pool(attributes: Attributes, given: Sequence[Any]) -> Any:
    from torch.nn import functional

    return functional.max_pool2d(_padded(attributes, given[0], float("-inf")), attributes["kernel_shape"], attributes.get("strides", 1))


def _resize(attributes: Attributes, given: Sequence[Any]) -> Any:
    from torch.nn import functional

    mode = attributes.get("mode", b"nearest").decode()
    how = attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    scales, sizes = (given[index] if len(given) > index else None for index in (2, 3))
    size = [int(side) for side in sizes[2:]] if sizes else None
    scale = [float(value) for value in scales[2:]] if scales is not None and not size else None
    if mode == "nearest" and how == "asymmetric":
        return functional.interpolate(given[0], size, scale, mode="nearest")
    if mode == "linear" and how in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        return functional.interpolate(given[0], size, scale, mode="bilinear", align_corners=how == "align_corners")
    raise PosetrtError(f"a Resize that is {mode}, {how} is not translated")


def _split(attributes: Attributes, given: Sequence[Any]) -> Any:
    axis = attributes.get("axis", 0)
    sizes = given[1] if len(given) > 1 else attributes.get("split")
    return given[0].split(list(sizes), axis) if sizes else given[0].chunk(attributes["outputs"], axis)


def _slice(attributes: Attributes, given: Sequence[Any]) -> Any:
    del attributes
    x, starts, ends = given[:3]
    axes = given[3] if len(given) > 3 and given[3] is not None else range(len(starts))
    steps = given[4] if len(given) > 4 and given[4] is not None else [1] * len(starts)
    place = [slice(None)] * x.dim()
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        place[axis] = slice(start, None if end >= 2**31 - 1 else end, step)
    return x[tuple(place)]


def _reshape(attributes: Attributes, given: Sequence[Any]) -> Any:
    del attributes
    x, shape = given
    return x.reshape([x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)])


def _operators() -> dict[str, Callable[[Attributes, Sequence[Any]], Any]]:
    """What each operator is in PyTorch: (attributes, inputs) -> output or outputs. Sources: ONNX's operator schemas, opset 13 to 17."""
    import torch
    from torch.nn import functional

    def clip(attributes: Attributes, given: Sequence[Any]) -> Any:
        low, high = (attributes.get(name, given[index] if len(given) > index else None) for index, name in ((1, "min"), (2, "max")))
        return torch.clamp(given[0], *(None if one is None else float(one) for one in (low, high)))

    def average_pool(attributes: Attributes, given: Sequence[Any]) -> Any:
        if any(attributes.get("pads", [])) and not attributes.get("count_include_pad"):
            raise PosetrtError("an AveragePool that does not count its padding is not translated")
        return functional.avg_pool2d(_padded(attributes, given[0], 0.0), attributes["kernel_shape"], attributes.get("strides", 1))

    def prelu(_: Attributes, given: Sequence[Any]) -> Any:
        return functional.prelu(given[0], given[1].flatten())

    def axes_of(attributes: Attributes, given: Sequence[Any]) -> list[int]:
        return list(given[1] if len(given) > 1 and given[1] is not None else attributes["axes"])

    return {
        "Add": lambda _, given: given[0] + given[1],
        "AveragePool": average_pool,
        # Weights that are stored as float16 are float32 here already, and all of it is float16 where that is timed.
        "Cast": lambda _, given: given[0],
        "Clip": clip,
        "Concat": lambda a, given: torch.cat(list(given), a["axis"]),
        "Conv": _conv,
        "Div": lambda _, given: given[0] / given[1],
        "Elu": lambda a, given: functional.elu(given[0], a.get("alpha", 1.0)),
        "GlobalAveragePool": lambda _, given: given[0].mean((2, 3), keepdim=True),
        "HardSigmoid": lambda a, given: torch.clamp(given[0] * a.get("alpha", 0.2) + a.get("beta", 0.5), 0.0, 1.0),
        "Identity": lambda _, given: given[0],
        "LeakyRelu": lambda a, given: functional.leaky_relu(given[0], a.get("alpha", 0.01)),
        "MatMul": lambda _, given: given[0] @ given[1],
        "MaxPool": _max_pool,
        "Mul": lambda _, given: given[0] * given[1],
        "PRelu": prelu,
        "ReduceMax": lambda a, given: given[0].amax(axes_of(a, given), bool(a.get("keepdims", 1))),
        "ReduceSum": lambda a, given: given[0].sum(axes_of(a, given), bool(a.get("keepdims", 1))),
        "Relu": lambda _, given: torch.relu(given[0]),
        "Reshape": _reshape,
        "Resize": _resize,
        "Sigmoid": lambda _, given: torch.sigmoid(given[0]),
        "Slice": _slice,
        "Softmax": lambda a, given: torch.softmax(given[0], a.get("axis", -1)),
        "Split": _split,
        "Sub": lambda _, given: given[0] - given[1],
        "Transpose": lambda a, given: given[0].permute(a["perm"]),
    }
