"""The options of `posetrt run`, and which of them go together."""

from __future__ import annotations

import argparse
from pathlib import Path

from posetrt.arguments import (
    add_detector_arguments,
    add_engine_arguments,
    add_hands_and_face_arguments,
    add_tiles_arguments,
    check_detector,
    network_path,
    scales,
    tiles_of,
)
from posetrt.following import add_follow_arguments, check_follow
from posetrt.runtime.engines.base import PRECISIONS
from posetrt.runtime.sources.picture_header import MOST_MEGAPIXELS

_FILES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".json", ".mp4"})
"""What a folder is hardly called."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt run`."""
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        nargs="?",
        type=network_path,
        help="a model folder, a bare .onnx, an engine, or a network's name; default: the one that ships",
    )
    parser.add_argument(
        "--engine", metavar="triton://HOST:PORT/NAME", help="a network on a Triton server, in place of FOLDER (?shm=off: no shared memory)"
    )
    parser.add_argument("--source", metavar="SOURCE", action="append", help="see above; may be given again")
    parser.add_argument("--precision", choices=PRECISIONS, help="default: the folder's, else fp16 on a GPU and fp32 on a CPU")
    parser.add_argument("--build", action="store_true", help="build the engine first where none fits this device")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    add_engine_arguments(parser)
    _add_reading(parser.add_argument_group("reading sources"))
    _add_writing(parser.add_argument_group("what is written"))
    _add_live(parser.add_argument_group("live view and health, over HTTP"))
    _add_ids(parser.add_argument_group("ids and events"))
    add_follow_arguments(parser)
    add_detector_arguments(parser, follow=True)
    boxes = parser.add_argument_group("a network for one person (any top-down network)")
    boxes.add_argument(
        "--boxes",
        metavar="whole|FILE",
        help="where the people are: the whole frame; or a tracker's or detector's file (MOTChallenge's .txt, COCO's .json)",
    )
    boxes.add_argument("--scales", metavar="S,S,...", type=scales, help="look at each box at these scales and take the mean: 0.7,1,1.3")
    boxes.add_argument("--grow", metavar="FACTOR", type=float, help="crop so much wider than the box (default 1.25; cpm-person 1.57)")
    add_tiles_arguments(parser)
    add_hands_and_face_arguments(parser)


def _add_reading(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--wait",
        action="store_true",
        help="wait for each camera or stream that is not there yet; without it, five tries in vain are an error",
    )
    group.add_argument(
        "--max-megapixels", metavar="N", type=float, default=MOST_MEGAPIXELS, help="refuse larger pictures before decoding (default: 100)"
    )
    group.add_argument(
        "--frame-size",
        choices=["auto", "full"],
        default="auto",
        help="full: decode every picture in full; auto (default): smaller, where the network needs no more and nothing shows or crops it. Key "
        "points are in pixels of the source either way",
    )


