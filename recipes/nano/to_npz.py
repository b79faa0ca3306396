"""A checkpoint's averaged weights as nano.npz (float16), which `posetrt export nano --weights nano.npz` and `train.py --begin-with` take."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from posetrt.runtime.files import written_whole

# Where the run goes on; `posetrt export` passes over it.
STEP = "training.step"


def exported_weights(state: Mapping[str, torch.Tensor], step: int) -> dict[str, NDArray[np.generic]]:
    """Weights by name in float16, and the step that they are of."""
    return {name: value.numpy().astype(np.float16) for name, value in state.items()} | {STEP: np.array(step, np.int32)}


def trained_state(arrays: Mapping[str, NDArray[np.generic]]) -> tuple[dict[str, torch.Tensor], int]:
    """What `exported_weights` gave: weights for training, and the step."""
    weights = {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items() if name != STEP}
    return weights, int(arrays[STEP])


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    stored = torch.load(arguments.checkpoint, weights_only=True, map_location="cpu")
    with written_whole(arguments.output) as temporary:
        np.savez(temporary, **exported_weights(stored["smooth"], stored["step"]))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
