"""Build an engine for this device from a model folder.

  posetrt build person/ --precision fp16

TensorRT builds on the device that will run it. On a computer without TensorRT the backend is ONNX Runtime, whose engine
is the graph optimised for this CPU. The engine and its sidecar (what it was built from, by what and for what) go to
person/engines/.
"""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "model folder to an engine for this device"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt build`."""
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a model folder")
    parser.add_argument("--precision", choices=["fp32", "fp16", "int8"], help="default: the folder's, else fp32 on a CPU")
    parser.add_argument("--backend", choices=["auto", "onnxruntime"], default="auto", help="default: the best that this device has")
    parser.add_argument("--if-needed", action="store_true", help="build nothing where a fitting engine is there already")
    parser.add_argument("--default", action="store_true", help="make this precision what `run` takes when given none")


def run(args: argparse.Namespace) -> int:
    """Build, and name the engine on stdout."""
    from posetrt.export.build import build
    from posetrt.runtime.engines.choose import as_precision, default_precision
    from posetrt.runtime.folder import open_folder

    folder = open_folder(args.folder)
    precision = as_precision(args.precision) if args.precision else default_precision(folder)
    engine, sidecar = build(folder, precision, args.backend, if_needed=args.if_needed)
    if args.default:
        folder.set_default_precision(precision)
    size_mb = engine.stat().st_size / 1e6
    print(
        f"{engine}: {precision} by {sidecar.backend} {sidecar.library_version}, {size_mb:.1f} MB, built in {sidecar.build_s:.1f} s from {sidecar.graph}"
    )
    return 0