def _add_writing(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--write-images", metavar="DIR", type=Path, help="annotated pictures")
    group.add_argument("--image-format", choices=["jpg", "png"], help="of --write-images (default: jpg)")
    group.add_argument("--write-video", metavar="FILE", type=Path, help="annotated video, .mp4 or .avi; of several sources one file each")
    group.add_argument("--show", action="store_true", help="show the annotated frames in a window; q or Esc ends the run")
    group.add_argument(
        "--draw", metavar="WHAT", default="people", help="what pictures show: people, or a map of the network (heatmaps, pafs)"
    )
    group.add_argument(
        "--jsonl", metavar="FILE|-|unix:PATH", help="one line of JSON per frame; unix: serves any number of readers at a socket"
    )
    group.add_argument("--write-csv", metavar="FILE", type=Path, help="one row per key point")
    group.add_argument("--write-json", metavar="DIR", type=Path, help="OpenPose's JSON, one file per frame")
    group.add_argument("--write-coco", metavar="FILE", type=Path, help="COCO's result format, for one source")
    group.add_argument(
        "--sink",
        metavar="NAME=ARGUMENT",
        action="append",
        default=[],
        help="mqtt=ADDRESS, mcap=FILE, rerun=FILE (docs/how-to/mqtt.md, foxglove.md, rerun.md), or a sink that another package adds; may be given again",
    )
    group.add_argument(
        "--overwrite", action="store_true", help="remove what an earlier run left in the folders of --write-json and --write-images first"
    )


def _add_live(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--web", metavar="[HOST:]PORT", help="live picture and figures as a web page; this computer only, unless HOST is given"
    )
    group.add_argument(
        "--status-port", metavar="[HOST:]PORT", help="/health and Prometheus' /metrics; this computer only, unless HOST is given"
    )
    group.add_argument(
        "--web-token",
        metavar="TOKEN",
        help="what readers of --web and --status-port must send; needed where HOST is given; better in the environment as POSETRT_WEB_TOKEN",
    )


def _add_ids(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--no-track", action="store_true", help="no person ids (photographs never have any)")
    group.add_argument("--smooth", action="store_true", help="smooth key points with a One-Euro filter")
    group.add_argument("--camera-motion", action="store_true", help="keep ids while the camera moves, by optical flow (a few ms per frame)")
    group.add_argument("--appearance", action="store_true", help="keep ids when people cross, by the colours of torso and legs as well")
    group.add_argument(
        "--events", metavar="RULES.toml", type=Path, help="look for events: raised hands, falls, lines crossed, ... (docs/how-to/events.md)"
    )
    group.add_argument(
        "--write-events", metavar="FILE|-|unix:PATH", help="one line of JSON per event; unix: serves any number of readers at a socket"
    )


def check(args: argparse.Namespace) -> None:
    """Raises: UsageError: options that do not go together."""
    from posetrt.runtime.errors import UsageError

    second = [f"--{name}" for name in ("hands", "face") if getattr(args, name)]
    if args.boxes and second:
        raise UsageError(f"{' and '.join(second)} need a network that finds everybody; --boxes is for one that looks at one person per box")
    alone = [f"--{name}" for name in ("scales", "grow") if getattr(args, name) is not None]
    if alone and not (args.boxes or args.detector):
        raise UsageError(
            f"{' and '.join(alone)}: give --boxes too (--boxes whole for the frame itself) or --detector, since people are looked at in boxes"
        )
    check_detector(args)
    tiles_of(args)
    if args.tiles and args.boxes:
        raise UsageError(
            "--tiles are of a network that looks at whole frames, and --boxes says where the people are: leave one of them out"
        )
    if args.boxes and args.detector:
        raise UsageError("--boxes and --detector both say where the people are: leave one of them out")
    if (args.boxes or args.detector) and args.draw != "people":
        raise UsageError(f"--draw {args.draw} shows a map of a whole frame; people in boxes are drawn as people")
    if args.boxes and len(args.source) > 1 and args.boxes != "whole":
        raise UsageError(f"--boxes {args.boxes} names the boxes of one source; run each source with its own file")
    if not 0 < args.max_megapixels <= 1000:
        raise UsageError(f"--max-megapixels lies between 0 and 1000, OpenCV's own limit; got {args.max_megapixels:g}")
    check_follow(args)
    if args.smooth and args.no_track:
        raise UsageError("--smooth follows each person by its id, and --no-track gives none: leave one of them out")
    if args.events and args.no_track:
        raise UsageError("--events follows each person by its id, and --no-track gives none: leave one of them out")
    if args.write_events and not args.events:
        raise UsageError("--write-events writes what --events looks for: give a rules file too")
    if args.write_events == "-" and args.jsonl == "-":
        raise UsageError("--jsonl and --write-events both write to standard output, and --jsonl has the events too: leave one of them out")
    if args.draw != "people" and not (args.write_images or args.write_video or args.show):
        raise UsageError(f"--draw {args.draw} says what pictures and video show: give --write-images, --write-video or --show too")
    if args.image_format and not args.write_images:
        raise UsageError("--image-format is of the pictures of --write-images: give that too")
    if args.web_token and not (args.web or args.status_port):
        raise UsageError("--web-token is asked of those who read --web and --status-port: give that too")
    _check_places(args)
    for name in ("hands", "face"):
        if getattr(args, f"{name}_precision") and not getattr(args, name):
            raise UsageError(f"--{name}-precision says how the network of --{name} runs: give that too")


def _check_places(args: argparse.Namespace) -> None:
    """Raises: UsageError: two results would go to one file, or a result over a source or among its photographs."""
    from posetrt.runtime.errors import UsageError

    lines, events = (None if given in (None, "-") or given.startswith("unix:") else given for given in (args.jsonl, args.write_events))
    files = {
        name: Path(path).absolute()
        for name, path in (
            ("--write-coco", args.write_coco), ("--jsonl", lines), ("--write-events", events), ("--write-csv", args.write_csv),
            ("--write-video", args.write_video),
        )
        if path is not None and not Path(path).is_char_device()
    }  # fmt: skip
    seen: dict[Path, str] = {}
    for name, path in files.items():
        if path.is_dir():
            raise UsageError(f"{name} writes a file, and {path} is a folder; give a name in it")
        if path in seen:
            raise UsageError(f"{seen[path]} and {name} both write {path}; give each a file of its own")
        seen[path] = name
    for name, folder in (("--write-images", args.write_images), ("--write-json", args.write_json)):
        if folder is not None and folder.suffix.lower() in _FILES and not folder.is_dir():
            raise UsageError(f"{name} writes a file per frame into a folder, and {folder} looks like a file; give a folder, as out/")
    for source in args.source:
        given = Path(source.removeprefix("paced:").partition("?")[0]) if source.startswith("paced:") else Path(source)
        for name, path in files.items():
            if given.is_file() and path.exists() and path.samefile(given):
                raise UsageError(f"{name} would write over the source {given}; give another file")
        if args.write_images is not None and given.is_dir() and args.write_images.is_dir() and args.write_images.samefile(given):
            raise UsageError(
                f"--write-images {given} is the source too, and its pictures would be photographs of the next run; give another folder"
            )
