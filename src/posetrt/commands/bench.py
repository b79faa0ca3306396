"""Measure a network: fps, latency, memory and, with annotated photographs, accuracy; a row a precision.

  posetrt bench person/ --source clip.mp4
  posetrt bench person/ --source clip.mp4 --coco person_keypoints.json --images photos/ --chart bench.png

All precisions run in one process, in interleaved rounds, so that the rows compare. "network" is the network alone;
"end-to-end" is decoding, letterbox, network and parser, overlapped as `posetrt run` works; p50 and p99 are the latency
of one frame at a time.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from posetrt.commands.run import add_engine_arguments

SUMMARY = "fps, latency, memory and accuracy per precision"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt bench`."""
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a model folder, a bare .onnx, or an engine")
    parser.add_argument("--source", metavar="PHOTO|DIR|VIDEO", required=True, help="frames to time with")
    parser.add_argument(
        "--precision", choices=["fp32", "fp16", "int8"], action="append", help="may be given again; default: all that were built"
    )
    parser.add_argument("--frames", type=int, default=60, metavar="N", help="frames a round (default 60)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="interleaved rounds (default 3)")
    parser.add_argument("--coco", metavar="ANNOTATIONS", type=Path, help="COCO key points: adds AP (with --images)")
    parser.add_argument("--images", metavar="DIR", type=Path, help="the photographs that --coco names")
    parser.add_argument("--json", action="store_true", help="the report for machines, on stdout")
    parser.add_argument("--chart", metavar="FILE.png", type=Path, help="the table as a picture")
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from posetrt.runtime.benchmark import measure, precisions_of, table, with_accuracy
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.pose import open_pose
    from posetrt.runtime.sources import open_source

    if (args.coco is None) != (args.images is None):
        raise UsageError("--coco and --images go together: the annotations, and the folder with their photographs")
    if args.frames < 1 or args.rounds < 1:
        raise UsageError(f"--frames and --rounds must be at least 1; got {args.frames} and {args.rounds}")
    precisions = precisions_of(args.folder, args.precision, args.backend)

    def progress(line: str) -> None:
        print(line, file=sys.stderr)

    report = measure(
        args.folder,
        open_source(args.source),
        Path(args.source).name,
        precisions=precisions,
        backend=args.backend,
        threads=args.threads,
        frames=args.frames,
        rounds=args.rounds,
        progress=progress,
    )
    if args.coco:
        from posetrt.calib.accuracy import coco_accuracy, coco_photos, coco_results

        photos = coco_photos(args.coco, args.images)
        rows = []
        for precision, row in zip(precisions, report.results, strict=True):
            progress(f"accuracy on {len(photos)} photographs: {row.precision}")
            with open_pose(args.folder, precision, args.backend, preset=args.preset, threads=args.threads) as pose:
                accuracy = coco_accuracy(coco_results(pose, photos), photos)
            rows.append(with_accuracy(row, accuracy.ap, accuracy.ap50))
        report = replace(report, results=tuple(rows))
    if args.chart:
        from posetrt.calib.charts import bench_chart

        bench_chart(report, args.chart)
    print(json.dumps(report.to_dict(), indent=1) if args.json else table(report))
    return 0
