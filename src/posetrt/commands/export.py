"""Make a model folder of a trained network.

NETWORK is `onnx` for your own graph (any ONNX with heat maps and PAFs), as in:

  posetrt export onnx --weights pose.onnx --input-size 456x256 --normalise openpose -o person/

The outputs and the skeleton are found by their channel counts where you do not name them. The exported graph is
compared with the original on random input before anything is written.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

SUMMARY = "trained weights to a model folder with model.onnx"


def size_wh(text: str) -> tuple[int, int]:
    """`456x256` → (456, 256)."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write WIDTHxHEIGHT, as in 456x256")
    return int(width), int(height)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt export`."""
    parser.add_argument("network", metavar="NETWORK", help="`onnx` for your own graph")
    parser.add_argument("--weights", metavar="FILE", type=Path, required=True, help="the trained network")
    parser.add_argument("-o", "--output", metavar="FOLDER", type=Path, required=True, help="the model folder to make")
    parser.add_argument("--input-size", metavar="WxH", type=size_wh, help="width x height of the network's input; a multiple of its stride")
    parser.add_argument(
        "--normalise", choices=["in-graph", "openpose", "imagenet", "unit"], default="openpose", help="default: openpose, BGR x/256 - 0.5"
    )
    parser.add_argument("--skeleton", metavar="NAME|FILE.json", help="default: the built-in one whose channel counts fit")
    parser.add_argument("--heatmaps", metavar="NAME", help="output with the heat maps; default: by channel count")
    parser.add_argument("--pafs", metavar="NAME", help="output with the PAFs; default: by channel count")
    parser.add_argument(
        "--opset", metavar="N", type=int, default=17, help="ONNX opset of the result (default 17, which TensorRT 8.6 reads)"
    )
    parser.add_argument("--licence", metavar="TEXT", default="", help="a note on the weights' licence, kept in the manifest")
    parser.add_argument("--force", action="store_true", help="replace the model of an existing folder")


def run(args: argparse.Namespace) -> int:
    """Export and say what came of it."""
    from posetrt.export.normalisation import NORMALISATIONS
    from posetrt.export.onnx_model import model_from_onnx, write_folder
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.skeleton import load_skeleton

    if args.network != "onnx":
        raise UsageError(f"no network {args.network!r}: give `onnx` with --weights FILE.onnx")
    model, manifest = model_from_onnx(
        args.weights,
        normalisation=NORMALISATIONS[args.normalise],
        skeleton=load_skeleton(args.skeleton) if args.skeleton else None,
        heatmaps=args.heatmaps,
        pafs=args.pafs,
        size_wh=args.input_size,
        opset=args.opset,
        licence=args.licence,
    )
    folder = write_folder(model, manifest, args.output, force=args.force)
    width, height = manifest.input.size_wh
    outputs = ", ".join(f"{role} = {name}" for role, name in manifest.outputs.present().items())
    print(
        f"{folder.onnx}: {manifest.skeleton.name}, input {width}x{height}, stride {manifest.stride}, {outputs}; equal to {args.weights.name}"
    )
    print(f"next: posetrt build {folder.path} --precision fp32", file=sys.stderr)
    return 0
