"""Build an engine for this device from a model folder.

  posetrt build person/ --precision fp16
  posetrt build person/ --precision int8 --workspace 2048

TensorRT builds on the device that will run it. On a computer without TensorRT the backend is ONNX Runtime, whose engine
is the graph optimised for this CPU. The engine and its sidecar (what it was built from, by what and for what) go to
person/engines/.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from posetrt.arguments import add_backend_argument, network_path, size_wh
from posetrt.runtime.engines.base import PRECISIONS

SUMMARY = "model folder to an engine for this device"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt build`."""
    parser.add_argument("folder", metavar="FOLDER", type=network_path, help="a model folder, or nano")
    parser.add_argument("--precision", choices=PRECISIONS, help="default: the folder's, else fp16 on a GPU and fp32 on a CPU")
    add_backend_argument(parser)
    parser.add_argument("--if-needed", action="store_true", help="build nothing where a fitting engine is there already")
    parser.add_argument("--default", action="store_true", help="make this precision what `run` takes when given none")
    group = parser.add_argument_group("TensorRT")
    group.add_argument("--workspace", metavar="MB", type=int, help="scratch memory of layers (default: fits the board)")
    group.add_argument("--dla", metavar="CORE", type=int, help="build for a DLA core; layers that it lacks run on the GPU")
    group.add_argument("--opt-level", metavar="0..5", type=int, help="0 builds fast, 5 searches long (default: TensorRT's own)")
    group.add_argument("--sparsity", action="store_true", help="use 2:4 sparse weights")
    group.add_argument("--tf32", action=argparse.BooleanOptionalAction, default=True, help="float32 layers may use TF32 (default: yes)")
    group.add_argument("--explicit-qdq", action="store_true", help="int8 from the Q/DQ graph also where TensorRT takes ranges")
    group.add_argument("--min-size", metavar="WxH", type=size_wh, help="of a network exported with a range of sizes")
    group.add_argument("--opt-size", metavar="WxH", type=size_wh, help="the size to be fastest at (default: the folder's)")
    group.add_argument("--max-size", metavar="WxH", type=size_wh)
    group.add_argument("--opt-batch", metavar="N", type=int, help="the batch to be fastest at (default: 1)")
    group.add_argument("--max-batch", metavar="N", type=int, help="default: the network's own")
    group.add_argument("--version-compatible", action="store_true", help="let newer TensorRTs load it; they then need --trust")
    group.add_argument("--hardware-compatible", action="store_true", help="let newer GPUs load it (not on a Jetson)")
    group.add_argument("--timing-cache", action=argparse.BooleanOptionalAction, default=True, help="keep and reuse FOLDER/timing_….cache")
    group.add_argument(
        "--trt-calibration", metavar="DIR|FILE", type=Path, help="int8 by TensorRT's own calibrator: photographs, or its cache (8 and 10)"
    )
    group.add_argument("--sm", metavar="N", type=int, help="TensorRT for RTX: the GPU to build for, as in 86, where none is here")


def tensorrt_options(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of a BuildRequest that the command line gives."""
    own = args.trt_calibration
    return {
        "tf32": args.tf32,
        "explicit_qdq": args.explicit_qdq,
        "workspace_mb": args.workspace,
        "dla": args.dla,
        "version_compatible": args.version_compatible,
        "hardware_compatible": args.hardware_compatible,
        "timing_cache": args.timing_cache,
        "opt_level": args.opt_level,
        "sparsity": args.sparsity,
        "min_wh": args.min_size,
        "opt_wh": args.opt_size,
        "max_wh": args.max_size,
        "opt_batch": args.opt_batch,
        "max_batch": args.max_batch,
        "own_calibration": None if own is None else "images" if own.is_dir() else "cache",
        "sm": args.sm,
    }


def run(args: argparse.Namespace) -> int:
    """Build, and name the engine on stdout."""
    from posetrt.export.engine.build import build
    from posetrt.export.engine.progress import terminal_report
    from posetrt.export.engine.request import BuildRequest
    from posetrt.export.engine.tensorrt import OwnCalibration
    from posetrt.runtime.engines.choose import as_precision, default_precision
    from posetrt.runtime.memory import resident_mb
    from posetrt.runtime.model.folder import open_folder

    folder = open_folder(args.folder, to_write=True)
    precision = as_precision(args.precision) if args.precision else default_precision(folder)
    engine, sidecar = build(
        folder,
        precision,
        args.backend,
        if_needed=args.if_needed,
        wish=BuildRequest(precision, **tensorrt_options(args)),
        own_calibration=OwnCalibration(args.trt_calibration) if args.trt_calibration else None,
        report=terminal_report(),
        show=lambda level, line: print(f"\n{level}: {line}" if sys.stderr.isatty() else f"{level}: {line}", file=sys.stderr),
    )
    if sys.stderr.isatty() and sidecar.backend != "onnxruntime":
        print(file=sys.stderr)
    if args.default:
        folder.set_default_precision(precision)
    size_mb, peak_mb = engine.stat().st_size / 1e6, resident_mb(peak=True)
    if args.trt_calibration:
        print("int8: by TensorRT's own calibration, whose price was not measured: posetrt eval measures it", file=sys.stderr)
    elif precision in ("int8", "fp8") and folder.calibration.is_file():
        from posetrt.calib.sensitivity.price import folder_line, layout_of

        print(folder_line(folder, layout_of(sidecar.graph)), file=sys.stderr)
    print(
        f"{engine}: {precision} by {sidecar.backend} {sidecar.library_version}, {size_mb:.1f} MB, built in {sidecar.build_s:.1f} s from {sidecar.graph}"
        + (f"; peak memory {peak_mb:.0f} MB" if peak_mb else "")
    )
    return 0
