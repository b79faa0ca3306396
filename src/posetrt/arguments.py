"""Arguments that several commands take, in one wording."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from posetrt.runtime.engines.base import PRECISIONS
from posetrt.runtime.engines.choose import BACKENDS, EngineOptions

if TYPE_CHECKING:
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.find.tiles import Tiles
    from posetrt.runtime.pose import PoseOptions


def add_backend_argument(parser: argparse.ArgumentParser) -> None:
    """`--backend`: "auto" or one of the libraries that run engines; another word is wrong usage."""
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="default: the best that this device has")


def add_network_arguments(parser: argparse.ArgumentParser, folder: str = "a model folder, a bare .onnx, an engine, or nano") -> None:
    """FOLDER and `--precision`, of commands that run one network at one precision; `folder` is the help of the first."""
    parser.add_argument("folder", metavar="FOLDER", type=network_path, help=folder)
    parser.add_argument("--precision", choices=PRECISIONS, help="default: the folder's, else fp16 on a GPU and fp32 on a CPU")


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """`--json`, of commands that print tables."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")


_WEIGHTS = (".pt", ".pth", ".caffemodel", ".npz", ".safetensors", ".tflite", ".h5", ".pb")
"""Files of trained weights, which no engine runs."""


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that choose an engine, common to all commands that run one."""
    add_backend_argument(parser)
    parser.add_argument("--trust", action="store_true", help="let a version-compatible TensorRT engine run the code that it carries")
    parser.add_argument(
        "--cuda-graph",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="launch TensorRT's network as one CUDA graph where its engine allows that (default: yes)",
    )
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads of the network (default: all cores)")
    parser.add_argument(
        "--preset",
        choices=["balanced", "precise", "all"],
        default="balanced",
        help="what counts as a person: precise leaves out doubtful ones, all keeps them (default: balanced)",
    )


def network_path(text: str) -> Path:
    """A model folder, .onnx or engine by its path, a network on a server, or a network by its name: a folder of that name, else one that ships.

    Raises:
        UsageError: there is nothing of that name, or something that is no network: says what makes one.
    """
    from posetrt.runtime.engines.triton import is_remote
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.model.shipped import network_folder
    from posetrt.usage import is_source

    path = network_folder(text)
    if path.is_dir() or is_remote(text):
        return path
    if is_source(text):
        raise UsageError(f"{text} stands where a network is expected; people in it are found by: posetrt run --source {text}")
    if path.suffix.lower() in _WEIGHTS:
        raise UsageError(
            f"{text} holds weights, and a model folder is made of them first",
            "  of a network of the zoo (posetrt export --list): posetrt export NETWORK --weights FILE -o FOLDER",
            "  of any other: export it to ONNX with the tool that trained it, then: posetrt export onnx --weights FILE.onnx -o FOLDER",
        )
    if not path.exists() and not {"/", "\\", "."} & set(text):
        raise _no_network_of_that_name(text)
    return path


def for_workers(path: Path) -> Path:
    """The path as other processes and machines find it: absolute, but for a network on a server."""
    from posetrt.runtime.engines.triton import is_remote

    return path if is_remote(path) else path.absolute()


def _no_network_of_that_name(name: str) -> UsageError:
    from difflib import get_close_matches

    from posetrt.export.weights.zoo import find_network, names
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.model.shipped import SHIPPED

    if name in names():
        return UsageError(
            f"{name} is a network of the zoo, and its model folder is not here yet. Make it with:",
            f"  posetrt fetch {name}",
            f"  posetrt export {name} --weights weights/{find_network(name).file} -o {name}/",
            f"  posetrt build {name}/",
        )
    near = get_close_matches(name.lower(), [*SHIPPED, *names()], 1)
    return UsageError(
        f"there is no model folder {name} here, and no network of that name"
        + (
            f"; did you mean {near[0]}?"
            if near
            else f"; {' and '.join(SHIPPED)} ships with posetrt, and posetrt export --list shows the zoo"
        ),
        f"  to make the folder of a network of your own: posetrt export onnx --weights {name}.onnx -o {name}/",
    )


def size_wh(text: str) -> tuple[int, int]:
    """`456x256` → (456, 256)."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write WIDTHxHEIGHT, as in 456x256")
    return int(width), int(height)


