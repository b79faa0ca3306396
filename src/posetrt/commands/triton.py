"""Write a Triton model repository, so that a data centre serves the same model folder.

  posetrt triton person/ -o models/                          the ONNX file, on Triton's ONNX Runtime
  posetrt triton person/ -o models/ --precision int8         the folder's TensorRT engine, built on the GPU that serves it
  tritonserver --model-repository models/

Answers are the network's outputs: heat maps and PAFs, or peaks and pairs where the graph decodes. manifest.json beside
config.pbtxt says what they mean.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from posetrt.arguments import network_path

SUMMARY = "a Triton model repository from a model folder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt triton`."""
    parser.add_argument("folder", metavar="FOLDER", type=network_path, help="a model folder, or nano")
    parser.add_argument("-o", "--out", metavar="DIR", type=Path, required=True, help="Triton's model repository")
    parser.add_argument("--name", metavar="NAME", help="of the model (default: the folder's)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--precision", choices=["fp32", "fp16", "int8"], help="serve the folder's TensorRT engine of this precision")
    which.add_argument("--engine", metavar="FILE", type=Path, help="serve this TensorRT engine of the folder")


def run(args: argparse.Namespace) -> int:
    """Write and say where."""
    from posetrt.export.triton import write_repository

    print(write_repository(args.folder, args.out, name=args.name, engine=args.engine, precision=args.precision))
    return 0
