"""A network of the zoo and its weight file to a described ONNX graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import posetrt
from posetrt.export.graph.normalisation import NORMALISATIONS
from posetrt.export.graph.onnx_graph import GraphWriter, Tensor
from posetrt.export.graph.onnx_model import DEFAULT_OPSET, IR_FOR_OPSET, finish
from posetrt.export.weights.load import load_weights
from posetrt.export.weights.parameters import Parameters
from posetrt.export.weights.zoo import Network
from posetrt.runtime.errors import UsageError
from posetrt.runtime.files import sha256_of
from posetrt.runtime.heads.paf.layout import MapLayout, load_layout
from posetrt.runtime.model.manifest import InputSpec, Manifest
from posetrt.runtime.placement import PAD_GREY, Fit

ModelProto = Any  # onnx.ModelProto


def model_from_weights(
    network: Network,
    path: Path,
    *,
    size_wh: tuple[int, int] | None = None,
    dynamic: bool = False,
    batch: int = 1,
    layout: MapLayout | None = None,
    normalisation: str | None = None,
    opset: int = DEFAULT_OPSET,
    licence: str = "",
) -> tuple[ModelProto, Manifest]:
    """Write a network of the zoo as a described graph.

    Args:
        network: from `zoo.find_network`.
        path: its weights.
        size_wh: input width and height; None takes the network's usual one.
        dynamic: leave height and width open, between half and twice `size_wh`.
        batch: above 1 leaves the batch open, up to so many.
        layout: of networks that were trained on other parts than the published ones; it sets the number of maps.
        normalisation: a name of `NORMALISATIONS`, of networks that were trained otherwise than the published ones.
        opset: of the graph.
        licence: a note on the weights; "" takes that of the published ones.

    Returns:
        The model, and its manifest.

    Raises:
        UsageError: a size that the stride does not divide, or an opset or option that the network cannot have.
        PosetrtError: the weights do not fit.
    """
    size = size_wh or network.size_wh
    _check_size(network, size)
    if opset not in IR_FOR_OPSET:
        raise UsageError(f"--opset must be one of {', '.join(map(str, IR_FOR_OPSET))}; got {opset}")
    if dynamic and network.fixed:
        raise UsageError(f"{network.name} has its centre map inside the graph, which fixes the size: leave --dynamic out")
    layout = layout or load_layout(network.skeleton)
    skeleton = layout.skeleton
    parameters = Parameters(load_weights(path))
    net = GraphWriter(parameters)
    maps = network.build(net, Tensor(network.image, 3, 1), layout, size)
    head = maps.head(layout, network.least)
    try:
        head.check(skeleton)
    except UsageError as error:
        raise UsageError(f"{network.name} does not fit skeleton {skeleton.name!r}: {error}; add paf_channels to its JSON") from error
    parameters.check(path.name, network.name, network.unused)

    first: int | str = 1 if batch == 1 else "batch"
    dims: list[int | str] = [first, 3, "height", "width"] if dynamic else [first, 3, size[1], size[0]]
    model = net.model(network.image, dims, maps.outputs(), opset, IR_FOR_OPSET[opset])
    pixels = NORMALISATIONS[normalisation or network.normalisation]
    manifest = Manifest(
        network=network.name,
        skeleton=skeleton,
        input=InputSpec(
            network.image,
            "NCHW",
            size,
            _rounded(size, 0.5, network.multiple) if dynamic else size,
            _rounded(size, 2.0, network.multiple) if dynamic else size,
            pixels.colour,
            pixels.mean,
            pixels.scale,
            pixels.in_graph,
            batch,
            fit=Fit("crop" if head.scope == "crop" else "top-left", PAD_GREY, network.grow),
        ),
        head=head,
        weights_sha256=sha256_of(path),
        licence=licence or network.licence,
        exporter=posetrt.__version__,
    )
    return finish(model, manifest, opset), manifest


def _check_size(network: Network, size: tuple[int, int]) -> None:
    width, height = size
    step = network.multiple
    if width % step or height % step or min(size) < 2 * step:
        near = "x".join(str(max(2, round(side / step)) * step) for side in size)
        raise UsageError(
            f"{network.name} takes sizes that are multiples of {step}, at least {2 * step}; {width}x{height} is not. Try {near}"
        )


def _rounded(size: tuple[int, int], factor: float, step: int) -> tuple[int, int]:
    width, height = (max(2, round(side * factor / step)) * step for side in size)
    return width, height
