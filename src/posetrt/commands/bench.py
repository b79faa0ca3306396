"""Measure a network: fps, latency, memory, watts and, with annotated photographs, accuracy; one row per precision.

  posetrt bench person/ --source clip.mp4
  posetrt bench person/ --source clip.mp4 --coco person_keypoints.json --images photos/ --report bench/
  posetrt bench person/ --hands hand/ --face face/ --people 0,1,5,20
  sudo posetrt bench person/ --source clip.mp4 --report bench/ --power-mode 15W --power-mode MAXN_SUPER --clocks

All precisions run in one process, in interleaved rounds, so that the rows compare. "network" is the network alone;
"end-to-end" is decoding, letterbox, network and parser, overlapped as `posetrt run` works, and "age" is how old a frame is
when its people are known; p50, p90 and p99 are the latency of one frame at a time. On a GPU, enqueue, the network, copy in and copy out
stand apart. "run, peak" is the peak memory of the whole of `posetrt run`. A second table has the columns of Ultralytics' `benchmark`.
Watts are measured where the machine has sensors that can be read, and are otherwise "not measured".

--hands and --face are measured as part of the whole. --people 0,1,5,20 measures what each of the two costs with that number of people in view. It
draws its own pictures, so it needs no --source, and networks with random weights will do.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from posetrt.arguments import (
    add_detector_arguments,
    add_engine_arguments,
    add_hands_and_face_arguments,
    check_detector,
    engine_options,
    network_path,
    pose_options,
)
from posetrt.runtime.engines.base import PRECISIONS

if TYPE_CHECKING:
    from posetrt.bench.benchmark_report import Report, Result
    from posetrt.calib.accuracy.coco import CocoPhotos
    from posetrt.jetson.board import Board
    from posetrt.runtime.engines.base import Precision
    from posetrt.runtime.errors import PosetrtError
    from posetrt.runtime.people import People

NOT_WITH_PEOPLE = ("source", "precision", "detector", "report", "chart", "coco", "power_mode", "clocks")
SUMMARY = "fps, latency, memory, watts and accuracy per precision"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt bench`."""
    parser.add_argument("folder", metavar="FOLDER", type=network_path, help="a model folder, a bare .onnx, an engine, or nano")
    parser.add_argument("--source", metavar="PHOTO|DIR|VIDEO", help="frames to time with")
    parser.add_argument("--precision", choices=PRECISIONS, action="append", help="may be given again; default: all that were built")
    add_hands_and_face_arguments(parser)
    add_detector_arguments(parser, follow=True)
    parser.add_argument(
        "--people", metavar="N,N,...", type=_counts, help="what hands and face cost with this many people in view, as 0,1,5,20"
    )
    parser.add_argument("--frames", type=int, default=60, metavar="N", help="frames per round (default 60)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="interleaved rounds (default 3)")
    parser.add_argument("--coco", metavar="ANNOTATIONS", type=Path, help="COCO key points: adds AP (with --images)")
    parser.add_argument("--images", metavar="DIR", type=Path, help="the photographs that --coco names")
    parser.add_argument("--report", metavar="DIR", type=Path, help="write index.html with charts, report.json and bench.png there")
    parser.add_argument("--json", action="store_true", help="the report for machines, on stdout")
    parser.add_argument("--chart", metavar="FILE.png", type=Path, help="the table as a picture")
    board = parser.add_argument_group("on a Jetson")
    board.add_argument(
        "--power-mode",
        metavar="NAME",
        action="append",
        help="measure in this mode, then put back the present one (root); may be given again",
    )
    board.add_argument("--clocks", action="store_true", help="hold the mode's highest clocks with jetson_clocks, then put back (root)")
    board.add_argument(
        "--cool-down",
        type=float,
        default=120.0,
        metavar="S",
        help="wait so long at most for the board to cool between rounds (default 120)",
    )
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from posetrt.bench.benchmark import precisions_of
    from posetrt.bench.benchmark_report import formats_table, table
    from posetrt.jetson.nvpmodel import read_power_modes
    from posetrt.runtime.errors import UsageError

    if (args.coco is None) != (args.images is None):
        raise UsageError("--coco and --images go together: the annotations, and the folder with their photographs")
    check_detector(args)
    if args.frames < 1 or args.rounds < 1:
        raise UsageError(f"--frames and --rounds must be at least 1; got {args.frames} and {args.rounds}")
    if args.people is not None:
        passed_over = [f"--{name.replace('_', '-')}" for name in NOT_WITH_PEOPLE if getattr(args, name)]
        if passed_over:
            raise UsageError(f"--people measures hands and face alone, without {' and '.join(passed_over)}: leave out one or the other")
        return _people_cost(args)
    if args.source is None:
        raise UsageError("--source says which frames to time with; without one, --people measures what hands and face cost")
    modes = read_power_modes() if args.power_mode else None
    for mode in args.power_mode or []:
        # Elsewhere than on a Jetson `held` says what is missing.
        if modes is not None:
            modes.id_of(mode)
    photos = _annotated(args)
    precisions = precisions_of(args.folder, args.precision, args.backend)
    first, *others = args.power_mode or [None]
    reports = [_in_mode(args, precisions, first)]
    lost = []
    for mode in others:
        one = _in_mode_or_why_not(args, precisions, mode)
        if isinstance(one, str):
            lost.append(one)
            _progress(one)
        else:
            reports.append(one)
    notes = tuple(dict.fromkeys([note for one in reports for note in one.notes] + lost))
    report = replace(reports[0], results=tuple(row for one in reports for row in one.results), notes=notes)
    if photos is not None:
        report = _with_accuracy(args, report, precisions, photos)
    print(json.dumps(report.to_dict(), indent=1) if args.json else f"{table(report)}\n\n{formats_table(report)}")
    if args.report:
        from posetrt.bench.bench_page import write_bench_report

        _progress(f"wrote {write_bench_report(report, args.report)}")
    if args.chart:
        from posetrt.bench.charts import bench_chart

        bench_chart(report, args.chart)
    return 1 if lost else 0


def _annotated(args: argparse.Namespace) -> CocoPhotos | None:
    """The annotated photographs, read before anything is measured.

    Raises:
        UsageError: the network looks at one person a box.
    """
    from posetrt.calib.accuracy.coco import coco_photos
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.model.sidecar import manifest_of

    if args.coco is None:
        return None
    if manifest_of(args.folder).head.scope == "crop" and args.detector is None:
        raise UsageError(
            "bench --coco judges networks that find everybody; posetrt eval judges this one in the annotated boxes, or give --detector"
        )
    return coco_photos(args.coco, args.images)


def _counts(text: str) -> tuple[int, ...]:
    """`0,1,5,20` → (0, 1, 5, 20)."""
    parts = text.split(",")
    if not all(part.strip().isdigit() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers of people; write them as in 0,1,5,20")
    return tuple(int(part) for part in parts)


def _people_cost(args: argparse.Namespace) -> int:
    """Measure and print what hands and face cost as people grow in number."""
    from posetrt.bench.benchmark import this_machine
    from posetrt.bench.people_cost import cost_table, measure_people
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.find.refine import open_refiner
    from posetrt.runtime.model.sidecar import manifest_of

    skeleton = manifest_of(args.folder).skeleton
    refiner = open_refiner(
        skeleton,
        args.hands,
        args.face,
        hands_options=engine_options(args, args.hands_precision),
        face_options=engine_options(args, args.face_precision),
    )
    if refiner is None:
        raise UsageError("--people measures what hands and face cost: give --hands FOLDER, --face FOLDER or both")
    try:
        costs = measure_people(refiner, skeleton, args.people, rounds=args.rounds, progress=_progress)
        networks = {
            what: {
                "network": network.manifest.network,
                "size_wh": network.manifest.input.size_wh,
                "precision": network.engine.precision,
                "backend": network.engine.backend,
                "at_once": network.at_once,
            }
            for what, network in refiner.networks.items()
        }
    finally:
        refiner.close()
    if args.json:
        report = {"networks": networks, "rounds": args.rounds, "machine": this_machine(), "people": [cost.to_dict() for cost in costs]}
        print(json.dumps(report, indent=1))
        return 0
    for what, network in refiner.networks.items():
        print(f"{what}: {network}")
    print(cost_table(costs))
    return 0


def _progress(line: str) -> None:
    print(line, file=sys.stderr)


def _in_mode(args: argparse.Namespace, precisions: Sequence[Precision | None], mode: str | None) -> Report:
    """Measure in a power mode, or as the board stands."""
    from posetrt.jetson.board import read_board
    from posetrt.jetson.power import held

    board = read_board()
    with ExitStack() as stack:
        name = board.power_mode if board else None
        if mode is not None or args.clocks:
            name = stack.enter_context(held(mode, clocks=args.clocks))
            # Clocks as they are in this mode.
            board = read_board()
        return _measure(args, precisions, name, board)


def _in_mode_or_why_not(args: argparse.Namespace, precisions: Sequence[Precision | None], mode: str) -> Report | str:
    """What was measured before must not be lost with a mode that fails."""
    from posetrt.runtime.errors import PosetrtError

    try:
        return _in_mode(args, precisions, mode)
    except PosetrtError as error:
        return f"{mode} was not measured: {error}"


def _measure(args: argparse.Namespace, precisions: Sequence[Precision | None], mode: str | None, board: Board | None) -> Report:
    from posetrt.bench.benchmark import MeasureOptions, measure
    from posetrt.jetson.telemetry import cool_down, watch
    from posetrt.runtime.sources import open_source

    with watch() as telemetry:
        measured = telemetry.source != "not measured"
        start_c = telemetry.settled_c()
        hot = False

        def settle() -> None:
            nonlocal hot
            if start_c is not None:
                hot |= not cool_down(telemetry, start_c, args.cool_down)

        options = MeasureOptions(
            precisions=precisions,
            pose=pose_options(args),
            frames=args.frames,
            rounds=args.rounds,
            round_s=3.0 if measured else 0.0,
            telemetry=telemetry if telemetry.sampling else None,
            power_mode=mode,
            settle=settle if board else None,
            progress=_progress if mode is None else lambda line: _progress(f"{mode}, {line}"),
        )
        report = measure(args.folder, open_source(args.source), Path(args.source).name, options)
        machine = {**report.machine, "board": board.to_dict()} if board else report.machine
        notes = list(telemetry.notes)
        rows = tuple(
            replace(row, quantised_layers=_quantised(args.folder, row), run_peak_mb=_run_peak_mb(args, precision, notes))
            for row, precision in zip(report.results, precisions, strict=True)
        )
        if hot:
            notes.append(
                f"The board did not cool to where it started within {args.cool_down:.0f} s: later rounds ran hotter than the first."
            )
        return replace(report, results=rows, machine=machine, notes=tuple(notes))


def _run_peak_mb(args: argparse.Namespace, precision: Precision | None, notes: list[str]) -> float | None:
    """Peak memory of `posetrt run`; None for a network in boxes that nobody gave, which that command refuses, and with a note where it failed."""
    from posetrt.bench.run_memory import run_peak_mb
    from posetrt.runtime.errors import PosetrtError
    from posetrt.runtime.model.sidecar import manifest_of

    if manifest_of(args.folder).head.scope == "crop" and args.detector is None:
        return None
    options = {"precision": precision, "backend": args.backend, "threads": args.threads, "trust": args.trust, "cuda_graph": args.cuda_graph}
    for name in ("hands", "face", "detector"):
        if getattr(args, name) is not None:
            options[name] = str(getattr(args, name))
    _progress("memory of a run")
    try:
        return run_peak_mb(args.folder, args.source, options, args.frames)
    except PosetrtError as error:
        # The other figures took minutes, and stand.
        notes.append(f"Peak memory was not measured: {error}.")
        return None


def _quantised(folder: Path, row: Result) -> float | None:
    """Share of an int8 engine's layers that run in INT8, where its library tells: TensorRT does, ONNX Runtime does not."""
    from posetrt.commands.inspect import describe
    from posetrt.runtime.engines.choose import built_engines
    from posetrt.runtime.model.folder import ModelFolder

    if row.precision != "int8" or row.backend == "onnxruntime" or not folder.is_dir():
        return None
    for path, sidecar in built_engines(ModelFolder(folder), "int8", row.backend).items():
        share = describe(path, sidecar).get("share")
        if share is not None:
            return float(share["of_layers"])
    return None


def _nobody_in(parts: int, error: PosetrtError) -> People:
    """What stands for a broken photograph, once it was told."""
    from posetrt.runtime.people import nobody

    _progress(f"skipped, and nobody is found in it: {error}")
    return nobody(parts)


def _with_accuracy(args: argparse.Namespace, report: Report, precisions: Sequence[Precision | None], photos: CocoPhotos) -> Report:
    """AP of each precision and, to the first, its difference with an interval; a power mode changes neither."""
    from posetrt.calib.accuracy.coco import find_people
    from posetrt.calib.accuracy.people_of import DETECTED
    from posetrt.calib.accuracy.report import compare_precisions
    from posetrt.runtime.pose import open_pose

    found: dict[str, Sequence[People]] = {}
    for precision in precisions:
        given = pose_options(args)
        least = DETECTED if args.detector_score is None else args.detector_score
        judged_as = replace(
            given,
            engine=engine_options(args, precision),
            preset="evaluate" if args.preset == "balanced" else args.preset,
            detector_score=least if args.detector else None,
            hands=None,
            face=None,
        )
        with open_pose(args.folder, judged_as) as pose:
            _progress(f"accuracy on {len(photos)} photographs: {pose.people_engine.precision}")
            skeleton = pose.manifest.skeleton
            found[pose.people_engine.precision] = find_people(pose, photos.paths.values(), None, partial(_nobody_in, len(skeleton.parts)))
    judged = {one.precision: one for one in compare_precisions(found, list(photos.paths.values()), skeleton, photos)}
    rows = []
    for row in report.results:
        one = judged[row.precision]
        delta = one.delta
        rows.append(
            replace(
                row,
                ap=one.figures["ap"],
                ap50=one.figures["ap50"],
                delta_ap=delta.delta if delta else None,
                delta_ap_low=delta.low if delta else None,
                delta_ap_high=delta.high if delta else None,
            )
        )
    return replace(report, results=tuple(rows), photographs=len(photos))
