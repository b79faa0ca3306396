"""The options of `posetrt run` that follow one person, and what they open."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from posetrt.runtime.model.skeleton import Skeleton
    from posetrt.runtime.sinks.base import Sink
    from posetrt.runtime.sources import Source
    from posetrt.runtime.track.follow import Follow


def add_follow_arguments(parser: argparse.ArgumentParser) -> None:
    """`--follow` and what belongs to it."""
    group = parser.add_argument_group("follow one person (bearing, elevation, distance; lost and found again)")
    group.add_argument("--follow", metavar="WHOM", help="largest, centre, an id (7), or a place as shares of the picture (0.5,0.4)")
    group.add_argument("--fov", type=float, metavar="DEGREES", help="the sensor's horizontal field of view; needed to follow")
    group.add_argument("--fov-crop", type=float, metavar="SHARE", help="of the sensor's width that the sensor mode reads (default: 1)")
    group.add_argument("--person-height", type=float, metavar="METRES", help="for the distance from body proportions (default: 1.70)")
    group.add_argument(
        "--mavlink", metavar="ADDRESS", help="tell an autopilot or ground station, which may pick whom to follow: udpout:127.0.0.1:14550"
    )
    group.add_argument("--mavlink-baud", type=int, metavar="N", help="of a serial line (default: 921600)")


def check_follow(args: argparse.Namespace) -> None:
    """Raises: UsageError: options that do not go together."""
    from posetrt.runtime.errors import UsageError

    asked = args.follow is not None or args.mavlink is not None
    alone = [f"--{name}" for name in ("fov", "fov-crop", "person-height") if getattr(args, name.replace("-", "_")) is not None]
    if alone and not asked:
        raise UsageError(f"{' and '.join(alone)} belong to following: give --follow WHOM too, or --mavlink ADDRESS")
    if args.mavlink_baud is not None and not args.mavlink:
        raise UsageError("--mavlink-baud is of the serial line of --mavlink: give that too")
    if not asked:
        return
    if args.fov is None:
        raise UsageError("following turns pixels into angles: give the camera's horizontal field of view, as in --fov 62.2")
    if args.no_track:
        raise UsageError("following goes by ids, and --no-track gives none: leave one of them out")
    if len(args.source) > 1:
        raise UsageError(f"one person is followed in one source, and there are {len(args.source)}: give one --source per run")


def open_follow(args: argparse.Namespace, skeleton: Skeleton, sources: Sequence[Source]) -> Follow | None:
    """What follows, where the options ask for it.

    Raises:
        UsageError: an option's value cannot be, or the source has photographs, which are not frames of one scene.
    """
    if args.follow is None and args.mavlink is None:
        return None
    from posetrt.runtime.camera import FieldOfView
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.track.follow import Follow, FollowOptions

    if not any(source.live or source.fps for source in sources):
        raise UsageError("following goes from frame to frame, and photographs are not frames of one scene: give a video or a camera")
    options = FollowOptions() if args.person_height is None else FollowOptions(height_m=args.person_height)
    follow = Follow(skeleton, FieldOfView(args.fov, 1.0 if args.fov_crop is None else args.fov_crop), options)
    if args.follow is not None:
        follow.choose(args.follow)
    return follow


def open_mavlink(args: argparse.Namespace, follow: Follow | None) -> Sink:
    """The sink of `--mavlink`."""
    from posetrt.runtime.sinks.mavlink import DEFAULT_BAUD, MavlinkTarget

    assert follow is not None, "open_follow gives one for --mavlink"
    return MavlinkTarget(args.mavlink, follow, args.mavlink_baud or DEFAULT_BAUD)
