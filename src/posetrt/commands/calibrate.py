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
from posetrt.runtime.folder import open_folder

SUMMARY = "find INT8 ranges on photographs and make the INT8 graphs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="model folder, as `posetrt export` makes it")
    parser.add_argument("--images", type=Path, metavar="DIR", required=True, help="photographs of people, as the camera will see them")
    parser.add_argument("--method", default=None, help="mse (default), minmax, percentile[-99.9] or entropy")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N images, drawn at random by --seed (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="for --limit (default 0)")
    parser.add_argument("--no-equalise", action="store_true", help="leave the channels of depthwise inputs as they are")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")


def run(args: argparse.Namespace) -> int:
    """Calibrate."""
    from posetrt.calib.calibrate import DEFAULT_METHOD, calibrate
    from posetrt.calib.photographs import photographs_in, sample

    folder = open_folder(args.folder)
    if args.limit is not None and args.limit < 1:
        raise UsageError(f"--limit takes 1 or more images, not {args.limit}")
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
            progress=progress,
        )
    for warning in made.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    calibration = made.calibration
    if args.json:
        print(json.dumps({"method": calibration.method, "images": dict(calibration.images), "tensors": len(calibration.ranges)}))
    else:
        print(
            f"{folder.calibration}: {len(calibration.ranges)} ranges by {calibration.method} from {calibration.images['count']} images; "
            f"{len(calibration.scales)} depthwise inputs equalised, {len(calibration.not_equalised)} not"
        )
    return 0


@contextlib.contextmanager
def progress_bar(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr; gives the function that moves it to (done, of all)."""
    from tqdm import tqdm

    with tqdm(total=0, desc=what, unit=unit, file=sys.stderr) as bar:

        def move(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield move
