"""The little that is needed to write a network as ONNX nodes, with BatchNorm folded into the convolution before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.export.weights.parameters import Parameters

BATCH_NORM_EPSILON = 1e-5  # PyTorch's default, which every network of the zoo uses


@dataclass(frozen=True)
class Tensor:
    """A tensor `(N, channels, H / stride, W / stride)` of the graph being written."""

    name: str
    channels: int
    stride: int


class GraphWriter:
    """Collects nodes and weights of one network.

    A convolution's result carries the convolution's name (as the blob of a Caffe file does), after its activation; before it,
    the name has the suffix `/linear`.

    Attributes:
        multiply_adds: of all convolutions, for each pixel of the network's input.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self.multiply_adds = 0.0

    def conv(
        self,
        x: Tensor,
        name: str,
        channels: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        norm: str | None = None,
        activation: str | None = "Relu",
    ) -> Tensor:
        """A convolution that keeps its input's size (or divides it by `stride`), a folded BatchNorm, an activation.

        Args:
            x: input.
            name: parameters are `name.weight` (channels, x.channels / groups, kernel, kernel) and, with `bias`, `name.bias`.
            channels, kernel, stride, dilation, groups: as in Caffe and PyTorch; padding is `dilation * (kernel // 2)`.
            bias: whether the convolution has one of its own.
            norm: BatchNorm behind the convolution: parameters `norm.weight`, `.bias`, `.running_mean`, `.running_var`.
            activation: "Relu", "Elu", "Sigmoid", "Tanh", "PRelu:layer" (a slope a channel in `layer.weight`), or None.
        """
        shape = (channels, x.channels // groups, kernel, kernel)
        weight = self._parameters.take(f"{name}.weight", shape)
        offset = self._parameters.take(f"{name}.bias", (channels,)) if bias else None
        if norm is not None:
            weight, offset = self._folded(weight, offset, norm, channels, axis=0)
        pad = dilation * (kernel // 2)
        self.multiply_adds += float(np.prod(shape)) / (x.stride * stride) ** 2
        linear = self._node(
            "Conv",
            [x.name, *self._stored(name, weight, offset)],
            f"{name}/linear" if activation else name,
            name,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad] * 4,
            dilations=[dilation, dilation],
            group=groups,
        )
        return self._activated(Tensor(linear, channels, x.stride * stride), name, activation)

    def conv_transpose(self, x: Tensor, name: str, channels: int, *, norm: str, activation: str | None = "Relu") -> Tensor:
        """The transposed convolution that doubles height and width (kernel 4, stride 2, padding 1), BatchNorm folded in."""
        shape = (x.channels, channels, 4, 4)
        weight = self._parameters.take(f"{name}.weight", shape)
        offset = self._parameters.take(f"{name}.bias", (channels,))
        weight, offset = self._folded(weight, offset, norm, channels, axis=1)
        self.multiply_adds += float(np.prod(shape)) / x.stride**2
        linear = self._node(
            "ConvTranspose",
            [x.name, *self._stored(name, weight, offset)],
            f"{name}/linear" if activation else name,
            name,
            kernel_shape=[4, 4],
            strides=[2, 2],
            pads=[1] * 4,
        )
        return self._activated(Tensor(linear, channels, x.stride // 2), name, activation)

    def batch_norm(self, x: Tensor, name: str, activation: str | None = "Relu") -> Tensor:
        """A BatchNorm that no convolution stands before, as a multiplication and an addition."""
        scale, shift = self._scale_and_shift(name, x.channels)
        names = [f"{name}.scale", f"{name}.shift"]
        for key, value in zip(names, (scale, shift), strict=True):
            self.constant(key, value.astype(np.float32).reshape(1, -1, 1, 1))
        scaled = self._node("Mul", [x.name, names[0]], f"{name}/scaled", f"{name}/Mul")
        shifted = self._node("Add", [scaled, names[1]], f"{name}/linear" if activation else name, f"{name}/Add")
        return self._activated(Tensor(shifted, x.channels, x.stride), name, activation)

    def max_pool(self, x: Tensor, name: str, kernel: int = 2, stride: int = 2) -> Tensor:
        """Maximum over kernel × kernel cells; padding is `(kernel - 1) // 2`."""
        sizes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [(kernel - 1) // 2] * 4}
        return Tensor(self._node("MaxPool", [x.name], name, name, **sizes), x.channels, x.stride * stride)

    def average_pool(self, x: Tensor, name: str) -> Tensor:
        """Mean over 2 × 2 cells."""
        return Tensor(self._node("AveragePool", [x.name], name, name, kernel_shape=[2, 2], strides=[2, 2]), x.channels, x.stride * 2)

    def concat(self, tensors: Sequence[Tensor], name: str) -> Tensor:
        """Channels of several tensors, one after the other."""
        channels = sum(tensor.channels for tensor in tensors)
        return Tensor(self._node("Concat", [tensor.name for tensor in tensors], name, name, axis=1), channels, tensors[0].stride)

    def split(self, x: Tensor, channels: Sequence[int], names: Sequence[str]) -> list[Tensor]:
        """Parts of the channels, in order, each under its name."""
        sizes = self.constant(f"{x.name}.sizes", np.array(channels, np.int64))
        self._nodes.append(_make_node("Split", [x.name, sizes], list(names), f"{x.name}/Split", axis=1))
        return [Tensor(name, count, x.stride) for name, count in zip(names, channels, strict=True)]

    def combine(self, kind: str, a: Tensor, b: Tensor, name: str, activation: str | None = None) -> Tensor:
        """ "Add" or "Mul" of two tensors of one shape."""
        linear = self._node(kind, [a.name, b.name], f"{name}/linear" if activation else name, name)
        return self._activated(Tensor(linear, a.channels, a.stride), name, activation)

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Store an array in the graph and give its name."""
        from onnx import numpy_helper

        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def constant_map(self, name: str, value: NDArray[np.float32], like: Tensor) -> Tensor:
        """Maps (1, channels, h, w) that are the same for every image, repeated as often as `like` has images."""
        stored = self.constant(f"{name}/one", value)
        shape = self._node("Shape", [like.name], f"{name}/like", f"{name}/Shape")
        batch = self._node(
            "Gather", [shape, self.constant(f"{name}/first", np.array([0], np.int64))], f"{name}/batch", f"{name}/Gather", axis=0
        )
        rest = self.constant(f"{name}/rest", np.array(value.shape[1:], np.int64))
        wanted = self._node("Concat", [batch, rest], f"{name}/shape", f"{name}/Concat", axis=0)
        return Tensor(self._node("Expand", [stored, wanted], name, f"{name}/Expand"), value.shape[1], like.stride)

    def model(self, image: str, dims: Sequence[int | str], outputs: dict[str, Tensor], opset: int, ir_version: int) -> Any:
        """The onnx.ModelProto.

        Args:
            image: name of the float32 input.
            dims: its shape; a string names a dimension that may change.
            outputs: what each output is to be called, and its tensor, which takes that name.
            opset, ir_version: to write.
        """
        from onnx import TensorProto, helper

        renamed = {tensor.name: name for name, tensor in outputs.items()}
        for node in self._nodes:
            for names in (node.input, node.output):
                for index, old in enumerate(names):
                    names[index] = renamed.get(old, old)
        values = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [dims[0], tensor.channels, None, None])
            for name, tensor in outputs.items()
        ]
        graph = helper.make_graph(
            self._nodes, "posetrt", [helper.make_tensor_value_info(image, TensorProto.FLOAT, list(dims))], values, self._weights
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)

    def _node(self, kind: str, inputs: Sequence[str], output: str, name: str, **attributes: Any) -> str:
        self._nodes.append(_make_node(kind, inputs, [output], name, **attributes))
        return output

    def _stored(self, name: str, weight: NDArray[np.float32], bias: NDArray[np.float32] | None) -> list[str]:
        names = [self.constant(f"{name}.weight", weight)]
        return names if bias is None else [*names, self.constant(f"{name}.bias", bias)]

    def _activated(self, x: Tensor, name: str, activation: str | None) -> Tensor:
        if activation is None:
            return x
        kind, _, layer = activation.partition(":")
        inputs = [x.name]
        if kind == "PRelu":
            slope = self._parameters.take(f"{layer}.weight", (x.channels,))
            inputs.append(self.constant(f"{layer}.weight", slope.reshape(-1, 1, 1)))
        return Tensor(self._node(kind, inputs, name, layer or f"{name}/{kind}"), x.channels, x.stride)

    def _scale_and_shift(self, norm: str, channels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        gamma, beta, mean, variance = (
            self._parameters.take(f"{norm}.{part}", (channels,)).astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(variance + BATCH_NORM_EPSILON)
        return scale, beta - mean * scale

    def _folded(
        self, weight: NDArray[np.float32], bias: NDArray[np.float32] | None, norm: str, channels: int, axis: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weight and bias of one convolution that does what convolution and BatchNorm did; computed in float64."""
        scale, shift = self._scale_and_shift(norm, channels)
        shape = [1, 1, 1, 1]
        shape[axis] = -1
        offset = shift if bias is None else bias * scale + shift
        return (weight * scale.reshape(shape)).astype(np.float32), offset.astype(np.float32)


def _make_node(kind: str, inputs: Sequence[str], outputs: Sequence[str], name: str, **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(kind, list(inputs), list(outputs), name=name, **attributes)
