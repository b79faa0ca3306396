"""Measure accuracy, a row a precision.

  posetrt eval person/ --coco person_keypoints.json --images photos/      OKS AP, AP50, AP75 and AR by pycocotools
  posetrt eval person/ --images photos/                                   nothing annotated: agreement with fp32
  posetrt eval person/ --coco person_keypoints.json --images photos/ --report out/

Agreement is the OKS between the people of fp32 and those of another precision on the same photographs: 1 where they are the
same. --report writes a page with the worst photographs side by side, the error of each part and an interval on each
difference of AP, and the same as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from posetrt.commands.run import add_engine_arguments

SUMMARY = "accuracy per precision, on annotated photographs or against fp32"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt eval`."""
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a model folder, a bare .onnx, or an engine")
    parser.add_argument("--images", metavar="DIR", type=Path, required=True, help="photographs; those that --coco names, where it is given")
    parser.add_argument("--coco", metavar="ANNOTATIONS", type=Path, help="COCO key points, person_keypoints_*.json")
    parser.add_argument(
        "--precision", choices=["fp32", "fp16", "int8"], action="append", help="may be given again; default: all that were built"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="the first N photographs only")
    parser.add_argument("--report", metavar="DIR", type=Path, help="write report.html and report.json")
    parser.add_argument("--json", action="store_true", help="for machines, on stdout")
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Find the people of each photograph in each precision, and print the table."""
    from posetrt.calib.accuracy import coco_accuracy, coco_photos, coco_rows, find_people
    from posetrt.calib.agreement import agreement
    from posetrt.calib.report import write_report
    from posetrt.runtime.benchmark import precisions_of
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.people import People
    from posetrt.runtime.pose import open_pose
    from posetrt.runtime.sources import photos_in

    if args.limit is not None and args.limit < 1:
        raise UsageError(f"--limit must be at least 1; got {args.limit}")
    annotated = coco_photos(args.coco, args.images, args.limit) if args.coco else None
    paths = list(annotated.paths.values()) if annotated else photos_in(args.images)[: args.limit]
    found: dict[str, list[People]] = {}
    for precision in precisions_of(args.folder, args.precision, args.backend):
        with open_pose(args.folder, precision, args.backend, preset=args.preset, threads=args.threads, trust=args.trust) as pose:
            manifest = pose.manifest
            name: str = pose.engine.precision
            if annotated is None and "fp32" not in {*found, name}:
                raise UsageError("without --coco, precisions are compared with fp32: build it as well, or give annotations")

            def progress(count: int, name: str = name) -> None:
                if sys.stderr.isatty():
                    print(f"\r{name}: {count}/{len(paths)} photographs", end="" if count < len(paths) else "\n", file=sys.stderr)

            found[name] = find_people(pose, paths, progress)
    reference = found.get("fp32")
    rows: dict[str, dict[str, float | None]] = {}
    for name, people in found.items():
        row: dict[str, float | None] = {}
        if annotated is not None:
            accuracy = coco_accuracy(coco_rows(people, annotated, manifest.skeleton), annotated)
            row |= {"ap": accuracy.ap, "ap50": accuracy.ap50, "ap75": accuracy.ap75, "ar": accuracy.ar}
            row["delta_ap"] = accuracy.ap - (rows["fp32"]["ap"] or 0.0) if "fp32" in rows else None
        row["agreement"] = (
            agreement(reference, people, manifest.skeleton).oks if reference is not None and manifest.skeleton.coco17 else None
        )
        rows[name] = row | {"images": len(paths), "people": sum(len(one) for one in people)}
    if args.report:
        write_report(args.report, found, paths, manifest, annotated, title=f"{args.folder.name}: accuracy per precision")
        print(f"wrote {args.report / 'report.html'} and report.json", file=sys.stderr)
    print(json.dumps(rows, indent=1) if args.json else _table(rows))
    return 0


def _table(rows: dict[str, dict[str, float | None]]) -> str:
    """The rows for people; a dash where there is no figure."""
    titles = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "ar": "AR", "delta_ap": "ΔAP", "agreement": "agreement"}
    first = next(iter(rows.values()))
    columns = [column for column in titles if column in first]
    lines = [
        f"{first['images']} photographs",
        f"{'precision':<10} " + " ".join(f"{titles[column]:>9}" for column in columns) + f" {'people':>7}",
    ]
    for name, row in rows.items():
        cells = []
        for column in columns:
            value = row[column]
            cells.append(f"{'-':>9}" if value is None else f"{value:+9.3f}" if column == "delta_ap" else f"{value:9.3f}")
        lines.append(f"{name:<10} " + " ".join(cells) + f" {row['people']:7.0f}")
    return "\n".join(lines)
