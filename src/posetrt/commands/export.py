"""Make a model folder of a trained network.

NETWORK is a name of the zoo (`posetrt export --list`), or `onnx` for your own graph:

  posetrt export openpose-body25 --weights pose_iter_584000.caffemodel -o person/
  posetrt export onnx --weights pose.onnx --input-size 456x256 -o person/

Of your own graph, outputs and skeleton are found by their channel counts where you do not name them, and the exported graph is
compared with the original on random input before anything is written. For a camera on a GPU, add `--input uint8 --decode in-graph`:
the graph then takes the camera's bytes and gives peaks and pair scores in place of maps. `--camera 1280x720` puts scaling and colour
conversion into the graph as well: it takes whole frames of that size, as BGR or with `--pixel-format nv12`.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posetrt.arguments import size_wh

if TYPE_CHECKING:
    from posetrt.calib.int8.foreign import Foreign
    from posetrt.runtime.model.folder import ModelFolder

_NORMALISATIONS = (
    "in-graph", "openpose", "imagenet", "unit", "yolo", "yolo-nas", "yolox", "rtmpose", "rtmdet", "tinypose", "movenet", "posenet", "mediapipe",
)  # fmt: skip
"""As export.graph.normalisation has them; a test holds both together."""

SUMMARY = "trained weights to a model folder with model.onnx"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt export`."""
    parser.add_argument("network", metavar="NETWORK", nargs="?", help="a name of the zoo, or `onnx` for your own graph")
    parser.add_argument("--list", action="store_true", help="show the zoo and stop")
    parser.add_argument("--json", action="store_true", help="the list for machines")
    parser.add_argument("--weights", metavar="FILE", type=Path, help="the trained network: .caffemodel, .pth, .npz, .safetensors; or .onnx")
    parser.add_argument("-o", "--output", metavar="FOLDER", type=Path, help="the model folder to make")
    parser.add_argument("--input-size", metavar="WxH", type=size_wh, help="width x height of the network's input; default: its usual one")
    parser.add_argument("--dynamic", action="store_true", help="leave the size open, from half to twice --input-size")
    parser.add_argument(
        "--batch", metavar="N", type=int, default=1, help="take up to N at once: the crops of hands and faces; frames of several cameras"
    )
    parser.add_argument("--input", choices=["float", "uint8"], default="float", help="uint8: take the camera's bytes (1, H, W, 3) BGR")
    parser.add_argument(
        "--camera",
        metavar="WxH",
        type=size_wh,
        help="with --input uint8: take the camera's whole frame of this size; scaling and colours are in the graph",
    )
    parser.add_argument("--pixel-format", choices=["bgr", "nv12"], help="of the frames of --camera (default: bgr)")
    parser.add_argument(
        "--decode", choices=["none", "in-graph"], default="none", help="in-graph: give peaks and pair scores in place of maps"
    )
    parser.add_argument("--slots", metavar="K", type=int, help="peaks kept a part with --decode in-graph; default 32")
    parser.add_argument(
        "--normalise",
        choices=_NORMALISATIONS,
        help="what the pixels become; default: the network's own; for `onnx`, what its kind usually wants",
    )
    parser.add_argument(
        "--no-look",
        action="store_true",
        help="do not show the network drawn scenes under each normalisation (`onnx` only); it then takes the usual one unseen",
    )
    parser.add_argument(
        "--quantised",
        metavar="QDQ.onnx",
        type=Path,
        help="the same network as another tool quantised it (`onnx` only): the folder's INT8 graph, kept as it is",
    )
    parser.add_argument("--skeleton", metavar="NAME|FILE.json", help="default: the network's own; for `onnx`, the one that fits")
    parser.add_argument("--head", metavar="KIND", help="what the outputs are (`onnx` only); default: recognised from the graph")
    parser.add_argument(
        "--role",
        metavar="ROLE=NAME",
        action="append",
        default=[],
        help="which output is what (`onnx` only), as heatmaps=output_1; may be given again",
    )
    parser.add_argument("--class", metavar="N", type=int, dest="person_class", help="number of the class that is a person (`onnx` only)")
    parser.add_argument(
        "--strides", metavar="LIST", type=_whole_numbers, help="of raw candidates, in their order, as 8,16,32 (`onnx` only); default: found"
    )
    parser.add_argument(
        "--anchors",
        metavar="FILE",
        type=Path,
        help="anchors of an SSD (`onnx` only): .npy or .json, a row of centre x, y, width, height each, as fractions of the input",
    )
    parser.add_argument(
        "--placement",
        choices=["top-left", "centre", "stretch", "crop"],
        help="how a picture lies in the input (`onnx` only); default: as its kind wants",
    )
    parser.add_argument(
        "--opset", metavar="N", type=int, default=17, help="ONNX opset of the result (default 17, which TensorRT 8.6 reads)"
    )
    parser.add_argument("--licence", metavar="TEXT", default="", help="a note on the weights' licence, kept in the manifest")
    parser.add_argument("--force", action="store_true", help="replace the model of an existing folder")


