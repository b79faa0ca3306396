"""Measure what `posetrt map` costs and gains.

  posetrt bench-map nano --source clips/
  posetrt bench-map nano --source clips/ --only sleeping --workers 64
  posetrt bench-map nano --source clips/ --only sleeping --workers 64 --on ray://127.0.0.1:10001

overhead: one worker by a bare loop of the same work, in turns. workers: two by one, a thread each; also with engines that only sleep,
which need no core each. memory: the driver's, from 100 to 10,000 tiny clips. sleeping: how busy many workers are kept whose engines
sleep two seconds a clip. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from typing import Any

from posetrt.arguments import add_engine_arguments, add_network_arguments, for_workers, pose_options
from posetrt.commands.map import add_place_arguments

SUMMARY = "what map costs and gains: overhead, workers, memory, how busy they are"

_PARTS = ("overhead", "workers", "memory", "sleeping")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt bench-map`."""
    add_network_arguments(parser)
    parser.add_argument("--source", metavar="SOURCE", required=True, action="append", help="clips, as map takes them")
    parser.add_argument("--only", choices=_PARTS, action="append", help="may be given again; default: all")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of overhead and workers (default 3)")
    parser.add_argument("--seconds", type=float, default=2.0, metavar="S", help="that a sleeping engine takes a clip (default 2)")
    add_place_arguments(parser)
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from posetrt.bench import corpus_benchmark
    from posetrt.bench.benchmark import this_machine
    from posetrt.corpus.label import LabelJob
    from posetrt.corpus.listing import check_sources
    from posetrt.corpus.mapping import job_note
    from posetrt.runtime.errors import UsageError

    if args.rounds < 1 or args.seconds <= 0:
        raise UsageError("--rounds is 1 or more, and --seconds above 0")
    check_sources(args.source)
    options = pose_options(args)
    options = replace(options, engine=replace(options.engine, threads=args.threads or 1))
    network = for_workers(args.folder)
    job = LabelJob(network, options, ("jsonl",), True, job_note(network, options, track=True))
    parts: dict[str, Any] = {"machine": this_machine()}
    for name in args.only or _PARTS:
        print(f"measuring {name}", file=sys.stderr)
        if name == "overhead":
            parts[name] = corpus_benchmark.overhead(job, args.source, args.rounds)
        elif name == "workers":
            parts[name] = corpus_benchmark.workers(job, args.source, args.rounds)
        elif name == "memory":
            parts[name] = corpus_benchmark.memory()
        else:
            parts[name] = corpus_benchmark.sleeping(args.workers or 64, args.seconds, on=args.on)
    print(json.dumps(parts, indent=1))
    return 0
