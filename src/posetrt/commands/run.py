"""Find people in photographs, a video, cameras or network streams.

  posetrt run --source photo.jpg --write-images out/            the network that ships: nothing to download or build
  posetrt run person/ --source photo.jpg --write-images out/
  posetrt run person/ --source clip.mp4 --precision int8 --write-json out/ --write-video out.mp4
  posetrt run person/ --source csi://0 --source rtsp://camera/stream --jsonl - --web 8080
  posetrt run person/ --hands hand/ --face face/ --source clip.mp4 --write-json out/
  posetrt run pose/ --detector det/ --detect-every 5 --source clip.mp4 --write-video out.mp4
  posetrt run person/ --tiles 2x2 --source drone.mp4 --write-video out.mp4
  posetrt run cpm/ --boxes tracks.txt --source clip.mp4 --write-video out.mp4
  posetrt run --engine triton://server:8001/person --source clip.mp4 --write-video out.mp4

A source is a photograph, a folder of them, a video, /dev/videoN, csi://N (a Jetson's camera), rtsp://..., http://... (Motion JPEG),
a GStreamer string, or paced:VIDEO?fps=30 (a file played as if a camera gave it). Give --source again for more. Of a camera or stream the
newest frame wins: late ones are dropped and counted. Files are read whole and in order.

Results go where you ask: see "what is written" below. The speed, the stage that limits it, and dropped frames go to stderr.

Ctrl-C (SIGINT) and SIGTERM end the run within a frame. After SIGTERM the exit code is 0 for cameras and 143 for files, which are not done.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from posetrt.arguments import pose_options
from posetrt.following import open_follow, open_mavlink
from posetrt.run_options import add_arguments as add_arguments
from posetrt.run_options import check

if TYPE_CHECKING:
    from posetrt.runtime.events.rules import Rules
    from posetrt.runtime.pipeline.counts import RunStats
    from posetrt.runtime.pose import Pose
    from posetrt.runtime.sinks.base import Sink
    from posetrt.runtime.sources import Source
    from posetrt.runtime.telemetry import Telemetry
    from posetrt.runtime.track.follow import Follow

SUMMARY = "find people in photographs, video or cameras"

EMPTY, EMPTY_LIVE = 10, 300
"""Frames in which nobody is found until a run says why that may be: at its end, and while it goes on."""


def run(args: argparse.Namespace) -> int:
    """Run the sources through the network; 1 where a video ended early."""
    from posetrt.looking import why_nobody
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.memory import one_heap
    from posetrt.runtime.model.shipped import as_shipped, network_folder, shipped_model, shipped_name
    from posetrt.runtime.pipeline import pipeline
    from posetrt.runtime.sinks.choose import file_of
    from posetrt.runtime.sources import complaints, open_source

    if not args.source:
        if args.folder is not None and args.folder.is_dir() and not (args.folder / "model.onnx").is_file():
            raise UsageError(
                f"{args.folder} stands where a network is expected, and is no model folder; did you mean --source {args.folder}?"
            )
        raise UsageError("--source is missing: a photograph, a folder of them, a video, /dev/video0, csi://0 or rtsp://...")
    if args.engine is not None:
        args.folder = _remote(args)
    if args.folder is None:
        args.folder = network_folder(shipped_model())
    check(args)
    one_heap()
    if args.build:
        _build(args)

    def say(line: str) -> None:
        if not args.quiet:
            print(line, file=sys.stderr, flush=True)

    # One camera of several that is missing keeps nobody from the others.
    wait = args.wait or len(args.source) > 1
    sources = [open_source(text, say, args.max_megapixels, wait=wait) for text in args.source]
    _check_ids(args, sources)
    live = any(source.live for source in sources)
    moving = live or any(source.fps for source in sources)
    if args.smooth and not moving:
        raise UsageError("--smooth follows people from frame to frame, and photographs are not frames of one scene: leave it out")
    if (args.detect_every or 1) > 1 and not moving:
        raise UsageError("--detect-every follows people from frame to frame, and photographs are not frames of one scene: leave it out")
    if args.events and not moving:
        raise UsageError("--events follows people from frame to frame, and photographs are not frames of one scene: leave it out")
    rules = _rules(args)
    # Whoever is followed must be known again: what people wear tells.
    appearance = args.appearance or args.follow is not None or args.mavlink is not None
    cues = {"smooth": args.smooth, "camera_motion": args.camera_motion, "appearance": appearance}
    stats = pipeline.RunStats()
    told = [0.0]
    doubted = [False]

    def doubt(least: int) -> None:
        if stats.frames >= least and not stats.people and not doubted[0]:
            doubted[0] = True
            say(why_nobody(pose.people_engine.manifest, stats.frames))

    def progress(stats: RunStats) -> None:
        if args.quiet:
            return
        doubt(EMPTY_LIVE)
        if sys.stderr.isatty():
            print(f"\r{stats.frames} frames, {stats.fps_now:.1f} fps", end="", file=sys.stderr)
        elif live and time.monotonic() - told[0] > 60:
            told[0] = time.monotonic()
            say(f"{stats.fps_now:.1f} fps, age p99 {stats.age_ms(99):.0f} ms, {stats.dropped} of {stats.captured} frames dropped")

    with contextlib.ExitStack() as held:
        pose = held.enter_context(_open(args))
        _check_drawing(args, pose)
        follow = open_follow(args, pose.skeleton, sources)
        options = pipeline.Options(
            track=moving and not args.no_track, events=rules, follow=follow, say=say, whole_pictures=args.frame_size == "full", **cues
        )
        for what, network in pose.networks.items():
            say(f"{what}: {network}")
        if args.detector:
            first = pose.engine.manifest
            say(f"detector: {first.network} {'x'.join(map(str, first.input.size_wh))}, {pose.engine.precision}, {pose.engine.backend}")
        engine = pose.people_engine
        if not pose.skeleton.parts:
            if args.write_csv:
                raise UsageError(
                    "--write-csv has a row for each key point, and a detector gives none: use --jsonl, or --write-coco for its boxes"
                )
            say(
                f"{engine.manifest.network} is a detector: it gives boxes, and no key points. For those give it to a network for crops: "
                f"posetrt run POSE --detector {args.folder}"
            )
        name = shipped_name(args.folder)
        if not engine.built and name:
            how = "as it ships" if as_shipped(args.folder) else f"from your copy with its own INT8 ranges ({args.folder})"
            say(f"{name} runs {how}, on ONNX Runtime; to tune it for this computer: posetrt build {name}")
        stopped = held.enter_context(_stop_signals())
        held.enter_context(_status(args.status_port, stats, _token(args), say))
        telemetry = None
        if args.web:
            from posetrt.jetson.telemetry import watch

            telemetry = held.enter_context(watch())
        sinks = _sinks(args, sources, telemetry, lambda: stopped.append(signal.SIGINT), say, follow)
        pipeline.run(pose, sources, sinks, options, stats=stats, progress=progress, stop=lambda: bool(stopped))
        if sys.stderr.isatty() and not args.quiet:
            # The line that was written over again and again makes room for those that stay.
            print("\r\033[K", end="", file=sys.stderr)
    for source in sources:
        for line in complaints(source):
            say(line)
    per_frame = stats.people / max(1, stats.frames)
    summary, *details = stats.summary().splitlines()
    say(
        f"{summary}; {stats.people} {'person' if stats.people == 1 else 'people'} ({per_frame:.2f} per frame); {engine.precision}, {engine.backend}"
    )
    for line in details:
        say(line)
    doubt(EMPTY)
    if rules is not None:
        say(f"{stats.happened} event{'s' * (stats.happened != 1)}")
    lines, events = (given if given != "-" else None for given in (args.jsonl, args.write_events))
    places = [args.write_images, args.write_json, args.write_video, args.write_coco, args.write_csv, lines, events]
    places += [file_of(given) for given in args.sink]
    if any(places):
        say(f"written: {', '.join(str(place) for place in places if place)}")
    if not sinks and not args.status_port:
        say("nothing was written: ask for --jsonl, --write-json, --write-images, --write-video, --show or --web")
    if stopped and stopped[0] == signal.SIGINT:
        raise KeyboardInterrupt
    if stopped and not live:
        return 128 + signal.SIGTERM
    return 1 if any(source.shortfall for source in sources) else 0


def _remote(args: argparse.Namespace) -> Path:
    """The network on a server that `--engine` names.

    Raises:
        UsageError: it names none, or a folder was given too, or it was to be built.
    """
    from posetrt.runtime.engines.triton import remote_address
    from posetrt.runtime.errors import UsageError

    remote_address(args.engine)
    if args.folder is not None or args.build:
        raise UsageError(f"--engine {args.engine} is a network on a server: leave {'--build' if args.folder is None else args.folder} out")
    return Path(args.engine)


def _rules(args: argparse.Namespace) -> Rules | None:
    """The events that were asked for."""
    if args.events is None:
        return None
    from posetrt.runtime.events.rules import load_rules

    return load_rules(args.events)


def _check_ids(args: argparse.Namespace, sources: list[Source]) -> None:
    """Raises: UsageError: what goes by image id would mix photographs up."""
    from posetrt.runtime.sources import Photos

    if args.write_coco or (args.boxes and args.boxes.lower().endswith(".json")):
        for source in sources:
            if isinstance(source, Photos):
                source.check_image_ids()


def _check_drawing(args: argparse.Namespace, pose: Pose) -> None:
    """Raises: UsageError: the network gives no such map."""
    from posetrt.runtime.errors import UsageError

    names = pose.whole.manifest.head.picture_names() if pose.whole is not None else ()
    if args.draw != "people" and args.draw not in names:
        raise UsageError(
            f"--draw {args.draw}: this network ({pose.manifest.head.summary()}) can be drawn as: {', '.join(('people', *names))}"
        )


def _build(args: argparse.Namespace) -> None:
    """Build what is missing of all networks of this run."""
    from posetrt.export.engine.build import build
    from posetrt.runtime.engines.choose import as_precision, default_precision
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.model.folder import open_folder

    if args.folder.is_file():
        raise UsageError(f"--build builds from a model folder, and {args.folder} is a file, which runs as it is; leave --build out")
    wanted = [(args.folder, args.precision), (args.hands, args.hands_precision), (args.face, args.face_precision)]
    wanted.append((args.detector, args.detector_precision))
    for path, precision in wanted:
        if path is not None and path.is_dir():
            folder = open_folder(path, to_write=True)
            build(folder, as_precision(precision) if precision else default_precision(folder), args.backend, if_needed=True)


def _open(args: argparse.Namespace) -> Pose:
    """The networks that were asked for."""
    from posetrt.runtime.pose import open_pose

    return open_pose(args.folder, pose_options(args))


def _sinks(
    args: argparse.Namespace,
    sources: list[Source],
    telemetry: Telemetry | None,
    stop: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = lambda _: None,
    follow: Follow | None = None,
) -> list[Sink]:
    """The sinks that were asked for; where one cannot be opened, those before it are closed."""
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.sinks.choose import open_sink
    from posetrt.runtime.sinks.coco import CocoResults
    from posetrt.runtime.sinks.csv_rows import CsvRows
    from posetrt.runtime.sinks.earlier import check_free
    from posetrt.runtime.sinks.json_lines import open_json_lines
    from posetrt.runtime.sinks.openpose_json import OpenPoseJson
    from posetrt.runtime.sinks.pictures import Pictures
    from posetrt.runtime.sinks.rows import event_lines
    from posetrt.runtime.sinks.video import VideoFiles
    from posetrt.runtime.sinks.window import PHOTOGRAPH_MS, Window

    if args.write_coco and len(sources) > 1:
        raise UsageError("--write-coco numbers the images of one source; run each source on its own, or use --jsonl")
    for folder, pattern in ((args.write_json, "*_keypoints.json"), (args.write_images, "*_rendered.*")):
        if folder is not None:
            check_free(folder, pattern, overwrite=args.overwrite)
    sinks: list[Sink] = []
    with contextlib.ExitStack() as opened:

        def add(sink: Sink) -> None:
            opened.callback(sink.close)
            sinks.append(sink)

        # First what may be refused, so that no file is begun for nothing.
        if args.web:
            from posetrt.runtime.pipeline.port import bind_address
            from posetrt.runtime.sinks.web import WebPage

            host, port = bind_address(args.web)
            page = WebPage(host, port, token=_token(args), telemetry=telemetry)
            add(page)
            if not args.quiet:
                print(f"the page is at {page.url}", file=sys.stderr, flush=True)
        if args.mavlink:
            add(open_mavlink(args, follow))
        if args.write_json:
            add(OpenPoseJson(args.write_json))
        if args.write_coco:
            add(CocoResults(args.write_coco))
        if args.jsonl:
            add(open_json_lines(args.jsonl))
        if args.write_events:
            add(open_json_lines(args.write_events, event_lines))
        if args.write_csv:
            add(CsvRows(args.write_csv))
        for given in args.sink:
            add(open_sink(given, say))
        if args.write_images:
            add(Pictures(args.write_images, args.draw, args.image_format or "jpg"))
        if args.show:
            add(Window(args.draw, stop, 1 if any(source.live or source.fps for source in sources) else PHOTOGRAPH_MS))
        if args.write_video:
            add(VideoFiles(args.write_video, [source.fps or (25.0 if source.live else 1.0) for source in sources], args.draw))
        opened.pop_all()
    return sinks


def _token(args: argparse.Namespace) -> str | None:
    """What viewers and scrapers must send."""
    from posetrt.runtime.pipeline.port import TOKEN_VARIABLE

    token: str | None = args.web_token or os.environ.get(TOKEN_VARIABLE)
    return token


@contextlib.contextmanager
def _status(where: str | None, stats: RunStats, token: str | None, say: Callable[[str], None]) -> Iterator[None]:
    """Serve health and metrics while the run goes on."""
    if where is None:
        yield
        return
    from posetrt.runtime.pipeline.health import StatusPort
    from posetrt.runtime.pipeline.port import bind_address

    with StatusPort(*bind_address(where), stats, token) as port:
        say(f"health and metrics are at {port.url}")
        yield


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """A list that the first SIGINT or SIGTERM is noted in; a second one ends the program as usual."""
    noted: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(number)

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:
        # Signals belong to the main thread; a caller in another one has its own way to stop.
        yield noted
        return
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
