"""A checkpoint's averaged weights, or the mean of several', as nano.npz (float16), for `posetrt export nano --weights` and `train.py --begin-with`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
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


def mean_of(states: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The mean of the weights of one network at several steps."""
    return {name: torch.stack([state[name] for state in states]).mean(dim=0) for name in states[0]}


def trained_state(arrays: Mapping[str, NDArray[np.generic]]) -> tuple[dict[str, torch.Tensor], int]:
    """What `exported_weights` gave: weights for training, and the step."""
    weights = {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items() if name != STEP}
    return weights, int(arrays[STEP])


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", type=Path, nargs="+", help="run.pt, or several of one network, whose mean is taken")
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    stored = [torch.load(path, weights_only=True, map_location="cpu") for path in arguments.checkpoints]
    weights = mean_of([one["smooth"] for one in stored])
    with written_whole(arguments.output) as temporary:
        np.savez(temporary, **exported_weights(weights, max(one["step"] for one in stored)))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
