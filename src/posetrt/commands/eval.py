"""Measure accuracy, a row a precision.

  posetrt eval person/ --coco person_keypoints.json --images photos/      OKS AP, AP50, AP75 and AR by pycocotools
  posetrt eval person/ --annotations joints.mat --images lsp/images/      the data set is told by the file: see below
  posetrt eval person/ --images photos/                                   nothing annotated: agreement with fp32
  posetrt eval person/ --coco person_keypoints.json --images photos/ --scales 0.5,1,1.5
  posetrt eval person/ --coco person_keypoints.json --images photos/ --report out/
  posetrt eval person/ --coco person_keypoints.json --images photos/ --tiles 2x2
  posetrt eval person/ --coco person_keypoints.json --images photos/ --simulate-tensorrt      TensorRT's INT8 without a GPU
  posetrt eval pose/ --detector det/ --coco person_keypoints.json --images photos/     in detected boxes
  posetrt eval person/ --coco person_keypoints.json --images photos/ --on ray://head:10001      the same figures, by a cluster

--annotations takes COCO's key points; MPII (the release's .mat, or the common JSON with gt_valid.mat beside it: PCKh@0.5); LSP
(joints.mat: PCK@0.2 of the torso); AI Challenger (its JSON: the challenge's own score); PoseTrack 2018 (a JSON a sequence, or the folder
with them: AP of each part and MOTA with the ids of the tracker); CMU's foot data set (OKS AP of six points, for BODY_25). Parts that the
network's skeleton has not are left out of the figure, and named. A network that looks at one person (any top-down one) is judged in the
boxes of the annotated people, or with --detector in those of the people whom the detector finds (a person's score is the detector's times
the mean of the parts'); it takes --scales at a fixed size too.

Agreement is the OKS between the people of fp32 and those of another precision on the same photographs: 1 where they are the
same. --simulate-tensorrt adds the row int8-trt: the INT8 graph for TensorRT on ONNX Runtime, in float with each value rounded to its
8-bit grid. No TensorRT kernel runs; measure on the device too.

--report writes a page with the worst photographs side by side, the error of each part and an interval on each
difference of AP, and the same as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from posetrt.arguments import (
    add_detector_arguments,
    add_engine_arguments,
    add_tiles_arguments,
    check_detector,
    engine_options,
    for_workers,
    network_path,
    tiles_of,
)
from posetrt.commands.map import add_place_arguments
from posetrt.runtime.engines.base import PRECISIONS

if TYPE_CHECKING:
    from posetrt.calib.datasets.base import AnnotatedPhotos
    from posetrt.runtime.engines.base import Engine
    from posetrt.runtime.heads.base import Preset

SUMMARY = "accuracy per precision, on annotated photographs or against fp32"

_DATASETS = ("coco", "mpii", "lsp", "ai-challenger", "posetrack", "feet")
"""As calib.datasets.choose has them, which is too heavy to import for a help text; a test holds both together."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt eval`."""
    parser.add_argument("folder", metavar="FOLDER", type=network_path, help="a model folder, a bare .onnx, an engine, or nano")
    parser.add_argument(
        "--images", metavar="DIR", type=Path, required=True, help="photographs; those that the annotations name, where given"
    )
    annotations = parser.add_mutually_exclusive_group()
    annotations.add_argument("--annotations", metavar="FILE", type=Path, help="annotations of any data set named above")
    annotations.add_argument("--coco", metavar="FILE", type=Path, help="COCO key points, person_keypoints_*.json")
    parser.add_argument("--dataset", choices=_DATASETS, help="what --annotations must be; default: what it looks like")
    parser.add_argument(
        "--scales", metavar="LIST", help="average the maps of these scales of the input, as 0.5,1,1.5; for models exported --dynamic"
    )
    parser.add_argument("--precision", choices=PRECISIONS, action="append", help="may be given again; default: all that were built")
    parser.add_argument(
        "--simulate-tensorrt",
        action="store_true",
        help="also judge the INT8 graph for TensorRT, simulated by ONNX Runtime on the CPU (row int8-trt)",
    )
    add_detector_arguments(parser, follow=False)
    add_tiles_arguments(parser)
    parser.add_argument("--grow", metavar="FACTOR", type=float, help="crop so much wider than the box (default: as exported, mostly 1.25)")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N photographs only")
    parser.add_argument("--report", metavar="DIR", type=Path, help="write report.html and report.json")
    parser.add_argument("--json", action="store_true", help="for machines, on stdout")
    add_place_arguments(parser, default=None)
    add_engine_arguments(parser)


