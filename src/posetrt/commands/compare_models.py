"""Find where two networks, or two precisions of one, disagree most in a corpus.

  posetrt compare-models person/ next/ --source clips/ -o differences/
  posetrt compare-models person/ person/ --precision-a fp32 --precision-b int8 --source 'clips/**/*.mp4' -o differences/
  posetrt compare-models person/ next/ --source clips/ -o differences/ --select 200

Disagreement is one minus the OKS between the people of both in a frame; a person whom only one finds counts as 0. compare.html shows the
worst frames side by side: look at them before a roll-out. --select N writes the N worst frames, which are what to label next, as
select.csv, and their clips as select.txt, which --source takes. No two of them are within a second of each other in one clip.

Networks with different skeletons are compared by COCO's 17 parts. --detector and --boxes are for the networks that need them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posetrt.arguments import add_detector_arguments, add_engine_arguments, check_detector, for_workers, network_path, pose_options
from posetrt.commands.map import add_place_arguments
from posetrt.runtime.engines.base import PRECISIONS

if TYPE_CHECKING:
    from posetrt.corpus.work import Outcome
    from posetrt.runtime.pose import PoseOptions

SUMMARY = "where two networks or precisions disagree most in a corpus"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt compare-models`."""
    parser.add_argument("first", metavar="A", type=network_path, help="a model folder, a bare .onnx, an engine, or nano")
    parser.add_argument("second", metavar="B", type=network_path, help="another one, or the same with another precision")
    parser.add_argument("--source", metavar="SOURCE", required=True, action="append", help="as map takes it; may be given again")
    parser.add_argument("--output", "-o", metavar="DIR", type=Path, required=True, help="for compare.html, compare.json and the lists")
    for name in ("a", "b"):
        parser.add_argument(f"--precision-{name}", choices=PRECISIONS, help=f"of {name.upper()}; default: the folder's")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="look at every N-th frame of a video (default 1)")
    parser.add_argument("--worst", type=int, default=12, metavar="N", help="frames that the page shows (default 12)")
    parser.add_argument("--select", type=int, metavar="N", help="write the N worst frames as a list")
    add_place_arguments(parser)
    parser.add_argument("--boxes", metavar="whole", choices=["whole"], help="a network for one person looks at the whole frame")
    parser.add_argument("--json", action="store_true", help="the figures for machines, on stdout")
    add_detector_arguments(parser, follow=False)
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Compare, write, print; 1 where a clip could not be read."""
    from posetrt.corpus.disagreement import CompareJob, common_skeleton, join, manifest_at
    from posetrt.corpus.disagreement_page import figures, write_page, write_selection
    from posetrt.corpus.fleet import check_place, outcomes
    from posetrt.corpus.listing import check_sources, clips
    from posetrt.runtime.errors import PosetrtError, UsageError
    from posetrt.runtime.sources.names import readable

    check_detector(args)
    check_place(args.on, args.workers)
    check_sources(args.source)
    for name in ("every", "worst", "select"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise UsageError(f"--{name} is 1 or more; got {value}")
    paths = (for_workers(args.first), for_workers(args.second))
    manifests = (manifest_at(paths[0]), manifest_at(paths[1]))
    common_skeleton(manifests[0].skeleton, manifests[1].skeleton)
    options = tuple(
        _options(args, precision, manifest) for precision, manifest in zip((args.precision_a, args.precision_b), manifests, strict=True)
    )
    keep = max(args.worst, args.select or 0)
    job = CompareJob(paths, (options[0], options[1]), args.every, keep)
    failures: list[Outcome] = []

    def failed(outcome: Outcome) -> None:
        failures.append(outcome)
        print(f"failed: {readable(outcome.item.path)}: {outcome.error}", file=sys.stderr)

    came = outcomes(
        job, clips(args.source), args.on, args.workers, threads=options[0].engine.threads, say=lambda line: print(line, file=sys.stderr)
    )
    compared = join(_watched(came), keep, failed)
    if not compared.frames:
        raise PosetrtError(f"none of the {len(failures)} clips could be read; the last: {failures[-1].error}")
    names = _names(paths, (args.precision_a, args.precision_b))
    page = write_page(args.output, compared, names, manifests, args.worst)
    print(f"wrote {page}", file=sys.stderr)
    if args.select:
        chosen = compared.worst[: args.select]
        print(f"wrote {write_selection(args.output, chosen)} and select.csv, with {len(chosen)} frames", file=sys.stderr)
    told = figures(compared, names)
    if args.json:
        print(json.dumps(told, indent=1))
    else:
        print(
            f"{compared.frames} frames: agreement {compared.agreement:.3f}; {names[0]} finds {compared.first} people, {names[1]} {compared.second};"
        )
        print(f"{compared.counts_differ} frames with another number of people")
    return 1 if failures else 0


def _options(args: argparse.Namespace, precision: str | None, manifest: Any) -> PoseOptions:
    """As the options ask; boxes and detectors for a network that needs them alone."""
    options = pose_options(args)
    options = replace(options, engine=replace(options.engine, precision=precision, threads=args.threads or 1))
    if manifest.head.scope != "crop":
        return replace(options, boxes=None, detector=None, detector_precision=None, detector_score=None)
    return replace(options, detector=None if options.detector is None else for_workers(Path(options.detector)))


def _watched(came: Iterator[Outcome]) -> Iterator[Outcome]:
    for count, outcome in enumerate(came, 1):
        if sys.stderr.isatty():
            print(f"\r{count} clips", end="", file=sys.stderr)
        yield outcome


def _names(paths: tuple[Path, Path], precisions: tuple[str | None, str | None]) -> tuple[str, str]:
    """What people call the two: folders, with the precision where it was asked for; never alike."""
    from posetrt.runtime.model.shipped import shipped_name

    given = [
        " ".join(filter(None, (shipped_name(path) or path.name, precision))) for path, precision in zip(paths, precisions, strict=True)
    ]
    if given[0] == given[1]:
        given = [f"A: {given[0]}", f"B: {given[1]}"]
    return given[0], given[1]