def _whole_numbers(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(","))


_whole_numbers.__name__ = "list of strides"  # what argparse calls it in an error


def run(args: argparse.Namespace) -> int:
    """Export and say what came of it."""
    from posetrt.export.graph.camera import Camera
    from posetrt.export.graph.float16 import to_fp16
    from posetrt.export.graph.fused import with_uint8_input
    from posetrt.export.graph.onnx_model import write_folder
    from posetrt.export.heads.fuse import with_decoding
    from posetrt.runtime.errors import PosetrtError, UsageError
    from posetrt.runtime.files import check_name

    if args.list:
        _print_zoo(args.json)
        return 0
    missing = [name for name, value in (("NETWORK", args.network), ("--weights", args.weights), ("-o", args.output)) if value is None]
    if missing:
        raise UsageError(f"{' and '.join(missing)} missing: posetrt export NETWORK --weights FILE -o FOLDER, or posetrt export --list")
    for path in (args.weights, args.output):
        check_name(path.absolute())
    if args.batch < 1:
        raise UsageError(f"--batch is at least 1; got {args.batch}")
    if args.camera is not None and args.input != "uint8":
        raise UsageError("--camera puts the camera's frame into the graph as bytes: add --input uint8")
    if args.pixel_format is not None and args.camera is None:
        raise UsageError("--pixel-format is of a camera's whole frame: say its size with --camera WxH")
    if args.camera is not None and args.dynamic:
        raise UsageError("--camera places frames of one size in an input of one size: leave --dynamic out")
    if args.slots is not None and args.decode != "in-graph":
        raise UsageError("--slots says how many peaks a graph that decodes keeps a part: add --decode in-graph, or leave it out")
    model, manifest = _own_graph(args) if args.network == "onnx" else _zoo_network(args)
    if args.input == "uint8":
        camera = Camera(args.camera, args.pixel_format or "bgr") if args.camera is not None else None
        model, manifest = with_uint8_input(model, manifest, camera)
    if args.decode == "in-graph":
        model, manifest = with_decoding(model, manifest, args.slots)
    quantised = _quantised(args, model)
    fp16 = None
    try:
        fp16 = to_fp16(model)
    except PosetrtError as error:
        print(f"warning: there is no fp16 graph: {error}", file=sys.stderr)
    folder = write_folder(model, manifest, args.output, fp16=fp16, force=args.force)
    width, height = manifest.input.size_wh
    size = f"{width}x{height}" + (" ({}x{} to {}x{})".format(*manifest.input.min_wh, *manifest.input.max_wh) if args.dynamic else "")
    size += f", batch up to {args.batch}" if args.batch > 1 else ""
    if args.camera is not None:
        size += f", frames of {'x'.join(map(str, args.camera))} {manifest.input.pixel_format}"
    equal = f"; equal to {args.weights.name}" if args.network == "onnx" else ""
    print(f"{folder.onnx}: {manifest.skeleton.name}, input {size} {manifest.input.dtype}, head {manifest.head.summary()}{equal}")
    if quantised is not None:
        _adopt(folder, args.quantised or folder.onnx)
    if manifest.licence:
        print(f"licence of the weights: {manifest.licence}", file=sys.stderr)
    print(f"next: posetrt build {folder.quoted} --precision fp32", file=sys.stderr)
    return 0


