"""Measure the parser: time a stage, recall, precision and sub-pixel error on drawn people, and on recorded maps.

Beside it run two references on the same frames, on one thread: a plain decoder that upsamples the maps eight times, and
reading every map once. Read the ratios; milliseconds are this machine's.

  posetrt bench-parser                          one to a hundred drawn people, noise, the worst cases
  posetrt bench-parser --full                   also BODY_25, 64 x 64 maps, people anywhere, more noise levels
  posetrt bench-parser --maps DIR --annotations person_keypoints.json     recorded maps, with AP
  posetrt bench-parser --nobody DIR --network person/      false people on photographs without people

Rows of kind "held" are a second family of drawn crowds: other bodies, limb widths, cut-offs and noise. They and the photographs without
people only judge: never choose a setting by them.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from typing import Any

from posetrt.arguments import add_json_argument, network_path
from posetrt.runtime.errors import UsageError
from posetrt.runtime.files import written_whole
from posetrt.runtime.heads.paf.head import EVALUATED_SCORE
from posetrt.runtime.heads.paf.layout import MapLayout, load_layout
from posetrt.runtime.heads.paf.parser import PRESETS, PafParser

SUMMARY = "measure the parser on drawn and recorded maps"
_PEOPLE = (1, 2, 5, 10, 20, 50, 100)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--maps", type=Path, nargs="+", metavar="DIR", help="folders of recorded maps (.npz) instead of drawn people")
    parser.add_argument("--annotations", type=Path, metavar="FILE", help="COCO key points of the photographs behind --maps: gives AP")
    parser.add_argument("--nobody", type=Path, metavar="DIR", help="photographs without people: counts false people, chooses nothing")
    parser.add_argument(
        "--network", type=network_path, metavar="FOLDER", help="built model folder that looks at --nobody, by exact matching"
    )
    parser.add_argument("--skeleton", default="coco18", help="skeleton of the maps: a built-in name or a JSON file (default: %(default)s)")
    parser.add_argument("--preset", default="balanced", choices=sorted(PRESETS), help="of the parser (default: %(default)s)")
    parser.add_argument("--assignment", default="exact", choices=("exact", "greedy"), help="matching of each limb (default: %(default)s)")
    parser.add_argument("--full", action="store_true", help="every skeleton, map size, noise level and placing")
    parser.add_argument("--frames", type=int, default=8, help="drawn frames per row (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=9, help="timed repetitions per frame (default: %(default)s)")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="write a PNG of time and recall over people")
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    if args.frames < 1 or args.repeats < 1:
        raise UsageError("--frames and --repeats must be 1 or more")
    if args.annotations and not args.maps:
        raise UsageError("--annotations gives AP of recorded maps: name their folders with --maps")
    if args.chart and args.maps:
        raise UsageError("--chart draws time over the number of drawn people: leave --maps out")
    if bool(args.nobody) != bool(args.network):
        raise UsageError("--nobody names photographs and --network the model folder that looks at them: give both")
    if args.nobody and (args.maps or args.chart or args.full):
        raise UsageError("--nobody counts people on photographs: leave --maps, --chart and --full out")
    if args.nobody and args.assignment != "exact":
        raise UsageError("--nobody runs the model as `posetrt run` does, with exact matching: leave --assignment out")
    report = _nobody(args) if args.nobody else _recorded(args) if args.maps else _drawn(args)
    print(json.dumps(report, indent=1) if args.json else _text(report))
    return 0


def _parser(args: argparse.Namespace, layout: MapLayout, **overrides: float) -> PafParser:
    return PafParser(layout, preset=args.preset, assignment=args.assignment, **overrides)


def _nobody(args: argparse.Namespace) -> dict[str, Any]:
    from posetrt.bench.parser_benchmark import bench_nobody
    from posetrt.runtime.pose import open_pose
    from posetrt.runtime.sources import photos_in

    photos = photos_in(args.nobody)
    with open_pose(args.network, preset=args.preset) as pose:
        return {"nobody": bench_nobody(pose, photos)}


def _recorded(args: argparse.Namespace) -> dict[str, Any]:
    from posetrt.bench.parser_benchmark import bench_recorded, together

    _one_thread()
    layout = load_layout(args.skeleton)
    parser = _parser(args, layout)
    # As `posetrt eval` does: average precision ranks the weak ones too.
    ranking = _parser(args, layout, min_score=min(parser.settings.min_score, EVALUATED_SCORE))
    rows = [bench_recorded(parser, layout, folder, args.repeats, args.annotations, ranking) for folder in args.maps]
    return {"recorded": rows, "together": together(rows)}


def _drawn(args: argparse.Namespace) -> dict[str, Any]:
    from posetrt.bench.parser_benchmark import bench_drawn, bench_worst, draw_chart, growth

    _one_thread()
    cases = [(args.skeleton, (46, 82), people, 0.02, "apart") for people in _PEOPLE] + [(args.skeleton, (46, 82), 10, 0.05, "apart")]
    cases += [(args.skeleton, (46, 82), people, 0.02, "held") for people in (10, 50)]
    if args.full:
        cases += [("body25", (46, 82), people, 0.02, "held") for people in (10, 50)]
        cases += [(args.skeleton, (46, 82), people, 0.02, kind) for kind in ("anywhere", "no neck") for people in (10, 50)]
        cases += [(args.skeleton, (46, 82), people, noise, "apart") for noise in (0.0, 0.05) for people in (1, 20, 50)]
        cases += [(name, (64, 64), people, 0.02, "apart") for name in ("coco18", "body25") for people in (1, 10, 50)]
        cases += [("body25", (46, 82), people, 0.02, "apart") for people in (1, 10, 50)]
    rows = []
    for name, shape, people, noise, kind in cases:
        print(f"{name} {shape[0]}x{shape[1]}, {people} people, noise {noise}, {kind}", file=sys.stderr)
        layout = load_layout(name)
        parser = _parser(args, layout)
        rows.append(bench_drawn(parser, layout, shape, people, noise, frames=args.frames, repeats=args.repeats, kind=kind))
    layout = load_layout(args.skeleton)
    report = {
        "drawn": rows,
        "growth_10_to_100": growth(rows[: len(_PEOPLE)]),
        "worst": bench_worst(_parser(args, layout), layout, (46, 82), args.repeats),
    }
    if args.chart:
        with written_whole(args.chart) as path:
            draw_chart(rows[: len(_PEOPLE)], path)
        print(f"chart: {args.chart}", file=sys.stderr)
    return report


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)


def _text(report: dict[str, Any]) -> str:
    out = io.StringIO()
    if "nobody" in report:
        row = report["nobody"]
        print(f"{row['people']} false people on {row['photos']} photographs: {row['per_photo']:.3f} a photograph,", file=out)
        print(f"on {row['photos_with_people']} of them", file=out)
        return out.getvalue()
    if "recorded" in report:
        print(f"{'maps':24} {'frames':>6} {'ms':>7} {'x8 ms':>7} {'ratio':>6} {'AP':>6} {'x8 AP':>6}", file=out)
        for row in [*report["recorded"], *([report["together"]] if len(report["recorded"]) > 1 else [])]:
            ours, theirs = (f"{row[name]['ap']:.3f}" if name in row else "-" for name in ("parser", "upsampling"))
            times = row["timing_ms"]
            print(
                f"{row['maps']:24} {row['frames']:6} {times['parser']:7.3f} {times['upsampling']:7.1f} {row['ratio']:6.0f} {ours:>6} {theirs:>6}",
                file=out,
            )
        return out.getvalue()
    print(
        f"{'skeleton':8} {'maps':>6} {'people':>6} {'noise':>5} {'kind':8} | {'ms':>6} {'peaks':>6} {'pairs':>6} {'people':>6} {'cold':>6} "
        f"{'floor':>6} {'x8':>6} {'ratio':>5} | {'recall':>6} {'prec.':>6} {'px':>5} | {'x8 recall':>9} {'prec.':>5} {'px':>5}",
        file=out,
    )
    for row in report["drawn"]:
        times, ours, theirs = row["timing_ms"], row["parser"], row["upsampling"]
        shape = "x".join(map(str, row["shape_hw"]))
        print(
            f"{row['skeleton']:8} {shape:>6} {row['people']:6} {row['noise']:5.2f} {row['kind']:8} | {times['parser']:6.2f} "
            f"{times['peaks']:6.2f} {times['pairs']:6.2f} {times['people']:6.2f} {times['cold']:6.2f} {times['floor']:6.2f} "
            f"{times['upsampling']:6.0f} {row['ratio']:5.0f} | {ours['recall']:6.3f} {ours['precision']:6.3f} {ours['error_px']:5.2f} | "
            f"{theirs['recall']:9.3f} {theirs['precision']:5.2f} {theirs['error_px']:5.2f}",
            file=out,
        )
    if report["growth_10_to_100"] is not None:
        print(f"\ntime grows as people^{report['growth_10_to_100']:.2f} from 10 to 100", file=out)
    print(f"\n{'worst case, 46x82':30} {'ms':>7} {'people':>6}", file=out)
    for row in report["worst"]:
        print(f"{row['case']:30} {row['ms']:7.2f} {row['people']:6}", file=out)
    return out.getvalue()
