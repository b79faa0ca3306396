"""Find people in photographs or a video.

  posetrt run person/ --source photo.jpg --write-images out/
  posetrt run person/ --source clip.mp4 --precision int8 --write-json out/ --write-video out.mp4

Writes what you ask for; fps and people per frame go to stderr.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

SUMMARY = "find people in photographs or a video"


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that choose an engine, common to all commands that run one."""
    parser.add_argument("--backend", default="auto", help="auto, onnxruntime (default: what was built and fits)")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads of the network (default: all cores)")
    parser.add_argument(
        "--preset", choices=["balanced", "precise", "all"], default="balanced", help="what counts as a person (default: balanced)"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt run`."""
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a model folder, a bare .onnx, or an engine")
    parser.add_argument("--source", metavar="PHOTO|DIR|VIDEO", required=True)
    parser.add_argument("--precision", choices=["fp32", "fp16", "int8"], help="default: the folder's, else fp32 on a CPU")
    parser.add_argument("--build", action="store_true", help="build the engine first where none fits")
    parser.add_argument("--write-json", metavar="DIR", type=Path, help="OpenPose's JSON, a file a frame")
    parser.add_argument("--write-images", metavar="DIR", type=Path, help="annotated pictures")
    parser.add_argument("--write-video", metavar="FILE", type=Path, help="annotated video, .mp4 or .avi")
    parser.add_argument("--draw", choices=["people", "heatmaps", "pafs"], default="people", help="what pictures and video show")
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the source through the network; 1 where a video ended early."""
    from posetrt.runtime import pipeline
    from posetrt.runtime.pose import open_pose
    from posetrt.runtime.sinks.base import Sink
    from posetrt.runtime.sinks.openpose_json import OpenPoseJson
    from posetrt.runtime.sinks.pictures import Pictures, VideoFile
    from posetrt.runtime.sources import complaints, open_source

    if args.build and args.folder.is_dir():
        from posetrt.export.build import build
        from posetrt.runtime.engines.choose import as_precision, default_precision
        from posetrt.runtime.folder import open_folder

        folder = open_folder(args.folder)
        build(folder, as_precision(args.precision) if args.precision else default_precision(folder), args.backend, if_needed=True)
    source = open_source(args.source)
    sinks: list[Sink] = []
    if args.write_json:
        sinks.append(OpenPoseJson(args.write_json))
    if args.write_images:
        sinks.append(Pictures(args.write_images, args.draw))
    if args.write_video:
        sinks.append(VideoFile(args.write_video, source.fps or 1.0, args.draw))

    def progress(stats: pipeline.RunStats) -> None:
        if sys.stderr.isatty():
            print(f"\r{stats.frames} frames, {stats.fps:.1f} fps", end="", file=sys.stderr)

    with open_pose(args.folder, args.precision, args.backend, preset=args.preset, threads=args.threads) as pose:
        stats = pipeline.run(pose, source, sinks, progress)
        engine = pose.engine
    for line in complaints(source):
        print(line, file=sys.stderr)
    per_frame = stats.people / max(1, stats.frames)
    print(
        f"{stats.frames} frames, {stats.people} people ({per_frame:.2f} a frame), {stats.fps:.1f} fps end to end; "
        f"network {1000 * stats.network_s / max(1, stats.frames):.1f} ms, parser {1000 * stats.parse_s / max(1, stats.frames):.2f} ms a frame "
        f"({engine.precision}, {engine.backend})",
        file=sys.stderr,
    )
    if not sinks:
        print("nothing was written: ask for --write-json, --write-images or --write-video", file=sys.stderr)
    return 1 if source.shortfall else 0
