"""Write a Triton model repository, so that a data centre serves the same model folder.

  posetrt triton person/ -o models/                          the ONNX file, on Triton's ONNX Runtime
  posetrt triton person/ -o models/ --precision int8         the folder's TensorRT engine, built on the GPU that serves it
  posetrt triton person/ -o models/ --ensemble               also takes a camera's bytes, a quarter of the traffic
  posetrt triton person/ -o models/ --version 2 --keep-versions 2
  tritonserver --model-repository models/
  posetrt run --engine triton://localhost:8001/person --source clip.mp4 --write-video out.mp4

Answers are the network's outputs. The configuration's parameters and manifest.json beside it say what they mean, and how they become
people: `posetrt run --engine triton://...` needs no model folder. A network that takes more than one frame (exported with --batch) gets
dynamic batching; each instance is warmed up before it is called ready.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from posetrt.arguments import network_path
from posetrt.runtime.engines.base import PRECISIONS

SUMMARY = "a Triton model repository from a model folder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt triton`."""
    parser.add_argument("folder", metavar="FOLDER", type=network_path, help="a model folder, or nano")
    parser.add_argument("-o", "--out", metavar="DIR", type=Path, required=True, help="Triton's model repository")
    parser.add_argument("--name", metavar="NAME", help="of the model (default: the folder's)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--precision", choices=PRECISIONS, help="serve the folder's TensorRT engine of this precision")
    which.add_argument("--engine", metavar="FILE", type=Path, help="serve this TensorRT engine of the folder")
    parser.add_argument(
        "--ensemble", action="store_true", help="also write an ensemble that takes uint8 BGR; --name is then the ensemble's"
    )
    parser.add_argument("--instances", type=int, default=1, metavar="N", help="engines side by side (default 1)")
    parser.add_argument("--max-batch", type=int, metavar="N", help="frames put together (default: what the graph or the engine takes)")
    parser.add_argument(
        "--queue-delay", type=int, default=1000, metavar="US", help="for how long a frame waits for others, in microseconds"
    )
    parser.add_argument("--version", type=int, default=1, metavar="N", help="of the model; versions that are there stay (default 1)")
    parser.add_argument("--keep-versions", type=int, default=1, metavar="N", help="serve the N latest versions (default 1)")


def run(args: argparse.Namespace) -> int:
    """Write and say where."""
    from posetrt.export.triton import Serving, write_repository

    serving = Serving(args.version, args.keep_versions, args.instances, args.max_batch, args.queue_delay, args.ensemble)
    print(write_repository(args.folder, args.out, name=args.name, engine=args.engine, precision=args.precision, serving=serving))
    return 0
