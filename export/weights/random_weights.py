"""Weights for a network whose trained ones are not at hand: random, and of a size that keeps activations in range.

They find no people. They serve to time a network and to see what it is built into, which do not depend on the values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.export.graph.onnx_graph import GraphWriter, Tensor
from posetrt.export.weights.parameters import Parameters
from posetrt.export.weights.zoo import find_network
from posetrt.runtime.files import written_whole
from posetrt.runtime.heads.paf.layout import load_layout


def random_weights(name: str, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Arrays for a network of the zoo, by parameter name.

    Filters are drawn with variance 2 / inputs (He et al., arXiv 1502.01852), so that values neither grow nor vanish on
    their way through the layers; variances and scales of batch normalisation are near one, slopes of PReLU at 0.25.

    Raises:
        UsageError: no such network.
    """
    network, parameters = find_network(name), Parameters(None)
    network.build(GraphWriter(parameters), Tensor(network.image, 3, 1), load_layout(network.skeleton), network.size_wh)
    rng = np.random.default_rng(seed)

    def draw(key: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        if len(shape) > 1:
            return rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)
        if "prelu" in key:
            return np.full(shape, 0.25, np.float32)
        near_one = key.endswith((".running_var", ".weight"))
        return (rng.uniform(0.8, 1.2, shape) if near_one else rng.normal(0, 0.05, shape)).astype(np.float32)

    return {key: draw(key, shape) for key, shape in parameters.shapes.items()}


def write_random_weights(name: str, path: Path, seed: int = 0) -> None:
    """Write them as an .npz file that `posetrt export NAME --weights FILE` takes."""
    with written_whole(path) as temporary, temporary.open("wb") as file:
        arrays: dict[str, Any] = dict(random_weights(name, seed))
        np.savez(file, **arrays)
