"""Make a model folder of a trained network.

Your own network, as the tool that trained it writes ONNX (Ultralytics, mmdeploy, torch.onnx, tf2onnx, ...):

  posetrt export onnx --weights yolo11n-pose.onnx -o person/

A published network of the OpenPose family, from its own weight file (`--list` shows them, `posetrt fetch` downloads them):

  posetrt export openpose-body25 --weights weights/pose_iter_584000.caffemodel -o person/

Of an ONNX file, export finds out what the outputs mean and shows the network drawn people, to check how it wants its pixels. It prints what
it assumed, with the option that says otherwise; what nothing tells, it asks for. The exported graph is compared with the original on random
input, and nothing is written if they differ.

On a GPU, `--input uint8 --decode in-graph` saves copies: the graph takes the camera's bytes, and gives the best candidates in place of all
maps or rows.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posetrt.arguments import size_wh
from posetrt.export.graph.normalisation import NORMALISATIONS

if TYPE_CHECKING:
    from posetrt.calib.int8.foreign import Foreign
    from posetrt.runtime.model.folder import ModelFolder

_FILES = (".onnx", ".caffemodel", ".pth", ".pt", ".npz", ".safetensors")
"""What a file of weights is called, and no network."""

SUMMARY = "trained weights to a model folder with model.onnx"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt export`."""
    parser.add_argument("network", metavar="NETWORK", nargs="?", help="`onnx` for your own graph, or a name that --list shows")
    parser.add_argument("--list", action="store_true", help="show the published networks and stop")
    parser.add_argument("--json", action="store_true", help="with --list: print JSON instead of the table")
    parser.add_argument("--weights", metavar="FILE", type=Path, help="the trained network: .onnx; or .caffemodel, .pth, .npz, .safetensors")
    parser.add_argument("-o", "--output", metavar="FOLDER", type=Path, help="the model folder to make")
    parser.add_argument("--force", action="store_true", help="replace the model of an existing folder")
    parser.add_argument(
        "--input-size",
        metavar="WxH",
        type=size_wh,
        help="width x height of the network's input; default: the network's own",
    )
    parser.add_argument("--dynamic", action="store_true", help="leave the size open, from half to twice --input-size")
    parser.add_argument(
        "--batch",
        metavar="N",
        type=int,
        default=1,
        help="take up to N pictures at once: crops of several people, frames of several cameras",
    )
    parser.add_argument(
        "--opset", metavar="N", type=int, default=17, help="ONNX opset of the result (default 17, which TensorRT 8.6 reads)"
    )
    parser.add_argument("--licence", metavar="TEXT", default="", help="a note on the weights' licence, kept in the manifest")
    means = parser.add_argument_group("what the input and outputs mean, where export is wrong or asks")
    means.add_argument(
        "--normalise",
        choices=NORMALISATIONS,
        help="how the network wants its pixels (docs/reference/normalisations.md); default: as its kind usually does",
    )
    means.add_argument("--skeleton", metavar="NAME|FILE.json", help="names of the parts; default: the built-in skeleton that fits")
    own = parser.add_argument_group("the same, for NETWORK `onnx` alone")
    own.add_argument("--head", metavar="KIND", help="what the outputs are (docs/reference/heads.md); default: recognised")
    own.add_argument(
        "--role",
        metavar="ROLE=OUTPUT",
        action="append",
        default=[],
        help="which output is what, as heatmaps=output_1; may be given again",
    )
    own.add_argument(
        "--placement", choices=["top-left", "centre", "stretch", "crop"], help="how a picture lies in the input; default: as its kind wants"
    )
    own.add_argument("--class", metavar="N", type=int, dest="person_class", help="number of the class that is a person, counted from 0")
    own.add_argument("--strides", metavar="LIST", type=_whole_numbers, help="of raw candidates, in their order, as 8,16,32; default: found")
    own.add_argument(
        "--anchors",
        metavar="FILE",
        type=Path,
        help="anchors of an SSD: .npy or .json, one row of centre x, y, width, height each, as fractions of the input",
    )
    own.add_argument(
        "--no-look",
        action="store_true",
        help="do not try the normalisation on drawn people; the usual one is taken unseen",
    )
    own.add_argument(
        "--quantised",
        metavar="QDQ.onnx",
        type=Path,
        help="the same network as another tool quantised it: becomes the folder's INT8 graph, as it is",
    )
    inside = parser.add_argument_group("work that the graph does itself, for a GPU")
    inside.add_argument(
        "--input", choices=["float", "uint8"], default="float", help="uint8: take the camera's bytes, (1, H, W, 3) BGR (default: float)"
    )
    inside.add_argument(
        "--camera",
        metavar="WxH",
        type=size_wh,
        help="with --input uint8: take whole frames of this size, and scale them in the graph",
    )
    inside.add_argument("--pixel-format", choices=["bgr", "nv12"], help="of the frames of --camera (default: bgr)")
    inside.add_argument(
        "--decode",
        choices=["none", "in-graph"],
        default="none",
        help="in-graph: give the best peaks, rows or points in place of all maps, rows or bins (default: none)",
    )
    inside.add_argument(
        "--slots", metavar="K", type=int, help="with --decode in-graph: peaks kept per part (default 32), or rows in all (default 300)"
    )


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
    from posetrt.runtime.files import check_name, check_writable

    if args.list:
        _print_zoo(args.json)
        return 0
    if args.network is not None and Path(args.network).suffix.lower() in _FILES:
        network = "onnx" if args.network.lower().endswith(".onnx") else "NETWORK"
        raise UsageError(
            f"{args.network} stands where `onnx` or the name of a published network is expected; write: "
            f"posetrt export {network} --weights {args.network} -o {args.output or 'FOLDER'}"
        )
    if args.network is not None and args.network != "onnx":
        _check_zoo(args)
    missing = [name for name, value in (("NETWORK", args.network), ("--weights", args.weights), ("-o", args.output)) if value is None]
    if missing:
        raise UsageError(f"{' and '.join(missing)} missing: posetrt export NETWORK --weights FILE -o FOLDER, or posetrt export --list")
    for path in (args.weights, args.output):
        check_name(path.absolute())
    check_writable(args.output.absolute())
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


def _check_zoo(args: argparse.Namespace) -> None:
    """Raises: UsageError: the zoo has no such network, or its weights were not given: says where they are."""
    from posetrt.export.weights.zoo import find_network
    from posetrt.runtime.errors import UsageError

    network = find_network(args.network)
    if args.weights is not None:
        return
    if not network.urls:
        raise UsageError(
            f"{network.name} ships with posetrt as a model folder, so there is nothing to export. Use it by its name: posetrt run {network.name} "
            "--source photo.jpg --write-images out/. To export weights of your own training: --weights FILE"
        )
    output = shlex.quote(str(args.output)) if args.output else f"{network.name}/"
    raise UsageError(
        f"--weights missing: the trained file of {network.name}. Download it, and export again:",
        f"  posetrt fetch {network.name}",
        f"  posetrt export {network.name} --weights weights/{network.file} -o {output}",
    )


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
