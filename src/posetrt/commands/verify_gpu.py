"""Show on a machine with a GPU that engines are built, right, quick and free of leaks.

At the desk, make what is carried there (with packages for a bare machine; --no-wheels where it has them, as a Jetson):

  posetrt verify-gpu bundle/ --prepare --model nano/ --model hpe0001/ --photographs DIR --video clip.avi
  posetrt verify-gpu bundle/ --prepare --model hpe0001/ --model nano --model yolo11n-pose/ --model pp-tinypose/ --model rtmdet/ \\
    --photographs DIR --video clip.avi          whole families: frames, crops, boxes

There:

  bundle/verify.sh                 everything
  bundle/verify.sh --minutes 9     what fits one call of ten minutes

It builds each model in each precision, compares outputs with ONNX Runtime's float32 (fp32 without TF32 within 1e-3 of the
output's range, fp16 within 1e-2, int8 by its people: what its graph costs at the desk), times network, copies and
frames, runs the video, watches the memory over 10,000 frames, times each tensor shared and copied and keeps the fastest in the
engine's sidecar, hands TensorRT a damaged engine, times the same graphs on ONNX Runtime's CUDA and in PyTorch where a Python of the
machine has them (rows that decide nothing; else they say why not), and writes result.json and result.md, which are what to send back: they hold every
fall-back that a build took. Exit code 0 where everything passed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from posetrt.arguments import network_path

SUMMARY = "check engines on a machine with a GPU"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt verify-gpu`."""
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="folder with models and reference outputs")
    parser.add_argument(
        "--backend",
        choices=["auto", "tensorrt", "tensorrt-rtx", "onnxruntime"],
        default="auto",
        help="default: this machine's TensorRT; onnxruntime tries the checks on a CPU, and verifies no GPU",
    )
    parser.add_argument("-o", "--output", metavar="NAME", type=Path, default=Path("result"), help="writes NAME.json and NAME.md")
    parser.add_argument(
        "--leak-frames", metavar="N", type=int, default=10_000, help="frames that the memory is watched for (default: 10000)"
    )
    parser.add_argument(
        "--minutes", metavar="N", type=float, help="leave out what has not begun after N minutes, and say so (default: do everything)"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON instead of the table")
    group = parser.add_argument_group("at the desk")
    group.add_argument("--prepare", action="store_true", help="make the bundle")
    group.add_argument("--model", metavar="FOLDER", type=network_path, action="append", default=[], help="a model folder; give it for each")
    group.add_argument("--photographs", metavar="DIR", type=Path, help="photographs with people to compare on")
    group.add_argument("--video", metavar="FILE", type=Path)
    group.add_argument("--compare", metavar="N", type=int, default=8, help="photographs to compare (default: 8)")
    group.add_argument("--no-body25", action="store_true", help="leave out BODY_25 with random weights, which is there for its time")
    group.add_argument("--no-wheels", action="store_true", help="carry no packages")
    group.add_argument("--python", default="3.12", help="version of the bare machine's Python (default: 3.12)")


def run(args: argparse.Namespace) -> int:
    """Prepare a bundle, or verify this machine with one."""
    from posetrt.runtime.errors import UsageError

    def say(line: str) -> None:
        print(line, file=sys.stderr)

    if args.prepare:
        from posetrt.bench.verification_bundle import prepare

        if args.photographs is None:
            raise UsageError("--prepare needs --photographs DIR")
        prepare(
            args.bundle,
            args.photographs,
            models=args.model,
            video=args.video,
            compared=args.compare,
            timing_size_wh=None if args.no_body25 else (656, 368),
            wheels=not args.no_wheels,
            python=args.python,
            say=say,
        )
        print(f"{args.bundle}: carry it to the machine with the GPU and run {args.bundle}/verify.sh")
        return 0
    from posetrt.bench.verification import verify
    from posetrt.bench.verification_row import table
    from posetrt.runtime.engines.choose import best_backend
    from posetrt.runtime.engines.driver import probe
    from posetrt.runtime.engines.library import installed
    from posetrt.runtime.files import write_json, write_text

    if args.backend == "auto" and best_backend() == "onnxruntime":
        installed()  # says what is missing: TensorRT,
        probe()  # or the driver
    report = verify(args.bundle, args.backend, leak_frames=args.leak_frames, minutes=args.minutes, say=say)
    # Not with_suffix: a version in the name, as in orin_trt10.3, is no suffix.
    name = args.output.name.removesuffix(".json")
    write_json(args.output.with_name(f"{name}.json"), report)
    write_text(args.output.with_name(f"{name}.md"), table(report) + "\n")
    print(json.dumps(report, indent=1) if args.json else table(report))
    gpu = report["machine"]["gpu"]
    where = f"{gpu['name']}, {report['machine']['library']}" if gpu else "no GPU was verified: this ran on ONNX Runtime"
    say(
        f"{'passed' if report['passed'] else 'FAILED'} in {report['seconds']} s ({where}); leak: {report['leak']}; video: {report['video']}"
    )
    for engine, choice in report["memory"].items():
        if isinstance(choice, dict):
            times = ", ".join(f"{json.dumps(trial['options'])} {trial['frame_ms']:.2f} ms" for trial in choice["trials"])
            say(f"{engine}: {times}; kept in its sidecar: {json.dumps(choice['kept'])}")
    if gpu:
        say(f"send back {name}.json and {name}.md, in an issue of the project, for docs/measurements/verified.md")
    return 0 if report["passed"] else 1