EMPTY = 10
"""Photographs without anybody found from which the likely causes are named."""


def run(args: argparse.Namespace) -> int:
    """Find the people of each photograph in each precision, and print the table."""
    from posetrt.bench.benchmark import precisions_of
    from posetrt.calib.accuracy.agreement import agreement
    from posetrt.calib.accuracy.detections import titles_of
    from posetrt.calib.accuracy.people_of import DETECTED, people_of
    from posetrt.calib.accuracy.report import write_report
    from posetrt.corpus.evaluation import EvaluationJob, people_on
    from posetrt.corpus.fleet import check_place
    from posetrt.corpus.mapping import Place
    from posetrt.looking import why_nobody
    from posetrt.runtime.engines.choose import open_engine, open_simulated
    from posetrt.runtime.errors import PosetrtError, UsageError
    from posetrt.runtime.find.whole_frame import open_detector
    from posetrt.runtime.heads.base import DecodeOptions
    from posetrt.runtime.model.shipped import shipped_name
    from posetrt.runtime.people import People, nobody
    from posetrt.runtime.sources import photos_in

    if args.limit is not None and args.limit < 1:
        raise UsageError(f"--limit must be at least 1; got {args.limit}")
    check_detector(args)
    if args.on is None and args.workers:
        raise UsageError("--workers is of --on: give --on local or --on ray://HOST:PORT too")
    check_place(args.on or "local", args.workers)
    scales, tiles = _scales(args.scales) if args.scales else None, tiles_of(args)
    if tiles is not None and args.on is not None:
        raise UsageError("--on looks at whole photographs: leave --tiles out, or --on")
    if args.simulate_tensorrt and args.on is not None:
        raise UsageError("--simulate-tensorrt runs on this computer alone: leave it out, or --on")
    annotated = _annotated(args)
    for note in annotated.notes if annotated else ():
        print(f"{annotated.name if annotated else ''}: {note}", file=sys.stderr)
    paths = list(annotated.photographs) if annotated else photos_in(args.images)[: args.limit]
    found: dict[str, list[People]] = {}
    broken: dict[str, None] = {}
    with ExitStack() as opened:
        # What cannot be opened or judged is known before the first photograph.
        opening = [
            opened.enter_context(open_engine(args.folder, engine_options(args, one)))
            for one in precisions_of(args.folder, args.precision, args.backend)
        ]
        engines: dict[str, Engine] = {engine.precision: engine for engine in opening}
        if args.simulate_tensorrt:
            engines["int8-trt"] = opened.enter_context(open_simulated(args.folder, args.threads))
        manifest = next(iter(engines.values())).manifest
        detector = detector_options = None
        least = DETECTED if args.detector_score is None else args.detector_score
        if args.detector:
            detector_options = engine_options(args, args.detector_precision)
            if args.detector_precision is None:
                detector_options = replace(detector_options, precision=None)
            detector = opened.enter_context(open_detector(args.detector, detector_options, DecodeOptions("evaluate", least), tiles))
        if annotated is not None:
            annotated.judge([nobody(len(manifest.skeleton.parts))] * len(paths), manifest.skeleton)

        def skip(error: PosetrtError) -> People:
            if str(error) not in broken:
                print(f"skipped: {error}", file=sys.stderr)
            broken[str(error)] = None
            if len(broken) == len(paths):
                raise PosetrtError(f"none of the {len(paths)} photographs could be read; the last: {error}") from error
            return nobody(len(manifest.skeleton.parts))

        for name, engine in engines.items():
            if annotated is None and "fp32" not in {*found, name}:
                raise UsageError("without annotations, precisions are compared with fp32: build it as well, or give --annotations")

            def progress(count: int, name: str = name) -> None:
                if sys.stderr.isatty():
                    print(f"\r{name}: {count}/{len(paths)} photographs", end="" if count < len(paths) else "\n", file=sys.stderr)

            if annotated is not None and manifest.head.one_person and not found:
                whose = (
                    f"that {annotated.name} gives" if detector is None else f"of {detector.manifest.network}, {detector.engine.precision}"
                )
                print(f"{manifest.network} looks at one person: judged in the boxes {whose}", file=sys.stderr)
            # AP ranks doubtful people too; where nothing is annotated, the people of `run` are compared.
            preset: Preset = "evaluate" if args.preset == "balanced" and annotated is not None else args.preset
            if args.on is None:
                found[name] = people_of(
                    engine,
                    paths,
                    annotated,
                    detector=detector,
                    scales=scales,
                    tiles=tiles,
                    grow=args.grow,
                    preset=preset,
                    progress=progress,
                    broken=skip,
                )
                continue
            job = EvaluationJob(
                for_workers(args.folder),
                replace(engine_options(args, name), threads=args.threads or 1),
                None if detector is None else for_workers(args.detector),
                None if detector_options is None else replace(detector_options, threads=args.threads or 1),
                least,
                None if scales is None else tuple(scales),
                args.grow,
                preset,
            )
            place = Place(args.on, args.workers, args.threads or 1)
            found[name] = people_on(
                job, paths, annotated, place, progress=progress, broken=skip, say=lambda line: print(line, file=sys.stderr)
            )
    if broken:
        counted = "; in the figures nobody was found in them" if annotated is not None else ""
        print(f"{len(broken)} broken photograph{' was' if len(broken) == 1 else 's were'} skipped{counted}", file=sys.stderr)
    reference = found.get("fp32")
    rows: dict[str, dict[str, float | None]] = {}
    titles: Mapping[str, str] = {}
    for name, people in found.items():
        row: dict[str, float | None] = {}
        if annotated is not None:
            judged = annotated.judge(people, manifest.skeleton)
            row |= judged.figures
            titles = titles_of(judged, annotated)
            main = next(iter(judged.figures))
            before = rows["fp32"][main] if "fp32" in rows else None
            row[f"delta_{main}"] = None if before is None or (now := row[main]) is None else now - before
            if judged.left_out and not rows:
                print(
                    f"{annotated.name}: skeleton {manifest.skeleton.name} has no {', '.join(judged.left_out)}; "
                    "the figures leave them out, so they are not those of papers",
                    file=sys.stderr,
                )
        row["agreement"] = (
            agreement(reference, people, manifest.skeleton).oks
            if reference is not None and (manifest.skeleton.coco17 or not manifest.skeleton.parts)
            else None
        )
        rows[name] = row | {"images": len(paths) - len(broken), "broken": len(broken), "people": sum(len(one) for one in people)}
        if len(paths) >= EMPTY and rows[name]["people"] == 0:
            print(f"{name}: {why_nobody(manifest, len(paths))}", file=sys.stderr)
    print(json.dumps(rows, indent=1) if args.json else _table(rows, titles))
    if args.report:
        write_report(
            args.report, found, paths, manifest, annotated, title=f"{shipped_name(args.folder) or args.folder.name}: accuracy per precision"
        )
        print(f"wrote {args.report / 'report.html'} and report.json", file=sys.stderr)
    return 0


