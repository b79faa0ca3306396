"""Time networks in turns: `python recipes/nano/times.py one.onnx other.onnx`; ONNX Runtime, network alone, milliseconds."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from posetrt.runtime.engines.onnxruntime import open_session


def turns(paths: list[Path], count: int, threads: int) -> list[list[float]]:
    """(networks, count) milliseconds; each network once in each turn, on the same noise."""

    def configure(options: object) -> None:
        options.intra_op_num_threads = threads  # type: ignore[attr-defined]

    sessions = [open_session(str(path), configure) for path in paths]
    fed = []
    for session in sessions:
        (one,) = session.get_inputs()
        shape = [size if isinstance(size, int) else 1 for size in one.shape]
        noise = np.random.default_rng(0).integers(0, 256, shape)
        fed.append({one.name: noise.astype(np.uint8 if "uint8" in one.type else np.float32)})
    took: list[list[float]] = [[] for _ in sessions]
    for _ in range(count + 1):
        for session, tensors, times in zip(sessions, fed, took, strict=True):
            started = time.perf_counter()
            session.run(None, tensors)
            times.append(1e3 * (time.perf_counter() - started))
    return [times[1:] for times in took]


def main() -> None:
    """A line for each network: median and fastest turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", type=Path, nargs="+", help=".onnx, float or with QuantizeLinear nodes")
    parser.add_argument("--turns", type=int, default=150)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    for path, times in zip(arguments.networks, turns(arguments.networks, arguments.turns, arguments.threads), strict=True):
        print(f"{np.median(times):7.2f} ms (fastest {min(times):.2f})  {path}")


if __name__ == "__main__":
    main()
