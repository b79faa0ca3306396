"""Measure the live runtime: what the whole pipeline gives of its slowest stage, the age of results, fair shares, viewers of the page.

  posetrt bench-live person/ --source clip.mp4
  posetrt bench-live person/ --source clip.mp4 --only age --frames 20000

overlap: a file's frames, five runs: the busy time of the limiting stage over the wall time. age: the clip paced at 120 fps. shares:
four such sources at once, one of which ends half way. viewers: 10 that read the web page and 190 that do not, in turns with none.
Each takes about a minute, and --only asks for one of them. Frames are held in memory. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import islice

from posetrt.arguments import add_engine_arguments, add_network_arguments, pose_options

SUMMARY = "what the live pipeline gives: overlap, age, drops, fair shares, viewers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt bench-live`."""
    add_network_arguments(parser)
    parser.add_argument("--source", metavar="PHOTO|DIR|VIDEO", required=True, help="its first 64 frames are used over and over")
    parser.add_argument("--only", choices=["overlap", "age", "shares", "viewers"], action="append", help="may be given again; default: all")
    parser.add_argument("--frames", type=int, default=1200, metavar="N", help="frames of `age` (default 1200; 20000 for memory)")
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from posetrt.bench.live_benchmark import PARTS, described
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.pose import open_pose
    from posetrt.runtime.sources import open_source

    if args.frames < 1:
        raise UsageError(f"--frames takes 1 or more frames, not {args.frames}")
    frames = tuple(islice(open_source(args.source), 64))
    parts = {}
    with open_pose(args.folder, pose_options(args)) as pose:
        for name in args.only or PARTS:
            print(f"measuring {name}", file=sys.stderr)
            given = {"count": args.frames} if name == "age" else {}
            parts[name] = PARTS[name](pose, frames, **given)
        print(json.dumps(described(pose, parts), indent=1))
    return 0
