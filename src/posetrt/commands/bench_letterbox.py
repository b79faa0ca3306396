"""Measure the way from a frame to the network's input: time beside averaging by area, in turns on one core, and what it costs in AP.

  posetrt bench-letterbox person/ --images photos/                                    times and grey levels
  posetrt bench-letterbox person/ --images photos/ --coco person_keypoints.json       AP too, as they are and enlarged

The photographs are enlarged to each of --sizes. Read the ratios; milliseconds are this
machine's. "again" is the same frame once more, while the processor's caches hold it.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

from posetrt.arguments import add_engine_arguments, add_json_argument, add_network_arguments, pose_options, size_wh

SUMMARY = "measure the letterbox beside averaging by area"
_SIZES = ((1280, 720), (1920, 1080), (3840, 2160))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt bench-letterbox`."""
    add_network_arguments(parser)
    parser.add_argument("--images", metavar="DIR", type=Path, required=True, help="photographs, which are enlarged to each size")
    parser.add_argument("--coco", metavar="FILE", type=Path, help="COCO key points of them: gives AP both ways")
    parser.add_argument("--sizes", metavar="WxH", type=size_wh, nargs="+", default=_SIZES, help="of the frames (default: 720p, 1080p, 4K)")
    parser.add_argument("--turns", metavar="N", type=int, default=40, help="of each size (default: %(default)s)")
    add_json_argument(parser)
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    import cv2
    import numpy as np

    from posetrt.bench.letterbox_benchmark import LetterboxRow, accuracy, enlarged, timed
    from posetrt.calib.accuracy.coco import coco_photos
    from posetrt.runtime.engines.choose import open_engine
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.find.whole_frame import WholeFrame
    from posetrt.runtime.heads.base import DecodeOptions
    from posetrt.runtime.sources.files import photos_in, read_photo

    if args.turns < 1:
        raise UsageError(f"--turns takes 1 or more, not {args.turns}")
    photos = coco_photos(args.coco, args.images, None) if args.coco else None
    some = [read_photo(path) for path in photos_in(args.images)[:4]]
    rows = []
    with WholeFrame(open_engine(args.folder, pose_options(args).engine), DecodeOptions("evaluate")) as whole:
        spec = whole.manifest.input
        if photos is not None:
            ap, area_ap = accuracy(whole, photos, None)
            rows.append(LetterboxRow("as they are", None, None, None, None, 0.0, ap, area_ap))
        for size in args.sizes:
            print(f"measuring {size[0]}x{size[1]}", file=sys.stderr)
            # A camera fills its frame: photographs of other proportions are stretched for the times alone.
            frames = [np.asarray(cv2.resize(enlarged(photo, size), size, interpolation=cv2.INTER_CUBIC), np.uint8) for photo in some]
            row = timed(spec, frames, args.turns)
            if photos is not None:
                ap, area_ap = accuracy(whole, photos, size)
                row = replace(row, ap=ap, area_ap=area_ap)
            rows.append(row)
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return 0
    width, height = spec.size_wh
    print(f"letterbox and tensor, {width}x{height} {spec.dtype}, one core, medians of {args.turns} turns")
    print(f"{'frames':<12} {'ms':>7} {'again ms':>8} {'area ms':>8} {'ratio':>6} {'grey':>5} {'AP':>6} {'area AP':>8}")
    for row in rows:
        cells = (
            (row.ms, 7, ".2f"),
            (row.again_ms, 8, ".2f"),
            (row.area_ms, 8, ".2f"),
            (row.ratio, 6, ".2f"),
            (row.grey, 5, ".2f"),
            (row.ap, 6, ".3f"),
            (row.area_ap, 8, ".3f"),
        )
        print(f"{row.frame:<12} " + " ".join(f"{'-' if value is None else format(value, form):>{size}}" for value, size, form in cells))
    return 0
