"""What recognition is given, of drawn outputs or of a real file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.export.heads.base import GraphFacts, Layout, OutputFacts

_RANGES = {"logits": (-12.0, 3.0), "probability": (0.0, 1.0), "pixels": (0.0, 190.0), "unit": (0.05, 0.95), "tags": (-3.0, 4.0)}


def drawn(shape: tuple[int, ...], values: str = "logits", seed: int = 0) -> NDArray[np.float32]:
    """Values of a kind: logits, probability, pixels, unit or tags."""
    low, high = _RANGES[values]
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def facts(size_wh: tuple[int, int], outputs: dict[str, NDArray[Any]], layout: Layout = "NCHW", dtype: str = "float32") -> GraphFacts:
    """Facts of a graph with those outputs, the same on noise and on grey."""
    return GraphFacts("drawn.onnx", "input", layout, dtype, size_wh, tuple(OutputFacts(name, each, each) for name, each in outputs.items()))


def facts_of(path: Path, size_wh: tuple[int, int]) -> GraphFacts:
    """Facts of a file, by ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    layout: Layout = "NHWC" if given.shape[-1] == 3 else "NCHW"
    dtype = "int32" if "int32" in given.type else "float32"
    shape = (1, size_wh[1], size_wh[0], 3) if layout == "NHWC" else (1, 3, size_wh[1], size_wh[0])
    noise = np.random.default_rng(0).integers(0, 256, shape)
    pictures = [noise, np.full(shape, 114)]
    fed = [each.astype(dtype) if dtype == "int32" else (each / 255).astype(np.float32) for each in pictures]
    names = [output.name for output in session.get_outputs()]
    found = [session.run(names, {given.name: each}) for each in fed]
    return GraphFacts(path.name, given.name, layout, dtype, size_wh, tuple(OutputFacts(*each) for each in zip(names, *found, strict=True)))
