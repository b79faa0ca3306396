"""Raw YOLO decoded in torch, as its own tools do it: transpose, threshold, sort, and NMS on the matrix of all overlaps."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from posetrt.bench.heads.cases import cases
from posetrt.bench.heads_benchmark import FRAMES, in_turns, write
from posetrt.runtime.errors import UsageError


@dataclass(frozen=True)
class TorchRow:
    """Medians of processor time in milliseconds, taken in turns."""

    people: int
    ms: float
    torch_ms: float


def time_torch(people: Sequence[int], repeats: int) -> list[TorchRow]:
    """The project's head and torch on the same raw outputs.

    Raises:
        UsageError: torch is not installed.
    """
    try:
        torch = importlib.import_module("torch")
    except ModuleNotFoundError:
        raise UsageError("--torch needs PyTorch: pip install 'posetrt[train]', or leave --torch out") from None
    torch.set_num_threads(1)
    case = cases()[0]
    decoder, rows = case.head.decoder(case.skeleton), []
    for count in people:
        rng = np.random.default_rng(0)
        shown = [case.outputs(count, rng)[0] for _ in range(FRAMES)]
        given = {name: values.copy() for name, values in shown[0].items()}
        raw = torch.from_numpy(given["out"])
        works = [partial(decoder.decode, given, case.size_wh), partial(_decode, torch, raw)]
        with torch.inference_mode():
            rows.append(TorchRow(count, *in_turns(works, repeats, [partial(write, given, tensors) for tensors in shown])))
    return rows


def _decode(torch: Any, raw: Any) -> Any:
    """Key points (N, 17, 3) of those who stay."""
    found = raw[0].T
    found = found[found[:, 4] > 0.25]
    found = found[found[:, 4].argsort(descending=True)]
    half = found[:, 2:4] / 2
    low, high = found[:, :2] - half, found[:, :2] + half
    shared = (torch.minimum(high[:, None], high) - torch.maximum(low[:, None], low)).clamp(0).prod(2)
    areas = found[:, 2] * found[:, 3]
    over = (shared / (areas[:, None] + areas - shared) > 0.65).triu(1)
    alive = torch.ones(len(found), dtype=torch.bool)
    for better in range(len(found)):
        if alive[better]:
            alive &= ~over[better]
    return found[alive][:300, 5:].reshape(-1, 17, 3)
