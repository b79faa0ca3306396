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

A source is a photograph, a folder, a video, /dev/videoN, csi://N, rtsp://..., http://... (Motion JPEG), a GStreamer string,
or paced:VIDEO?fps=30 (a file played as if a camera gave it); give --source again for more. Of a live source the newest frame
wins: a late one is dropped and counted. Files come in order and whole. SIGINT and SIGTERM end the run within a frame; after
SIGTERM a run of live sources exits with 0, since that is how it is meant to end, and one of files with 143.

--hands and --face look at the hands and faces of the people found, with networks of their own, as --detector and --boxes let a
network for one person look at each person in a box.

Writes what you ask for; fps, the stage that limits them, drops and age go to stderr.
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

from posetrt.arguments import (
    add_backend_argument,
    add_detector_arguments,
    add_hands_and_face_arguments,
    add_tiles_arguments,
    check_detector,
    network_path,
    pose_options,
    scales,
    tiles_of,
)
from posetrt.following import add_follow_arguments, check_follow, open_follow, open_mavlink
from posetrt.runtime.engines.base import PRECISIONS
from posetrt.runtime.sources.picture_header import MOST_MEGAPIXELS

if TYPE_CHECKING:
    from posetrt.runtime.events.rules import Rules
    from posetrt.runtime.pipeline.counts import RunStats
    from posetrt.runtime.pose import Pose
    from posetrt.runtime.sinks.base import Sink
    from posetrt.runtime.sources import Source
    from posetrt.runtime.telemetry import Telemetry
    from posetrt.runtime.track.follow import Follow