def _annotated(args: argparse.Namespace) -> AnnotatedPhotos | None:
    """The annotated photographs that the options name."""
    from posetrt.calib.accuracy.coco import coco_photos
    from posetrt.calib.datasets.choose import open_dataset
    from posetrt.runtime.errors import UsageError

    if args.coco:
        if args.dataset not in (None, "coco"):
            raise UsageError(f"--coco takes COCO's key points; give the {args.dataset} file with --annotations")
        return coco_photos(args.coco, args.images, args.limit)
    if args.annotations:
        return open_dataset(args.annotations, args.images, args.dataset, args.limit)
    if args.dataset:
        raise UsageError("--dataset says what --annotations is of; give the file too")
    return None


def _scales(text: str) -> list[float]:
    from posetrt.runtime.errors import UsageError

    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--scales takes numbers with commas between them, as 0.5,1,1.5; got {text!r}") from error


def _table(rows: dict[str, dict[str, float | None]], figures: Mapping[str, str]) -> str:
    """The rows for people; a dash where there is no figure."""
    first = next(iter(rows.values()))
    main = next(iter(figures), "")
    titles = {**figures, f"delta_{main}": f"Δ{figures.get(main, '')}", "agreement": "agreement"}
    columns = [column for column in titles if column in first]
    lines = [
        f"{first['images']} photographs",
        f"{'precision':<10} " + " ".join(f"{titles[column]:>9}" for column in columns) + f" {'people':>7}",
    ]
    for name, row in rows.items():
        cells = []
        for column in columns:
            value, width = row[column], max(9, len(titles[column]))
            shown = "–" if value is None else f"{value:+.3f}" if column.startswith("delta_") else f"{value:.3f}"
            cells.append(f"{shown:>{width}}")
        lines.append(f"{name:<10} " + " ".join(cells) + f" {row['people']:7.0f}")
    return "\n".join(lines)
