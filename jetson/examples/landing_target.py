"""Tell a flight controller where a person is: MAVLink LANDING_TARGET from the lines of `posetrt run --jsonl -`.

  posetrt run person/ --source csi://0 --jsonl - | python landing_target.py --connect udpout:127.0.0.1:14550 --size 1280x720 --fov 62.2x48.8

The angles are from the optical axis to the person's hip, or neck where no hip is seen: x to the right, y down, in radians, as
MAVLink's common.xml has them in MAV_FRAME_BODY_FRD for a camera that looks down with its top to the front. Beside that a
HEARTBEAT a second, as a companion computer owes. Needs: pip install pymavlink. Try it in a simulator first: this moves aircraft.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

# Set before pymavlink is imported: LANDING_TARGET's position and type are MAVLink 2 fields.
os.environ.setdefault("MAVLINK20", "1")

HEARTBEAT_S = 1.0
# Parts of coco18: hips, then neck.
_HIPS = (8, 11)
_NECK = 1


def aim(keypoints: Sequence[Sequence[float]]) -> tuple[float, float] | None:
    """The pixel to aim at: the middle of the hips that are seen, else the neck; None where neither is."""
    for parts in (_HIPS, (_NECK,)):
        seen = [keypoints[part] for part in parts if keypoints[part][2] > 0]
        if seen:
            return sum(point[0] for point in seen) / len(seen), sum(point[1] for point in seen) / len(seen)
    return None


def angles(pixel: tuple[float, float], size_wh: tuple[int, int], fov_deg: tuple[float, float]) -> tuple[float, float]:
    """Angles in radians from the optical axis, right and down, by the pinhole model; pixel centres at integers."""
    return tuple(  # type: ignore[return-value]
        math.atan((2 * (at + 0.5) / size - 1) * math.tan(math.radians(fov) / 2))
        for at, size, fov in zip(pixel, size_wh, fov_deg, strict=True)
    )


def choose(people: Sequence[dict[str, Any]], followed: int | None) -> dict[str, Any] | None:
    """The person followed so far while in view, else the best one with a point to aim at."""
    aimable = [person for person in people if aim(person["keypoints"]) is not None]
    same = [person for person in aimable if followed is not None and person["person_id"] == followed]
    return next(iter(same or sorted(aimable, key=lambda person: -person["score"])), None)


def follow(lines: Iterable[str], link: Any, size_wh: tuple[int, int], fov_deg: tuple[float, float], clock: Any = time.monotonic) -> int:
    """Send a LANDING_TARGET for every line with somebody to aim at, and heartbeats.

    Returns:
        Targets sent.
    """
    from pymavlink import mavutil

    mavlink = mavutil.mavlink
    followed: int | None = None
    beat_s = -math.inf
    sent = 0
    for line in lines:
        if clock() - beat_s >= HEARTBEAT_S:
            beat_s = clock()
            link.mav.heartbeat_send(mavlink.MAV_TYPE_ONBOARD_CONTROLLER, mavlink.MAV_AUTOPILOT_INVALID, 0, 0, mavlink.MAV_STATE_ACTIVE)
        person = choose(json.loads(line)["people"], followed)
        if person is None:
            # No target is sent rather than an old one: the autopilot's own time-out must see that it is lost.
            continue
        followed = person["person_id"] if person["person_id"] >= 0 else None
        pixel = aim(person["keypoints"])
        assert pixel is not None, "choose() gives people with a point to aim at"
        right, down = angles(pixel, size_wh, fov_deg)
        stamp_us = int(clock() * 1e6)
        link.mav.landing_target_send(stamp_us, 0, mavlink.MAV_FRAME_BODY_FRD, right, down, 0.0, 0.0, 0.0)
        sent += 1
    return sent


def main() -> int:
    """Parse, connect and follow until the lines end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connect", default="udpout:127.0.0.1:14550", help="pymavlink's address: udpout:HOST:PORT or /dev/ttyTHS1")
    parser.add_argument("--baud", type=int, default=921600, help="of a serial line")
    parser.add_argument("--size", required=True, metavar="WxH", help="of the camera's frame")
    parser.add_argument("--fov", required=True, metavar="HxV", help="field of view in degrees, across and down")
    args = parser.parse_args()
    try:
        width, height = map(int, args.size.split("x"))
        across, down = map(float, args.fov.split("x"))
    except ValueError:
        parser.error(f"--size is as in 1280x720 and --fov as in 62.2x48.8; got {args.size} and {args.fov}")
    from pymavlink import mavutil

    link = mavutil.mavlink_connection(args.connect, baud=args.baud, source_system=1, source_component=191)
    try:
        sent = follow(sys.stdin, link, (width, height), (across, down))
    finally:
        link.close()
    sys.stderr.write(f"{sent} targets sent\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