def add_hands_and_face_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the second look at hands and faces."""
    group = parser.add_argument_group("hands and face")
    for name, what in (
        ("hands", "hands too, with this network of 21 parts per hand"),
        ("face", "faces too, with this network of 70 parts"),
    ):
        group.add_argument(f"--{name}", metavar="FOLDER", type=network_path, help=f"look at {what}")
        group.add_argument(f"--{name}-precision", choices=PRECISIONS, help="default: the folder's")


def add_detector_arguments(parser: argparse.ArgumentParser, *, follow: bool) -> None:
    """The options of two stages; those of following people between detections where frames are a scene."""
    group = parser.add_argument_group("two stages: a detector finds the people, FOLDER finds the parts of each")
    group.add_argument("--detector", metavar="FOLDER", type=network_path, help="a detector, or any network that finds everybody in a frame")
    group.add_argument("--detector-precision", choices=PRECISIONS, help="default: the folder's")
    group.add_argument(
        "--detector-score", metavar="SCORE", type=float, help="people whom the detector is less sure of are left out (0 to 1)"
    )
    if follow:
        group.add_argument(
            "--detect-every",
            metavar="N",
            type=int,
            help="detect in every N-th frame, and when somebody is lost; in between, people are followed (default 1)",
        )


def add_tiles_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of small people in large frames."""
    group = parser.add_argument_group("small people: look at tiles of each frame too")
    group.add_argument(
        "--tiles", metavar="CxR", help="cut each frame into C columns and R rows, as in 2x2; with --detector the detector looks at them"
    )
    group.add_argument("--tile-overlap", metavar="SHARE", type=float, help="share of a tile that its neighbour shows too (default 0.2)")


def tiles_of(args: argparse.Namespace) -> Tiles | None:
    """How frames are cut, if at all.

    Raises:
        UsageError: no such tiles, or an overlap without them.
    """
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.find.tiles import OVERLAP, tiles_from

    if args.tile_overlap is not None and args.tiles is None:
        raise UsageError("--tile-overlap says how the tiles of --tiles lie: give that too")
    return None if args.tiles is None else tiles_from(args.tiles, OVERLAP if args.tile_overlap is None else args.tile_overlap)


def check_detector(args: argparse.Namespace) -> None:
    """Raises: UsageError: options of a detector without one, or with values that they cannot have."""
    from posetrt.runtime.errors import UsageError

    alone = [
        f"--{name.replace('_', '-')}"
        for name in ("detector_precision", "detector_score", "detect_every")
        if getattr(args, name, None) is not None
    ]
    if alone and args.detector is None:
        raise UsageError(f"{' and '.join(alone)}: give --detector too, the network that finds the people")
    if args.detector_score is not None and not 0 <= args.detector_score <= 1:
        raise UsageError(f"--detector-score lies between 0 and 1; got {args.detector_score:g}")
    if getattr(args, "detect_every", None) is not None and args.detect_every < 1:
        raise UsageError(f"--detect-every is 1 or more: 5 detects in every fifth frame; got {args.detect_every}")


def scales(text: str) -> tuple[float, ...]:
    """`0.7,1,1.3` → (0.7, 1.0, 1.3)."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of scales; write them as in 0.7,1,1.3") from error


def engine_options(args: argparse.Namespace, precision: str | None = None) -> EngineOptions:
    """Which engine the options ask for; `precision` where it is not the options' own.

    Raises:
        UsageError: fewer threads than none.
    """
    from posetrt.runtime.errors import UsageError

    if args.threads < 0:
        raise UsageError(f"--threads is 1 or more, or 0 for all cores; got {args.threads}")
    own = getattr(args, "precision", None)
    chosen = precision or (own if isinstance(own, str) else None)
    return EngineOptions(chosen, args.backend, args.threads, args.trust, args.cuda_graph)


def pose_options(args: argparse.Namespace) -> PoseOptions:
    """How the options ask for networks to be opened."""
    from posetrt.runtime.pose import PoseOptions

    detector = ("detector", "detector_precision", "detector_score", "detect_every")
    names = ("boxes", *detector, "tiles", "tile_overlap", "grow", "hands", "face", "hands_precision", "face_precision")
    given = {name: value for name in names if (value := getattr(args, name, None)) is not None}
    return PoseOptions(engine=engine_options(args), preset=args.preset, scales=getattr(args, "scales", None) or (1.0,), **given)
