"""Find INT8 ranges on photographs, once, for every engine; any computer will do.

Writes into the model folder calibration.json (a range for each tensor), variants/int8-ort.onnx (Q/DQ in ONNX Runtime's
layout), variants/int8-trt.onnx (Q/DQ in TensorRT's) and variants/int8-base.onnx (the equalised float32 graph that TensorRT 8 and 10 build
with these ranges). model.onnx does not change.

It ends with what INT8 costs: a tenth of the photographs, at least 20, is held back, and the people that INT8 finds there are compared
with those of FP32. Where that is more than a little, the layers that cost it are looked for and kept in float, which takes minutes; a few
noisy ones are kept where agreement is below .95 (--no-sensitivity leaves both out). Exit code 1 where a layout is unusable even so
(agreement below 0.5); the files are written all the same, and --force makes it 0.

Example: posetrt calibrate person/ --images photographs/ --limit 200
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from posetrt.arguments import network_path
from posetrt.runtime.errors import UsageError
from posetrt.runtime.files import write_text
from posetrt.runtime.model.folder import ModelFolder, open_folder
from posetrt.runtime.model.shipped import shipped_name

if TYPE_CHECKING:
    from posetrt.calib.accuracy.coco import CocoPhotos
    from posetrt.calib.int8.calibration import Calibration
    from posetrt.calib.int8.foreign import Foreign

LISTED = 16
"""Layers of the sensitivity table that are printed; calibration.json has all of them."""

SUMMARY = "find INT8 ranges on photographs and make the INT8 graphs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("folder", type=network_path, metavar="FOLDER", help="model folder, as `posetrt export` makes it; or nano")
    parser.add_argument("--images", type=Path, metavar="DIR", help="photographs of people, as the camera will see them")
    parser.add_argument(
        "--detector",
        metavar="FOLDER",
        type=network_path,
        help="of a network for crops: finds the people whose crops calibrate and judge it",
    )
    parser.add_argument("--method", default=None, help="mse (default), minmax, percentile[-99.9] or entropy")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N images, drawn at random by --seed (default: all)")
    parser.add_argument("--select", type=int, metavar="N", help="N images that cover what the network can see, out of 8 N drawn by --seed")
    parser.add_argument("--seed", type=int, default=0, help="for --limit, --select and --judge (default 0)")
    parser.add_argument("--no-equalise", action="store_true", help="leave the channels of depthwise inputs as they are")
    parser.add_argument("--all-int8", action="store_true", help="keep no layer in float, where a few cheap ones are by default")
    parser.add_argument("--ranges-from", type=Path, metavar="QDQ.onnx", help="take the ranges that a Q/DQ model trained elsewhere has")
    parser.add_argument(
        "--beside",
        type=Path,
        metavar="QDQ.onnx",
        action="append",
        default=[],
        help="judge this graph of another tool beside ours; again for more",
    )
    parser.add_argument(
        "--cache",
        metavar="VERSION",
        help="also write the calibration cache text of this TensorRT (8.6.1, 10.3.0); without --images from the ranges that are there",
    )
    parser.add_argument(
        "--sensitivity",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="measure each layer's cost and keep the costliest in float, which takes minutes; default: where INT8 is not fine without",
    )
    parser.add_argument("--judge", type=int, default=48, metavar="N", help="photographs of --images to judge by; they calibrate nothing")
    parser.add_argument("--coco", type=Path, metavar="ANNOTATIONS", help="judge by AP on annotated photographs instead (COCO key points)")
    parser.add_argument("--coco-images", type=Path, metavar="DIR", help="the photographs that --coco names")
    parser.add_argument("--budget-ap", type=float, metavar="POINTS", help="AP that INT8 may lose, with --coco (default 0.5)")
    parser.add_argument("--budget-oks", type=float, metavar="POINTS", help="OKS agreement that INT8 may lose, without (default 5)")
    parser.add_argument("--fp8", action="store_true", help="make a graph in float8 too, for TensorRT on Thor and on GPUs from Ada on")
    parser.add_argument(
        "--force", action="store_true", help="exit with 0 even where INT8 is unusable in a layout, and replace INT8 graphs of another tool"
    )
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")


def run(args: argparse.Namespace) -> int:
    """Calibrate."""
    from posetrt.calib.int8.cache import cache_text
    from posetrt.calib.int8.calibrate import folder_calibration
    from posetrt.calib.int8.foreign import read_quantised
    from posetrt.calib.int8.photographs import photographs_in
    from posetrt.export.graph.graph import load_graph

    folder = open_folder(args.folder, to_write=True)
    _check(args)
    alike = len({path.name for path in args.beside}) < len(args.beside)
    beside = {str(path) if alike else path.name: read_quantised(path, load_graph(folder.onnx)) for path in args.beside}
    if args.images is None:
        if args.cache is None:
            raise UsageError("--images DIR is needed: photographs of people, 50 or more")
        _write_cache(folder, cache_text(folder_calibration(folder).ranges, args.cache), args.cache)
        return 0
    images = photographs_in(args.images)
    with contextlib.ExitStack() as held:
        if args.detector is not None:
            images = _crops(args, folder, images, held)
        elif folder.manifest().head.scope == "crop":
            print(
                "warning: this network looks at one thing in a crop, and whole photographs show it others' ranges: give "
                "--detector FOLDER, or --images with crops as it will see them",
                file=sys.stderr,
            )
        return _calibrate(args, folder, images, beside)


def _crops(args: argparse.Namespace, folder: ModelFolder, images: list[Path], held: contextlib.ExitStack) -> list[Path]:
    """Crops of the people whom --detector finds, in a folder that goes with `held`."""
    import tempfile

    from posetrt.calib.int8.crops import cut_crops
    from posetrt.calib.int8.photographs import sample
    from posetrt.runtime.find.whole_frame import open_detector

    manifest = folder.manifest()
    if not manifest.head.one_person:
        raise UsageError(f"{folder.path} finds people in whole photographs: leave --detector out")
    if args.coco is not None:
        raise UsageError("--coco judges whole photographs, and --detector makes crops of them: give one of the two")
    detector = held.enter_context(open_detector(args.detector))
    target = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="posetrt-crops-")))
    if args.limit is not None:
        # Each photograph gives one person or more: these are enough for the draw, and for those held back.
        images = sample(images, args.limit + max(40, args.limit // 5), args.seed)
    with progress_bar("detect", "image") as progress:
        made = cut_crops(manifest.input, images, detector, target, progress=progress)
    print(f"{len(made)} crops of people from {len(images)} photographs", file=sys.stderr)
    return made


def _calibrate(args: argparse.Namespace, folder: ModelFolder, images: list[Path], beside: dict[str, Foreign]) -> int:
    """Find ranges, measure what INT8 costs, write both and say so."""
    from posetrt.calib.int8.cache import cache_text
    from posetrt.calib.int8.calibrate import DEFAULT_METHOD
    from posetrt.calib.sensitivity.judged import CalibrationOptions, calibrate_judged
    from posetrt.calib.sensitivity.price import price_from, table

    annotated = _annotated(args)
    options = CalibrationOptions(
        method=args.method or DEFAULT_METHOD,
        equalise=not args.no_equalise,
        trained=args.ranges_from,
        all_int8=args.all_int8,
        limit=args.limit,
        select=args.select,
        seed=args.seed,
        sensitivity=args.sensitivity,
        judge=args.judge,
        budget=args.budget_oks if annotated is None else args.budget_ap,
        annotated=annotated,
        beside=beside,
        fp8=args.fp8,
        replace_foreign=args.force,
    )
    made = calibrate_judged(folder, images, options, say=lambda line: print(line, file=sys.stderr), bar=progress_bar)
    calibration = made.calibration
    name = shipped_name(folder.path)
    if name is not None:
        print(
            f"these ranges replace those that ship with {name}, in your copy of it: {folder.path}. To have those back, delete that folder",
            file=sys.stderr,
        )
    if args.cache is not None:
        _write_cache(folder, cache_text(calibration.ranges, args.cache), args.cache)
    price = price_from(calibration.price) if calibration.price is not None else None
    if args.json:
        summary = {"method": calibration.method, "images": dict(calibration.images), "tensors": len(calibration.ranges)}
        summary |= {"bursts": dict(calibration.bursts), "price": calibration.price, "speed": dict(made.speed)}
        kept = {"kept_float": list(calibration.kept_float), "kept_float_ort": list(calibration.kept_float_ort)}
        print(json.dumps({**summary, **kept, "sensitivity": calibration.sensitivity}))
    else:
        print(
            f"{folder.calibration}: {len(calibration.ranges)} ranges by {calibration.method} from {calibration.images['count']} images; "
            f"channels of {len(calibration.scales)} layers equalised, {len(calibration.not_equalised)} depthwise inputs not; "
            f"{len(calibration.kept_float)} layers in float for TensorRT, {len(calibration.kept_float_ort)} for ONNX Runtime"
        )
        _print_sensitivity(calibration)
        if price is not None:
            print(table(price, speed=made.speed))
    return 1 if price is not None and price.unusable and not args.force else 0


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot be done or would be passed over, before minutes of work."""
    from posetrt.calib.int8.cache import cache_header

    for option, count in (("--limit", args.limit), ("--select", args.select), ("--judge", args.judge)):
        if count is not None and count < 1:
            raise UsageError(f"{option} takes 1 or more images, not {count}")
    if args.cache is not None:
        cache_header(args.cache)
    if args.sensitivity and args.images is None:
        raise UsageError("--sensitivity needs --images DIR: photographs of people, 50 or more")
    if args.beside and args.images is None:
        raise UsageError("--beside judges a graph on photographs: give --images DIR with 40 or more")
    if args.budget_ap is not None and args.coco is None:
        raise UsageError("--budget-ap needs annotated photographs: --coco ANNOTATIONS --coco-images DIR; without them give --budget-oks")
    if (args.coco is None) != (args.coco_images is None) or (args.coco is not None and not args.sensitivity):
        raise UsageError("--coco judges layers: give --coco ANNOTATIONS, --coco-images DIR and --sensitivity together")
    if args.budget_oks is not None and args.coco is not None:
        raise UsageError("--budget-oks is for judging without annotations; with --coco the budget is --budget-ap POINTS")
    if args.budget_oks is not None and not args.sensitivity:
        raise UsageError("--budget-oks says what --sensitivity may spend: give --sensitivity with it")


