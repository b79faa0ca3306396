"""A checkpoint's averaged weights as nano.npz, which `posetrt export nano --weights nano.npz` takes."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from network import HEATMAPS
from numpy.typing import NDArray

from posetrt.runtime.files import written_whole

TRAINING_ONLY = ("hint.", "early.")


def exported_weights(state: dict[str, torch.Tensor], gain: float) -> dict[str, NDArray[np.float32]]:
    """Weights by the names of `export/networks/nano.py`: the last layer is cut into heat maps and PAFs, and times `gain`."""
    arrays = {
        name: value.numpy().astype(np.float32)
        for name, value in state.items()
        if not name.startswith(TRAINING_ONLY) and not name.endswith("num_batches_tracked")
    }
    for kind in ("weight", "bias"):
        last = arrays.pop(f"third.1.{kind}") * np.float32(gain)
        arrays[f"third.heatmaps.{kind}"], arrays[f"third.pafs.{kind}"] = last[:HEATMAPS], last[HEATMAPS:]
    return arrays


def trained_state(arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, torch.Tensor]:
    """What `exported_weights` gave, by the names of training again; what training alone reads is not in it."""
    state = {name: torch.from_numpy(array) for name, array in arrays.items()}
    for kind in ("weight", "bias"):
        state[f"third.1.{kind}"] = torch.cat([state.pop(f"third.heatmaps.{kind}"), state.pop(f"third.pafs.{kind}")])
    return state


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--gain", type=float, default=1.0, help="multiplies the maps; chosen on held-out photographs")
    arguments = parser.parse_args()
    arrays = exported_weights(torch.load(arguments.checkpoint, weights_only=True, map_location="cpu")["smooth"], arguments.gain)
    with written_whole(arguments.output) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