def _own_graph(args: argparse.Namespace) -> tuple[Any, Any]:
    from posetrt.export.heads.anchors import read_anchors
    from posetrt.export.heads.base import Asked
    from posetrt.export.heads.user_graph import GraphOptions, model_from_onnx
    from posetrt.looking import judge_on_drawn_scenes
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.heads.paf.layout import load_layout

    roles = {}
    for given in args.role:
        role, equals, name = given.partition("=")
        if not (role and equals and name):
            raise UsageError(f"--role takes ROLE=NAME, as heatmaps=output_1; got {given!r}")
        roles[role] = name
    layout = load_layout(args.skeleton) if args.skeleton else None
    asked = Asked(
        args.head,
        layout.skeleton if layout else None,
        layout,
        roles,
        args.person_class,
        args.strides or (),
        read_anchors(args.anchors) if args.anchors else (),
    )
    options = GraphOptions(
        asked=asked,
        normalise=args.normalise,
        fit=args.placement,
        size_wh=args.input_size,
        dynamic=args.dynamic,
        batch=args.batch,
        opset=args.opset,
        licence=args.licence,
        tell=lambda line: print(line, file=sys.stderr),
        judge=None if args.no_look else judge_on_drawn_scenes,
    )
    return model_from_onnx(args.weights, options)


def _quantised(args: argparse.Namespace, model: Any) -> Foreign | None:
    """What another tool quantised, read before anything is written: --quantised, or the user's own graph itself."""
    from posetrt.calib.int8.foreign import is_quantised, read_quantised
    from posetrt.export.graph.graph import Graph

    if args.quantised is not None:
        return read_quantised(args.quantised, Graph(model, args.weights.name))
    own = args.network == "onnx" and is_quantised(Graph(model, args.weights.name))
    return read_quantised(args.weights, Graph(model, args.weights.name)) if own else None


def _adopt(folder: ModelFolder, path: Path) -> None:
    """Take INT8 graphs from another tool's, and say what they are."""
    from posetrt.calib.int8.foreign import adopt

    found = adopt(folder, path)
    print(
        f"int8: {path.name} as it is: {found.activations} activations and {found.weights} weights rounded, {len(found.inside)} layers in INT8; "
        f"next: posetrt build {folder.quoted} --precision int8",
        file=sys.stderr,
    )
    for reason in found.refused:
        print(f"warning: only ONNX Runtime runs it: {reason}", file=sys.stderr)


def _zoo_network(args: argparse.Namespace) -> tuple[Any, Any]:
    from posetrt.export.weights.from_weights import model_from_weights
    from posetrt.export.weights.zoo import find_network
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.heads.paf.layout import load_layout

    network = find_network(args.network)
    own = [
        name
        for name, value in (
            ("--role", args.role),
            ("--head", args.head),
            ("--class", args.person_class),
            ("--strides", args.strides),
            ("--anchors", args.anchors),
            ("--placement", args.placement),
            ("--quantised", args.quantised),
        )
        if value not in (None, [])
    ]
    if own:
        raise UsageError(f"{' and '.join(own)} describe a graph of your own; a network of the zoo knows its own")
    return model_from_weights(
        network,
        args.weights,
        size_wh=args.input_size,
        dynamic=args.dynamic,
        batch=args.batch,
        layout=load_layout(args.skeleton) if args.skeleton else None,
        normalisation=args.normalise,
        opset=args.opset,
        licence=args.licence,
    )


def _print_zoo(as_json: bool) -> None:
    from posetrt.export.weights.zoo import cost_of, find_network, names

    rows = []
    for name in names():
        network = find_network(name)
        rows.append(
            {
                "network": name,
                "skeleton": network.skeleton,
                "size": "{}x{}".format(*network.size_wh),
                **asdict(cost_of(name)),
                "normalisation": network.normalisation,
                "file": network.file,
                "urls": list(network.urls),
                "licence": network.licence,
            }
        )
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'network':<22} {'skeleton':<10} {'parameters':>11} {'GFLOPs':>7}  {'at':<8} {'normalise':<10} weights")
    for row in rows:
        print(
            f"{row['network']:<22} {row['skeleton']:<10} {row['parameters'] / 1e6:>9.1f} M {row['gflops']:>7.1f}  {row['size']:<8} "
            f"{row['normalisation']:<10} {row['file']}\n{'':<23}{row['urls'][0] if row['urls'] else 'ships with posetrt'}\n{'':<23}{row['licence']}"
        )
