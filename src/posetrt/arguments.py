"""Arguments that several commands take, in one wording."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from posetrt.runtime.engines.choose import BACKENDS, EngineOptions

if TYPE_CHECKING:
    from posetrt.runtime.pose import PoseOptions


def add_backend_argument(parser: argparse.ArgumentParser) -> None:
    """`--backend`: "auto" or one of the libraries that run engines; another word is wrong usage."""
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="default: the best that this device has")


def size_wh(text: str) -> tuple[int, int]:
    """`456x256` → (456, 256)."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write WIDTHxHEIGHT, as in 456x256")
    return int(width), int(height)


def add_hands_and_face_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the second look at hands and faces."""
    group = parser.add_argument_group("hands and face")
    for name, parts in (("hands", "21 parts a hand"), ("face", "70 parts")):
        group.add_argument(f"--{name}", metavar="FOLDER", type=Path, help=f"look at {name} too, with this network of {parts}")
        group.add_argument(f"--{name}-precision", choices=["fp32", "fp16", "int8"], help="default: the folder's")


def scales(text: str) -> tuple[float, ...]:
    """`0.7,1,1.3` → (0.7, 1.0, 1.3)."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of scales; write them as in 0.7,1,1.3") from error


def engine_options(args: argparse.Namespace, precision: str | None = None) -> EngineOptions:
    """Which engine the options ask for; `precision` where it is not the options' own."""
    own = getattr(args, "precision", None)
    chosen = precision or (own if isinstance(own, str) else None)
    return EngineOptions(chosen, args.backend, args.threads, args.trust, args.cuda_graph)


def pose_options(args: argparse.Namespace) -> PoseOptions:
    """How the options ask for networks to be opened."""
    from posetrt.runtime.pose import PoseOptions

    names = ("boxes", "grow", "hands", "face", "hands_precision", "face_precision")
    given = {name: value for name in names if (value := getattr(args, name, None)) is not None}
    return PoseOptions(engine=engine_options(args), preset=args.preset, scales=getattr(args, "scales", None) or (1.0,), **given)
