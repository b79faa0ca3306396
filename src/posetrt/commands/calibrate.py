"""Find INT8 ranges on photographs, once, for every engine; any computer will do.

Writes into the model folder calibration.json (a range for each tensor), variants/int8-ort.onnx (Q/DQ in ONNX Runtime's
layout), variants/int8-trt.onnx (Q/DQ in TensorRT's) and variants/int8-base.onnx (the equalised float32 graph that TensorRT 8 and 10 build
with these ranges). model.onnx does not change.

Example: posetrt calibrate person/ --images photographs/ --limit 200
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from posetrt.runtime.errors import UsageError
from posetrt.runtime.files import write_text
from posetrt.runtime.folder import ModelFolder, open_folder

SUMMARY = "find INT8 ranges on photographs and make the INT8 graphs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="model folder, as `posetrt export` makes it")
    parser.add_argument("--images", type=Path, metavar="DIR", help="photographs of people, as the camera will see them")
    parser.add_argument("--method", default=None, help="mse (default), minmax, percentile[-99.9] or entropy")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N images, drawn at random by --seed (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="for --limit (default 0)")
    parser.add_argument("--no-equalise", action="store_true", help="leave the channels of depthwise inputs as they are")
    parser.add_argument("--ranges-from", type=Path, metavar="QDQ.onnx", help="take the ranges that a Q/DQ model trained elsewhere has")
    parser.add_argument(
        "--cache",
        metavar="VERSION",
        help="also write the calibration cache text of this TensorRT (8.6.1, 10.3.0); without --images from the ranges that are there",
    )
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")


def run(args: argparse.Namespace) -> int:
    """Calibrate."""
    from posetrt.calib.cache import cache_text
    from posetrt.calib.calibrate import DEFAULT_METHOD, calibrate, folder_calibration
    from posetrt.calib.photographs import photographs_in, sample

    folder = open_folder(args.folder)
    if args.limit is not None and args.limit < 1:
        raise UsageError(f"--limit takes 1 or more images, not {args.limit}")
    if args.images is None:
        if args.cache is None:
            raise UsageError("--images DIR is needed: photographs of people, 50 or more")
        _write_cache(folder, cache_text(folder_calibration(folder).ranges, args.cache), args.cache)
        return 0
    images = photographs_in(args.images)
    chosen = "all"
    if args.limit is not None and args.limit < len(images):
        images, chosen = sample(images, args.limit, args.seed), f"random, seed {args.seed}"
    with progress_bar("calibrate", "image") as progress:
        made = calibrate(
            folder,
            images,
            method=args.method or DEFAULT_METHOD,
            equalise=not args.no_equalise,
            chosen=chosen,
            trained=args.ranges_from,
            progress=progress,
        )
    for warning in made.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    calibration = made.calibration
    if args.cache is not None:
        _write_cache(folder, cache_text(calibration.ranges, args.cache), args.cache)
    if args.json:
        print(json.dumps({"method": calibration.method, "images": dict(calibration.images), "tensors": len(calibration.ranges)}))
    else:
        print(
            f"{folder.calibration}: {len(calibration.ranges)} ranges by {calibration.method} from {calibration.images['count']} images; "
            f"{len(calibration.scales)} depthwise inputs equalised, {len(calibration.not_equalised)} not"
        )
    return 0


def _write_cache(folder: ModelFolder, text: str, version: str) -> None:
    path = folder.path / f"calibration.trt-{version}.cache"
    write_text(path, text)
    print(f"{path}: for TensorRT {version} alone; another version skips it without a word", file=sys.stderr)


@contextlib.contextmanager
def progress_bar(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr; gives the function that moves it to (done, of all)."""
    from tqdm import tqdm

    with tqdm(total=0, desc=what, unit=unit, file=sys.stderr) as bar:

        def move(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield move
