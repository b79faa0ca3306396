"""Measure how long each kind of head takes to decode, on outputs of drawn people. Needs no network and no camera.

  posetrt bench-heads
  posetrt bench-heads --people 1 10 --only simcc --torch

Beside each head runs a plain decoder in NumPy, in turns with it and on the same outputs; with --torch also raw YOLO in torch, as its
own tools decode it. Times are medians of processor time of all threads: set OMP_NUM_THREADS=1 for one thread. The head `paf` has
`posetrt bench-parser`.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from posetrt.arguments import add_json_argument

SUMMARY = "how long heads take to decode, beside plain decoders"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt bench-heads`."""
    parser.add_argument("--people", type=int, nargs="+", default=[1, 10], metavar="N", help="in a frame, or crops at once (default: 1 10)")
    parser.add_argument("--only", metavar="TEXT", help="heads whose name holds this, as rows or simcc (oks: the NMS alone)")
    parser.add_argument("--repeats", type=int, default=50, metavar="N", help="of each of eight frames (default: %(default)s)")
    parser.add_argument("--torch", action="store_true", help="raw YOLO in torch too; needs torch")
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    import cv2

    from posetrt.bench.heads.cases import cases
    from posetrt.bench.heads_benchmark import time_case, time_oks_nms
    from posetrt.runtime.errors import UsageError

    if args.repeats < 1 or min(args.people) < 1:
        raise UsageError("--repeats and --people take 1 or more")
    chosen = [case for case in cases() if args.only is None or args.only in case.name]
    nms = args.only is None or args.only in "oks"
    if not chosen and not nms:
        raise UsageError(f"--only {args.only}: no head is called so; there are " + "; ".join(case.name for case in cases()))
    cv2.setNumThreads(1)
    rows = []
    for case in chosen:
        print(f"measuring {case.name}", file=sys.stderr)
        rows += [time_case(case, people, args.repeats) for people in args.people]
    report: dict[str, Any] = {"heads": [asdict(row) for row in rows]}
    if nms:
        report["oks_nms"] = [asdict(row) for row in time_oks_nms(args.repeats)]
    if args.torch:
        from posetrt.bench.heads.in_torch import time_torch

        report["torch"] = [asdict(row) for row in time_torch(args.people, args.repeats)]
    print(json.dumps(report, indent=1) if args.json else _text(report))
    return 0


def _text(report: dict[str, Any]) -> str:
    lines = []
    if report["heads"]:
        lines.append(
            f"{'head':<32} {'people':>6} {'ms':>8} {'plain ms':>9} {'ratio':>6} {'us/crop':>8} {'recall':>7} {'px':>6} {'plain recall':>13}"
        )
    for row in report["heads"]:
        ratio = None if row["plain_ms"] is None else row["plain_ms"] / row["ms"]
        lines.append(
            f"{row['name']:<32} {row['people']:>6} {row['ms']:>8.3f} {_cell(row['plain_ms'], 9, '.3f')} {_cell(ratio, 6, '.1f')} "
            f"{_cell(row['per_person_us'], 8, '.1f')} {row['recall']:>7.3f} {_cell(row['error_px'], 6, '.2f')} "
            f"{_cell(row['plain_recall'], 13, '.3f')}"
        )
    if "torch" in report:
        lines += ["", f"{'raw YOLO (1,56,8400)':<32} {'people':>6} {'ms':>8} {'torch ms':>9} {'ratio':>6}"]
        lines += [
            f"{'':<32} {row['people']:>6} {row['ms']:>8.3f} {row['torch_ms']:>9.3f} {row['torch_ms'] / row['ms']:>6.1f}"
            for row in report["torch"]
        ]
    if "oks_nms" in report:
        lines += ["", f"{'OKS NMS of 300 people':<32} {'stay':>6} {'ms':>8} {'plain ms':>9} {'ratio':>6}"]
        lines += [
            f"{row['people']:<32} {row['stay']:>6} {row['ms']:>8.3f} {row['plain_ms']:>9.3f} {row['plain_ms'] / row['ms']:>6.1f}"
            for row in report["oks_nms"]
        ]
    return "\n".join(lines)


def _cell(value: float | None, width: int, form: str) -> str:
    return f"{'-' if value is None else format(value, form):>{width}}"
