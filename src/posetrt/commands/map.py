"""Find the people of many clips: resumable, on all cores of this machine or on a Ray cluster.

  posetrt map person/ --source 'clips/**/*.mp4' --output out/
  posetrt map person/ --source clips/ --source list.txt --output out/ --precision int8 --sinks jsonl,coco,parquet
  posetrt map person/ --source 'clips/**/*.mp4' --output out/ --on ray://head:10001

A source is a video, a photograph, a folder (every video below it, and each folder's photographs), a pattern in quotes, or a .txt list
with one path per line. Each clip gives one file per sink, and a record below done/; manifest.jsonl lists all of them. A second call does
what is missing: clips are known by path, size and date, and by their content where these changed. A clip that fails is tried twice
again, then listed with its error, and never ends the job; the exit code is then 1.

On a cluster, every machine needs the same posetrt, and the clips and the model folder under the same paths. Results are written by
the machine that the command runs on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from posetrt.arguments import (
    add_detector_arguments,
    add_engine_arguments,
    add_hands_and_face_arguments,
    add_network_arguments,
    check_detector,
    for_workers,
    pose_options,
)

if TYPE_CHECKING:
    from posetrt.corpus.mapping import Tally

SUMMARY = "find the people of many clips, on all cores or on a Ray cluster"

_SINKS = ("jsonl", "coco", "parquet")
"""As corpus.shards has them; a test holds both together."""


def add_place_arguments(parser: argparse.ArgumentParser, default: str | None = "local") -> None:
    """Where the work is done, common to the commands that work on a corpus; `default` where nothing is said."""
    own = "workers on this machine" if default is None else "this machine (default)"
    parser.add_argument(
        "--on",
        metavar="local|auto|ray://HOST:PORT",
        default=default,
        help=f"local: {own}; a Ray cluster; auto: the cluster of this machine",
    )
    parser.add_argument(
        "--workers", type=int, default=0, metavar="N", help="workers, each with an engine of its own (default: one per core)"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt map`."""
    add_network_arguments(parser)
    parser.add_argument("--source", metavar="SOURCE", required=True, action="append", help="see above; may be given again")
    parser.add_argument("--output", "-o", metavar="DIR", type=Path, required=True, help="the folder of results")
    parser.add_argument(
        "--sinks", metavar="LIST", default="jsonl", help="what is written of each clip: jsonl,coco,parquet (default: jsonl)"
    )
    add_place_arguments(parser)
    parser.add_argument("--retry-failed", action="store_true", help="try clips again that could not be read in an earlier call")
    parser.add_argument("--no-track", action="store_true", help="no person ids (photographs never have any)")
    parser.add_argument("--boxes", metavar="whole", choices=["whole"], help="a network for one person looks at the whole frame")
    parser.add_argument("--json", action="store_true", help="the summary for machines, on stdout")
    parser.add_argument("--quiet", action="store_true", help="print nothing but failures")
    add_detector_arguments(parser, follow=False)
    add_hands_and_face_arguments(parser)
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Label what is missing; 1 where a clip failed or could be read in part only."""
    from posetrt.corpus.label import LabelJob
    from posetrt.corpus.mapping import MOST_LISTED, Place, job_note, map_clips

    check_detector(args)
    sinks = _sinks(args.sinks)
    options = pose_options(args)
    # The same arithmetic whatever the number of workers.
    options = replace(options, engine=replace(options.engine, threads=args.threads or 1))
    network = for_workers(args.folder)
    detector, hands, face = (
        None if given is None else for_workers(Path(given)) for given in (options.detector, options.hands, options.face)
    )
    options = replace(options, detector=detector, hands=hands, face=face)
    note = job_note(network, options, track=not args.no_track)
    job = LabelJob(network, options, sinks, not args.no_track, note)

    def say(line: str) -> None:
        if not args.quiet:
            print(line, file=sys.stderr, flush=True)

    place = Place(args.on, args.workers, options.engine.threads)
    tally = map_clips(
        job, args.source, args.output, place, note=note, retry_failed=args.retry_failed, say=say, progress=_Progress(quiet=args.quiet)
    )
    say(tally.line())
    for line in tally.shares():
        say(line)
    for source, error in tally.failures:
        print(f"failed: {source}: {error}", file=sys.stderr)
    if tally.failed > MOST_LISTED:
        print(f"and {tally.failed - MOST_LISTED} more: see {args.output / 'manifest.jsonl'}", file=sys.stderr)
    for source, missing in tally.incomplete:
        print(f"incomplete: {source}: {missing}", file=sys.stderr)
    if args.json:
        print(json.dumps({name: value for name, value in asdict(tally).items() if name not in ("whole", "began_s", "first_s")}, indent=1))
    return 1 if tally.failed or tally.incomplete else 0


class _Progress:
    """A line that is written over on a terminal, and one a minute elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet, self._told = quiet, time.monotonic()

    def __call__(self, tally: Tally) -> None:
        terminal, now = sys.stderr.isatty(), time.monotonic()
        if self._quiet or now - self._told < (0.2 if terminal else 60):
            return
        self._told = now
        print(f"\r{tally.line()}\033[K" if terminal else tally.line(), end="" if terminal else "\n", file=sys.stderr, flush=True)


def _sinks(text: str) -> tuple[str, ...]:
    from posetrt.runtime.errors import UsageError

    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names or set(names) - set(_SINKS):
        raise UsageError(f"--sinks takes some of {', '.join(_SINKS)}, with commas between them; got {text!r}")
    return names
