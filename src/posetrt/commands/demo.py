"""The whole job in one go, on the network that ships with the package: nothing to download.

  posetrt demo                         draws a video of people whose key points are known, and uses that
  posetrt demo --source clip.mp4       the same on your own photographs or video
  posetrt demo --model person/         with your own model folder

Every step is an ordinary command and is printed as one: export, calibrate, build, run, bench. At the end there is an
annotated picture to look at, an annotated video and a table of fps and accuracy per precision.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from pathlib import Path

from posetrt.arguments import network_path

SUMMARY = "the whole job in one go, with nothing to download"

CALIBRATION_SEED = 7000
CALIBRATION_SCENES = 50
VIDEO_SEED = 1
VIDEO_SIZE_WH = (456, 256)
VIDEO_FPS = 20.0
MARKER = ".made-by-posetrt-demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt demo`."""
    parser.add_argument("--source", metavar="PHOTO|DIR|VIDEO", help="your own; default: a drawn video with exact key points")
    parser.add_argument(
        "--model", metavar="FOLDER", type=network_path, help="a model folder of your own; default: nano, which ships with the package"
    )
    parser.add_argument("--images", metavar="DIR", type=Path, help="photographs to calibrate INT8 with; default: drawn scenes")
    parser.add_argument("--frames", type=int, default=60, metavar="N", help="frames of the drawn video (default 60)")
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, default=Path("out/demo"), help="default: out/demo")


def run(args: argparse.Namespace) -> int:
    """Draw, export, calibrate, build, run and bench."""
    from posetrt.export.graph.normalisation import NORMALISATIONS
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.model.folder import open_folder
    from posetrt.runtime.model.shipped import shipped_model
    from posetrt.runtime.sources import open_source
    from posetrt.runtime.sources.files import photos_in

    if args.frames < 1:
        raise UsageError(f"--frames must be at least 1; got {args.frames}")
    # Before minutes of work, not after them.
    if args.source is not None:
        open_source(args.source)
    if args.images is not None:
        photos_in(args.images)
    out: Path = args.output
    origin = open_folder(args.model) if args.model else open_folder(shipped_model())
    manifest = origin.manifest()
    folder = out / "person"
    spec = manifest.input
    normalise = next(
        (
            name
            for name, n in NORMALISATIONS.items()
            if (n.colour, n.mean, n.scale, n.in_graph) == (spec.colour, spec.mean, spec.scale, spec.in_graph)
        ),
        None,
    )
    if normalise is None or manifest.head.decoded_in_graph or spec.takes_bytes:
        raise UsageError(
            f"{origin.path} takes bytes, decodes in its graph or normalises in its own way; the demo wants a plain float network"
        )
    _start_afresh(folder)
    truth: list[str | Path] = []
    source = args.source
    if source is None:
        source, truth = _draw_video(out, args.frames)
    calibration = args.images or _draw_calibration(out)
    roles = [part for role, name in manifest.head.outputs.items() for part in ("--role", f"{role}={name}")]
    export: list[str | Path] = ["export", "onnx", "--weights", origin.onnx, "--normalise", normalise, "--head", manifest.head.kind, *roles]
    if spec.dynamic:
        export += ["--input-size", f"{spec.size_wh[0]}x{spec.size_wh[1]}"]
    steps: list[list[str | Path]] = [
        [*export, "-o", folder],
        ["calibrate", folder, "--images", calibration, "--limit", str(CALIBRATION_SCENES)],
    ]
    steps += [["build", folder, "--precision", precision] for precision in ("fp32", "fp16", "int8")]
    written: list[str | Path] = [
        "--write-json",
        out / "json",
        "--write-images",
        out / "pictures",
        "--write-video",
        out / "people.mp4",
        "--overwrite",
    ]
    steps.append(["run", folder, "--source", source, "--precision", "int8", *written])
    steps.append(["bench", folder, "--source", source, "--frames", "20", "--rounds", "2", *truth, "--chart", out / "bench.png"])
    for step in steps:
        code = _step(step)
        if code != 0:
            return code
    pictures = sorted((out / "pictures").glob("*.jpg"))
    # At a third of the drawn clip all walkers are apart; later one passes behind another.
    print(f"\nlook at: {pictures[len(pictures) // 3]}, {out / 'people.mp4'}, {out / 'bench.png'}")
    return 0


def _start_afresh(folder: Path) -> None:
    """Remove the folder of an older demo: its engines would be refused by their hashes, or hide a step that no longer works.

    Raises:
        UsageError: the folder is not a demo's.
    """
    from posetrt.runtime.errors import UsageError

    marker = folder / MARKER
    if folder.exists() and not marker.is_file():
        raise UsageError(f"{folder} is not of an earlier demo, so it stays as it is; choose another place for the demo with -o")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    marker.touch()


def _step(arguments: list[str | Path]) -> int:
    """Print a command as a user would type it, and do it."""
    from posetrt.cli import main

    words = [str(argument) for argument in arguments]
    print(f"\n$ posetrt {shlex.join(words)}", flush=True)
    code = main(words)
    sys.stdout.flush()
    return code


def _draw_video(out: Path, frames: int) -> tuple[Path, list[str | Path]]:
    """Draw a video, and its frames as photographs with COCO annotations; give the video and the options that name the truth."""
    from posetrt.calib.scenes.scenes import draw_video
    from posetrt.calib.scenes.truth import write_scenes
    from posetrt.runtime.sinks.video import VideoFile

    print(f"drawing {frames} frames of people whose key points are known exactly (seed {VIDEO_SEED})", file=sys.stderr)
    scenes = list(draw_video(VIDEO_SEED, VIDEO_SIZE_WH, people=3, frames=frames, fps=VIDEO_FPS))
    photos = write_scenes(scenes, out / "drawn")
    video = out / "drawn.avi"
    file = VideoFile(video, VIDEO_FPS)
    for number, scene in enumerate(scenes):
        file.append(scene.image, number / VIDEO_FPS)
    file.close()
    return video, ["--coco", photos.annotations, "--images", photos.annotations.parent / "images"]


def _draw_calibration(out: Path) -> Path:
    """Draw scenes to calibrate with; none of their seeds is the video's."""
    from posetrt.calib.scenes.scenes import draw_scene
    from posetrt.calib.scenes.truth import write_scenes

    print(f"drawing {CALIBRATION_SCENES} scenes to calibrate with (seeds {CALIBRATION_SEED} and up)", file=sys.stderr)
    scenes = (draw_scene(CALIBRATION_SEED + index, VIDEO_SIZE_WH) for index in range(CALIBRATION_SCENES))
    return write_scenes(scenes, out / "calibration").annotations.parent / "images"