_FILES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".json", ".mp4"})
"""What a folder is hardly called."""
SUMMARY = "find people in photographs, video or cameras"


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that choose an engine, common to all commands that run one."""
    add_backend_argument(parser)
    parser.add_argument("--trust", action="store_true", help="let a version-compatible TensorRT engine run the code that it carries")
    parser.add_argument(
        "--cuda-graph",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="launch TensorRT's network as one CUDA graph where its engine allows that (default: yes)",
    )
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads of the network (default: all cores)")
    parser.add_argument(
        "--preset", choices=["balanced", "precise", "all"], default="balanced", help="what counts as a person (default: balanced)"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt run`."""
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        nargs="?",
        type=network_path,
        help="a model folder, a bare .onnx, an engine, or a network's name; default: the one that ships",
    )
    parser.add_argument(
        "--engine", metavar="triton://HOST:PORT/NAME", help="a network on a Triton server, in place of FOLDER (?shm=off: no shared memory)"
    )
    parser.add_argument("--source", metavar="SOURCE", action="append", help="see above; may be given again")
    parser.add_argument(
        "--wait",
        action="store_true",
        help="wait for a camera or stream that is not there yet; else it is an error after five tries. Of several sources each is waited for",
    )
    parser.add_argument(
        "--max-megapixels", metavar="N", type=float, default=MOST_MEGAPIXELS, help="refuse larger pictures before decoding (default: 100)"
    )
    parser.add_argument(
        "--frame-size",
        choices=["auto", "full"],
        default="auto",
        help="auto: a Jetson's hardware, and the decoder of large JPEGs, make pictures as small as the network wants them where nothing "
        "shows or crops them; key points stay in pixels of the source",
    )
    parser.add_argument("--precision", choices=PRECISIONS, help="default: the folder's, else fp32 on a CPU")
    parser.add_argument("--build", action="store_true", help="build the engine first where none fits")
    add_hands_and_face_arguments(parser)
    add_detector_arguments(parser, follow=True)
    add_tiles_arguments(parser)
    boxes = parser.add_argument_group("a network for one person (any top-down network)")
    boxes.add_argument(
        "--boxes",
        metavar="whole|FILE",
        help="where the people are: the whole frame; or a tracker's or detector's file (MOTChallenge's .txt, COCO's .json)",
    )
    boxes.add_argument("--scales", metavar="S,S,...", type=scales, help="look at each box at these scales and take the mean: 0.7,1,1.3")
    boxes.add_argument("--grow", metavar="FACTOR", type=float, help="crop so much wider than the box (default 1.25; cpm-person 1.57)")
    parser.add_argument("--no-track", action="store_true", help="no person ids (photographs never have any)")
    parser.add_argument("--smooth", action="store_true", help="smooth key points with a One-Euro filter")
    parser.add_argument(
        "--events", metavar="RULES.toml", type=Path, help="look for events: raised hands, falls, lines crossed, ... (docs/how-to/events.md)"
    )
    parser.add_argument(
        "--write-events", metavar="FILE|-|unix:PATH", help="a line of JSON per event; unix: serves any number of readers at a socket"
    )
    parser.add_argument(
        "--camera-motion", action="store_true", help="ids that last while the camera moves: its motion by optical flow (some ms)"
    )
    parser.add_argument("--appearance", action="store_true", help="ids that last through crossings: colours of torso and legs count too")
    add_follow_arguments(parser)
    parser.add_argument("--write-json", metavar="DIR", type=Path, help="OpenPose's JSON, a file a frame")
    parser.add_argument("--write-coco", metavar="FILE", type=Path, help="COCO's result format, for one source")
    parser.add_argument(
        "--jsonl", metavar="FILE|-|unix:PATH", help="a line of JSON a frame; unix: serves any number of readers at a socket"
    )
    parser.add_argument(
        "--sink",
        metavar="NAME=ARGUMENT",
        action="append",
        default=[],
        help="mqtt=ADDRESS, mcap=FILE, rerun=FILE (docs/how-to/mqtt.md, foxglove.md, rerun.md), or a sink that another package adds; may be given again",
    )
    parser.add_argument("--write-csv", metavar="FILE", type=Path, help="a row a key point")
    parser.add_argument("--write-images", metavar="DIR", type=Path, help="annotated pictures")
    parser.add_argument("--image-format", choices=["jpg", "png"], help="of --write-images (default: jpg)")
    parser.add_argument("--show", action="store_true", help="show the annotated frames in a window; q or Esc ends the run")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("--write-video", metavar="FILE", type=Path, help="annotated video, .mp4 or .avi; a file a source")
    parser.add_argument(
        "--overwrite", action="store_true", help="remove what an earlier run left in the folders of --write-json and --write-images first"
    )
    parser.add_argument(
        "--draw",
        metavar="WHAT",
        default="people",
        help="what pictures show: people, or a map of the network (heatmaps, pafs)",
    )
    parser.add_argument(
        "--web", metavar="[HOST:]PORT", help="live picture and figures as a web page; this computer only, unless HOST is given"
    )
    parser.add_argument(
        "--web-token",
        metavar="TOKEN",
        help="asked of whoever reads --web and --status-port; needed for other hosts; better in the environment as POSETRT_WEB_TOKEN",
    )
    parser.add_argument(
        "--status-port", metavar="[HOST:]PORT", help="/health and Prometheus' /metrics over HTTP; this computer only, unless HOST is given"
    )
    add_engine_arguments(parser)


EMPTY, EMPTY_LIVE = 10, 300
"""Frames in which nobody is found until a run says why that may be: at its end, and while it goes on."""


def run(args: argparse.Namespace) -> int:
    """Run the sources through the network; 1 where a video ended early."""
    from posetrt.looking import why_nobody
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.memory import one_heap
    from posetrt.runtime.model.shipped import network_folder, shipped_model, shipped_name
    from posetrt.runtime.pipeline import pipeline
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
    _check(args)
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
            say(
                f"{engine.manifest.network} is a detector: it gives boxes, and no key points. For those give it to a network for crops: "
                f"posetrt run POSE --detector {args.folder}"
            )
        if not engine.built and shipped_name(args.folder):
            say(
                f"{shipped_name(args.folder)} runs as it ships, on ONNX Runtime; to tune it for this computer: posetrt build {shipped_name(args.folder)}"
            )
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
    say(f"{summary}; {stats.people} people ({per_frame:.2f} a frame); {engine.precision}, {engine.backend}")
    for line in details:
        say(line)
    doubt(EMPTY)
    lines = args.jsonl if args.jsonl != "-" else None
    places = [args.write_images, args.write_json, args.write_video, args.write_coco, args.write_csv, lines]
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


