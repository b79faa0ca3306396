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


def exported_weights(state: dict[str, torch.Tensor]) -> dict[str, NDArray[np.float32]]:
    """Weights by the names of `export/networks/nano.py`, where the second guess's heat maps and PAFs come from a layer each."""
    arrays = {
        name: value.numpy().astype(np.float32)
        for name, value in state.items()
        if not name.startswith(TRAINING_ONLY) and not name.endswith("num_batches_tracked")
    }
    for kind in ("weight", "bias"):
        both = arrays.pop(f"second.1.{kind}")
        arrays[f"second.heatmaps.{kind}"], arrays[f"second.pafs.{kind}"] = both[:HEATMAPS], both[HEATMAPS:]
        arrays[f"third.heatmaps.{kind}"] = arrays.pop(f"third.1.{kind}")
    return arrays


def trained_state(arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, torch.Tensor]:
    """What `exported_weights` gave, by the names of training again; what training alone reads is not in it."""
    state = {name: torch.from_numpy(array) for name, array in arrays.items()}
    for kind in ("weight", "bias"):
        state[f"second.1.{kind}"] = torch.cat([state.pop(f"second.heatmaps.{kind}"), state.pop(f"second.pafs.{kind}")])
        state[f"third.1.{kind}"] = state.pop(f"third.heatmaps.{kind}")
    return state


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    arrays = exported_weights(torch.load(arguments.checkpoint, weights_only=True, map_location="cpu")["smooth"])
    with written_whole(arguments.output) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
