"""Compare two benchmark reports: the second by the first, with 95 % intervals.

  posetrt bench person/ --source clip.mp4 --report before/
  posetrt bench person/ --source clip.mp4 --report after/
  posetrt compare before/report.json after/report.json

Refuses, with exit code 1, where network, input size, source or power mode differ; --anyway compares all the same.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

SUMMARY = "two benchmark reports against each other, with intervals"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt compare`."""
    parser.add_argument("first", metavar="A.json", type=Path, help="a report.json, or what bench --json printed")
    parser.add_argument("second", metavar="B.json", type=Path, help="another one")
    parser.add_argument("--anyway", action="store_true", help="compare although sizes, modes, networks or sources differ")
    parser.add_argument("--json", action="store_true", help="for machines, on stdout")


def run(args: argparse.Namespace) -> int:
    """Read, compare and print."""
    from posetrt.bench.benchmark_report import read_report
    from posetrt.bench.comparison import compare, comparison_table, differences

    first, second = read_report(args.first), read_report(args.second)
    ratios = compare(first, second, anyway=args.anyway)
    for difference in differences(first, second):
        print(f"posetrt compare: these differ: {difference}", file=sys.stderr)
    if args.json:
        print(json.dumps([{**asdict(one), "verdict": one.verdict} for one in ratios], indent=1))
    else:
        print(comparison_table(first, second, ratios))
    return 0
