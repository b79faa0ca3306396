"""Measure accuracy: OKS AP, AP50, AP75 and AR by pycocotools, a row a precision.

posetrt eval person/ --coco person_keypoints.json --images photos/
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from posetrt.commands.run import add_engine_arguments

SUMMARY = "accuracy per precision on annotated photographs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt eval`."""
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a model folder, a bare .onnx, or an engine")
    parser.add_argument("--coco", metavar="ANNOTATIONS", type=Path, required=True, help="COCO key points, person_keypoints_*.json")
    parser.add_argument("--images", metavar="DIR", type=Path, required=True, help="the photographs that it names")
    parser.add_argument(
        "--precision", choices=["fp32", "fp16", "int8"], action="append", help="may be given again; default: all that were built"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="the first N photographs only")
    parser.add_argument("--json", action="store_true", help="for machines, on stdout")
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate each precision and print the table."""
    from posetrt.calib.accuracy import coco_accuracy, coco_photos, coco_results
    from posetrt.runtime.benchmark import precisions_of
    from posetrt.runtime.pose import open_pose

    photos = coco_photos(args.coco, args.images, args.limit)
    rows = {}
    for precision in precisions_of(args.folder, args.precision, args.backend):
        with open_pose(args.folder, precision, args.backend, preset=args.preset, threads=args.threads) as pose:

            def progress(count: int, name: str = pose.engine.precision) -> None:
                if sys.stderr.isatty():
                    print(f"\r{name}: {count}/{len(photos)} photographs", end="" if count < len(photos) else "\n", file=sys.stderr)

            rows[pose.engine.precision] = coco_accuracy(coco_results(pose, photos, progress), photos)
    if args.json:
        print(json.dumps({precision: asdict(accuracy) for precision, accuracy in rows.items()}, indent=1))
        return 0
    first = next(iter(rows.values()))
    print(f"{first.images} photographs, {first.people} annotated people")
    print(f"{'precision':<10} {'AP':>6} {'AP50':>6} {'AP75':>6} {'AR':>6} {'ΔAP':>7}")
    for precision, accuracy in rows.items():
        delta = accuracy.ap - rows["fp32"].ap if "fp32" in rows else float("nan")
        print(f"{precision:<10} {accuracy.ap:6.3f} {accuracy.ap50:6.3f} {accuracy.ap75:6.3f} {accuracy.ar:6.3f} {delta:+7.3f}")
    return 0
