"""Measure ids and following on drawn walkers, whose truth is known. Needs no network and no camera.

  posetrt bench-track
  posetrt bench-track --only switches --sequences 4

switches: ids that change, per 1,000 person-frames, with a still and with a moving camera, without and with --camera-motion and --appearance.
follow: errors of bearing and distance of people who stand 2 to 15 m away. recovery: whether the right person is followed again after 2 s
behind a wall. cost: CPU time of a frame with five people. Takes some minutes; prints JSON.
"""

from __future__ import annotations

import argparse
import json
import sys

SUMMARY = "what ids and following are worth: switches, bearing, distance, recovery, cost"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt bench-track`."""
    parser.add_argument(
        "--only", choices=["switches", "follow", "recovery", "cost"], action="append", help="may be given again; default: all"
    )
    parser.add_argument("--sequences", type=int, default=8, metavar="N", help="how many are drawn of each kind (default: 8)")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from posetrt.bench.track_benchmark import PARTS
    from posetrt.runtime.errors import UsageError

    if args.sequences < 1:
        raise UsageError(f"--sequences takes 1 or more, not {args.sequences}")
    report = {}
    for name in args.only or PARTS:
        print(f"measuring {name}", file=sys.stderr)
        report[name] = PARTS[name](args.sequences)
    print(json.dumps(report, indent=1))
    return 0
