"""Plan a roll-out: which boards of a fleet can take which engine, and what must be built where.

  posetrt doctor --json > robot-7.json                         on each board
  posetrt rollout plan person/ --boards reports/               a folder of them, or a list.json
  posetrt rollout plan person/ --boards list.json --precision int8 --json

A list is [{"name": "robot-7", "doctor": "robot-7.json"}, ...], with a path or the report itself. Nothing is sent to any board: rsync
and ssh do that. Exit code 1 where a board is blocked.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from posetrt.runtime.engines.base import PRECISIONS

SUMMARY = "which boards of a fleet can take which engine, and what must be built where"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt rollout`."""
    parser.add_argument("action", choices=["plan"], help="a report; there is no agent on the boards")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a model folder, or nano")
    parser.add_argument("--boards", metavar="FILE|DIR", type=Path, required=True, help="reports of posetrt doctor --json")
    parser.add_argument("--precision", choices=PRECISIONS, help="default: the folder's, else fp16 on a GPU and fp32 on a CPU")
    parser.add_argument("--json", action="store_true", help="for machines, on stdout")


def run(args: argparse.Namespace) -> int:
    """Plan and print."""
    from posetrt.rollout import plan, read_machines, table
    from posetrt.runtime.model.folder import open_folder

    verdicts = plan(open_folder(args.folder), read_machines(args.boards), args.precision)
    print(json.dumps([asdict(one) for one in verdicts], indent=1) if args.json else table(verdicts))
    return 1 if any(one.state == "blocked" for one in verdicts) else 0
