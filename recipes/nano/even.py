"""Weights whose channels INT8 finds even: `python recipes/nano/even.py nano/ recipes/nano/nano.npz`, after `posetrt calibrate nano/`.

A calibration scales the channels of depthwise inputs to one reach; in float the network computes the same. Weights that are so already need
no second float graph (`variants/int8-base.onnx`) beside `model.onnx`, which keeps the package small: `posetrt calibrate --no-equalise`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from to_npz import STEP

from posetrt.runtime.files import written_whole


def main() -> None:
    """Write the scaled weights in the place of those that the folder was exported from."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="model folder, exported from the weights and calibrated")
    parser.add_argument("weights", type=Path, help="the weights (.npz)")
    arguments = parser.parse_args()
    with np.load(arguments.weights) as stored:
        weights = dict(stored)
    base = onnx.load(str(arguments.folder / "variants" / "int8-base.onnx")).graph
    scaled = {one.name: onnx.numpy_helper.to_array(one) for one in base.initializer}
    # A channel that is always 0 behind its ReLU has a bias far below 0, and may be scaled up.
    most = np.finfo(np.float16).max
    for name in weights.keys() - {STEP}:
        weights[name] = np.clip(scaled[name], -most, most).astype(np.float16)
    with written_whole(arguments.weights) as temporary:
        np.savez(temporary, **weights)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