def _annotated(args: argparse.Namespace) -> CocoPhotos | None:
    """The annotated photographs to judge by, if any."""
    if args.coco is None:
        return None
    from posetrt.calib.accuracy.coco import coco_photos

    return coco_photos(args.coco, args.coco_images)


def _print_sensitivity(calibration: Calibration) -> None:
    """The costliest layers, and what the choice costs as measured."""
    from posetrt.calib.sensitivity.measure import LAYOUTS

    found = calibration.sensitivity
    if found is None:
        return
    kept = {layout: calibration.kept(layout) for layout in LAYOUTS}
    print(f"{'layer alone in INT8':<46} {'OKS lost':>8} {'AP lost':>8} {'noise':>7}")
    for layer in found["layers"][:LISTED]:
        oks = "" if layer["oks_cost"] is None else f"{100 * layer['oks_cost']:8.2f}"
        ap = "" if layer["ap_cost"] is None else f"{100 * layer['ap_cost']:8.2f}"
        held = " and ".join(layout for layout in sorted(kept) if layer["name"] in kept[layout])
        mark = f"  in float in {held}" if held else ""
        print(f"{layer['name']:<46} {oks:>8} {ap:>8} {100 * layer['noise']:6.1f}%{mark}")
    for layout in found["chosen"]:
        print(
            f"{layout} layout: {100 * found['all_int8'][layout]:.1f} all in INT8, {100 * found['chosen'][layout]:.1f} with "
            f"{len(kept[layout])} layer{'s' * (len(kept[layout]) != 1)} in float, FP32 {100 * found['float_score']:.1f} ({found['measure']}); "
            f"{100 * found['eight_bit_share'][layout]:.1f} % of the multiply-adds in INT8"
        )
        if not found["met"][layout]:
            print(
                f"{layout} layout: the budget of {found['budget_points']:g} points was not met with "
                f"{100 * found.get('least_eight_bit', 0.9):.0f} % of the multiply-adds in INT8"
            )


def _write_cache(folder: ModelFolder, text: str, version: str) -> None:
    path = folder.path / f"calibration.trt-{version}.cache"
    write_text(path, text)
    print(
        f"{path}: the ranges of {folder.variant('int8-base')} (not of model.onnx, whose channels reach otherwise), for TensorRT {version} alone; "
        "another version skips it without a word",
        file=sys.stderr,
    )


@contextlib.contextmanager
def progress_bar(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, where that is a terminal; gives the function that moves it to (done, of all)."""
    from tqdm import tqdm

    with tqdm(total=0, desc=what, unit=unit, file=sys.stderr, disable=not sys.stderr.isatty()) as bar:

        def move(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield move
