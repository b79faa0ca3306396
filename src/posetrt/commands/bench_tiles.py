"""Measure what tiles find of small people, and what they cost.

Every annotated photograph is shrunk and laid once on one of several large canvases, as small as people are from the air. Each canvas
is looked at once whole, then with each kind of tiles.

  posetrt bench-tiles person/ --coco person_keypoints.json --images photos/ --shrink 3 --tiles 2x2 --tiles 3x3
  posetrt bench-tiles rtmdet/ --coco person_keypoints.json --images photos/      a detector: AP of its boxes

The time is of one call per canvas: cutting, the network and joining. "ms/picture" is what each picture beyond the first costs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from posetrt.arguments import add_engine_arguments, add_json_argument, add_network_arguments, engine_options, size_wh

SUMMARY = "accuracy and cost of tiles, on photographs shrunk into large canvases"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt bench-tiles`."""
    add_network_arguments(parser, "a network that looks at whole frames, or nano")
    parser.add_argument("--coco", metavar="FILE", type=Path, required=True, help="COCO key points, person_keypoints_*.json")
    parser.add_argument("--images", metavar="DIR", type=Path, required=True, help="the photographs that it names")
    parser.add_argument("--tiles", metavar="CxR", action="append", help="may be given again (default: 2x2)")
    parser.add_argument("--tile-overlap", metavar="SHARE", type=float, help="share of a tile that its neighbour shows too (default 0.2)")
    parser.add_argument(
        "--shrink", metavar="FACTOR", type=float, default=3.0, help="make photographs so much smaller (default: %(default)s)"
    )
    parser.add_argument("--canvas", metavar="WxH", type=size_wh, default=(1920, 1080), help="size of a canvas (default: 1920x1080)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the places on the canvases (default: %(default)s)")
    add_json_argument(parser)
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Make the canvases, look at them, and print the table."""
    from posetrt.bench.tiles_benchmark import bench_tiles
    from posetrt.calib.accuracy.coco import coco_photos
    from posetrt.runtime.engines.choose import open_engine
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.find.tiles import OVERLAP, tiles_from

    if not 1 <= args.shrink <= 50:
        raise UsageError(f"--shrink lies between 1 and 50; got {args.shrink:g}")
    overlap = OVERLAP if args.tile_overlap is None else args.tile_overlap
    cuts = [tiles_from(text, overlap) for text in args.tiles or ["2x2"]]
    photos = coco_photos(args.coco, args.images)
    with open_engine(args.folder, engine_options(args)) as engine:
        report = bench_tiles(engine, photos, cuts, size_wh=args.canvas, shrink=args.shrink, seed=args.seed)
    print(
        f"{report['people']} people of {report['photographs']} photographs, shrunk {args.shrink:g} times, on {report['canvases']} canvases "
        f"of {args.canvas[0]}x{args.canvas[1]}; half of them are {report['median_height_px']:.0f} pixels high or less",
        file=sys.stderr,
    )
    print(json.dumps(report, indent=1) if args.json else _table(report))
    return 0


def _table(report: dict[str, Any]) -> str:
    titles = report["titles"]
    lines = [
        f"{'tiles':<9} {'pictures':>8} "
        + " ".join(f"{title:>7}" for title in titles.values())
        + f" {'people':>6} {'ms':>8} {'ms/picture':>10}"
    ]
    for row in report["rows"]:
        figures = " ".join(f"{row['figures'][key]:7.3f}" for key in titles)
        each = "–" if row["picture_ms"] is None else f"{row['picture_ms']:.1f}"
        lines.append(f"{row['tiles']:<9} {row['pictures']:8} {figures} {row['found']:6} {row['ms']:8.1f} {each:>10}")
    return "\n".join(lines)