def _check(args: argparse.Namespace) -> None:
    """Raises: UsageError: options that do not go together."""
    from posetrt.runtime.errors import UsageError

    second = [f"--{name}" for name in ("hands", "face") if getattr(args, name)]
    if args.boxes and second:
        raise UsageError(f"{' and '.join(second)} want a network that finds everybody, and --boxes is for one that looks at a person a box")
    alone = [f"--{name}" for name in ("scales", "grow") if getattr(args, name) is not None]
    if alone and not (args.boxes or args.detector):
        raise UsageError(
            f"{' and '.join(alone)} say how people in boxes are looked at: give --boxes too (--boxes whole for the frame itself), or --detector"
        )
    check_detector(args)
    tiles_of(args)
    if args.tiles and args.boxes:
        raise UsageError(
            "--tiles are of a network that looks at whole frames, and --boxes says where the people are: leave one of them out"
        )
    if args.boxes and args.detector:
        raise UsageError("--boxes and --detector both say where the people are: leave one of them out")
    if (args.boxes or args.detector) and args.draw != "people":
        raise UsageError(f"--draw {args.draw} shows a map of a whole frame; people in boxes are drawn as people")
    if args.boxes and len(args.source) > 1 and args.boxes != "whole":
        raise UsageError(f"--boxes {args.boxes} names the boxes of one source; run each source with its own file")
    if not 0 < args.max_megapixels <= 1000:
        raise UsageError(f"--max-megapixels lies between 0 and 1000, OpenCV's own limit; got {args.max_megapixels:g}")
    check_follow(args)
    if args.smooth and args.no_track:
        raise UsageError("--smooth follows each person by its id, and --no-track gives none: leave one of them out")
    if args.events and args.no_track:
        raise UsageError("--events follows each person by its id, and --no-track gives none: leave one of them out")
    if args.write_events and not args.events:
        raise UsageError("--write-events writes what --events looks for: give a rules file too")
    if args.write_events == "-" and args.jsonl == "-":
        raise UsageError("--jsonl and --write-events both write to standard output, and --jsonl has the events too: leave one of them out")
    if args.draw != "people" and not (args.write_images or args.write_video or args.show):
        raise UsageError(f"--draw {args.draw} says what pictures and video show: give --write-images, --write-video or --show too")
    if args.image_format and not args.write_images:
        raise UsageError("--image-format is of the pictures of --write-images: give that too")
    if args.web_token and not (args.web or args.status_port):
        raise UsageError("--web-token is asked of those who read --web and --status-port: give that too")
    _check_places(args)
    for name in ("hands", "face"):
        if getattr(args, f"{name}_precision") and not getattr(args, name):
            raise UsageError(f"--{name}-precision says how the network of --{name} runs: give that too")


def _check_places(args: argparse.Namespace) -> None:
    """Raises: UsageError: two results would go to one file, or a result over a source or among its photographs."""
    from posetrt.runtime.errors import UsageError

    lines, events = (None if given in (None, "-") or given.startswith("unix:") else given for given in (args.jsonl, args.write_events))
    files = {
        name: Path(path).absolute()
        for name, path in (
            ("--write-coco", args.write_coco), ("--jsonl", lines), ("--write-events", events), ("--write-csv", args.write_csv),
            ("--write-video", args.write_video),
        )
        if path is not None and not Path(path).is_char_device()
    }  # fmt: skip
    seen: dict[Path, str] = {}
    for name, path in files.items():
        if path.is_dir():
            raise UsageError(f"{name} writes a file, and {path} is a folder; give a name in it")
        if path in seen:
            raise UsageError(f"{seen[path]} and {name} both write {path}; give each a file of its own")
        seen[path] = name
    for name, folder in (("--write-images", args.write_images), ("--write-json", args.write_json)):
        if folder is not None and folder.suffix.lower() in _FILES and not folder.is_dir():
            raise UsageError(f"{name} writes a file per frame into a folder, and {folder} looks like a file; give a folder, as out/")
    for source in args.source:
        given = Path(source.removeprefix("paced:").partition("?")[0]) if source.startswith("paced:") else Path(source)
        for name, path in files.items():
            if given.is_file() and path.exists() and path.samefile(given):
                raise UsageError(f"{name} would write over the source {given}; give another file")
        if args.write_images is not None and given.is_dir() and args.write_images.is_dir() and args.write_images.samefile(given):
            raise UsageError(
                f"--write-images {given} is the source too, and its pictures would be photographs of the next run; give another folder"
            )


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
        raise UsageError("--write-coco numbers the images of one source; write a file a run, or use --jsonl")
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
