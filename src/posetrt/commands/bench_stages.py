"""Measure two stages on a clip: detection in each frame beside detection in every few, frame by frame in turns.

  posetrt bench-stages pose/ --detector det/ --source clip.mp4 --detect-every 5 --threads 1

Rates are of processor time: with --threads 1 other programs do not count. "found": the share of the people of detection in each frame that
are also found in the same frame by detection in every few; "sure": of the better half of them by score. Detectors flicker at their threshold,
and whoever is shown for one frame alone is rarely seen by a detector that rests.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from posetrt.arguments import add_engine_arguments, add_json_argument, add_network_arguments, engine_options, network_path

SUMMARY = "what --detect-every finds and saves on a clip"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt bench-stages`."""
    add_network_arguments(parser, "a network for crops: a model folder, a bare .onnx or an engine")
    parser.add_argument("--detector", metavar="FOLDER", type=network_path, required=True, help="the network that says where people are")
    parser.add_argument("--detector-score", metavar="SCORE", type=float, help="least score of a person of the detector")
    parser.add_argument("--source", metavar="FILE", required=True, help="a clip")
    parser.add_argument("--detect-every", metavar="N", type=int, default=5, help="frames between two detections (default: %(default)s)")
    parser.add_argument("--frames", metavar="N", type=int, default=0, help="the first N frames alone")
    add_json_argument(parser)
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from dataclasses import replace
    from itertools import islice

    from posetrt.bench.stages_benchmark import bench_stages
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.find.detected import Detected
    from posetrt.runtime.find.top_down import open_top_down
    from posetrt.runtime.find.whole_frame import open_detector
    from posetrt.runtime.heads.base import DecodeOptions
    from posetrt.runtime.sources import open_source

    if args.detect_every < 2:
        raise UsageError("--detect-every takes 2 or more: detection in each frame is what it is measured beside")
    source = open_source(args.source)
    if source.live or not source.fps:
        raise UsageError(f"--source takes a clip, whose frames come as fast as they are looked at; {args.source} is none")
    options = engine_options(args)
    decoding = DecodeOptions("balanced", args.detector_score)
    with (
        open_detector(args.detector, replace(options, precision=None), decoding) as detector,
        open_top_down(args.folder, options) as network,
    ):
        frames = islice(source, args.frames or None)
        rows = bench_stages(frames, detector, Detected(network), args.detect_every)
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return 0
    print(f"{'every':>5} {'frames':>6} {'people':>6} {'crops':>6} {'detections':>10} {'fps':>7} {'ratio':>6} {'found':>6} {'sure':>6}")
    first = rows[0].cpu_s / max(rows[0].frames, 1)
    for row in rows:
        each = row.cpu_s / max(row.frames, 1)
        print(
            f"{row.every:>5} {row.frames:>6} {row.people:>6} {row.crops:>6} {row.detections:>10} {1 / max(each, 1e-9):>7.1f} "
            f"{first / max(each, 1e-9):>6.2f} {row.found:>6.3f} {row.found_sure:>6.3f}"
        )
    return 0
