"""Tell a flight controller where a person is: MAVLink LANDING_TARGET from the lines of `posetrt run --jsonl -`.

  posetrt run person/ --source csi://0 --jsonl - \\
      | python landing_target.py --model person/ --connect udpout:127.0.0.1:14550 --size 1280x720 --fov 62.2

The angles are from the optical axis to the person's hip, or neck where no hip is seen: x to the right, y down, in radians, as
MAVLink's common.xml has them in MAV_FRAME_BODY_FRD for a camera that looks down with its top to the front. Beside that a
HEARTBEAT a second, as a companion computer owes. Needs: pip install pymavlink. Try it in a simulator first: this moves aircraft.

--fov is the horizontal field of view of the sensor; the vertical one follows from the frame's shape, since pixels are square.
A sensor mode that reads only the middle of the sensor sees less: --crop is the share of the sensor's width that the mode reads.

--connect: udpout:HOST:PORT sends first, to who listens there (MAVProxy or QGroundControl at 14550); udpin:HOST:PORT waits for
who sends there (MAVProxy --out); tcp:HOST:PORT is SITL's own port 5760; /dev/ttyTHS1 is a serial line to the autopilot.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

# Set before pymavlink is imported: LANDING_TARGET's position and type are MAVLink 2 fields.
os.environ.setdefault("MAVLINK20", "1")

HEARTBEAT_S = 1.0
# Where to aim, best first; each by its parts' names, as the model's skeleton has them.
AIMS = (("RHip", "LHip"), ("MidHip",), ("Neck",))


def part_places(manifest: Mapping[str, Any]) -> dict[str, int]:
    """Index of each part by its name, of a model folder's manifest.json.

    Raises:
        ValueError: the skeleton has none of the parts that can be aimed at.
    """
    parts = {name: index for index, name in enumerate(manifest["skeleton"]["parts"])}
    if not any(set(names) <= parts.keys() for names in AIMS):
        raise ValueError(f"the model's skeleton has neither hips nor a neck to aim at; it has {', '.join(parts)}")
    return parts


def aim(keypoints: Sequence[Sequence[float]], parts: Mapping[str, int]) -> tuple[float, float] | None:
    """The pixel to aim at: the middle of the hips that are seen, else the neck; None where neither is."""
    for names in AIMS:
        seen = [keypoints[parts[name]] for name in names if name in parts and keypoints[parts[name]][2] > 0]
        if seen:
            return sum(point[0] for point in seen) / len(seen), sum(point[1] for point in seen) / len(seen)
    return None


def focal_pixels(width: int, fov_deg: float, crop: float = 1.0) -> float:
    """Focal length in pixels of the frame, by the pinhole model.

    Args:
        width: of the frame.
        fov_deg: of the whole sensor, across.
        crop: share of the sensor's width that the frame shows: 1 also where pixels are binned.
    """
    return width / (2 * crop * math.tan(math.radians(fov_deg) / 2))


def angles(pixel: tuple[float, float], size_wh: tuple[int, int], focal: float) -> tuple[float, float]:
    """Angles in radians from the optical axis, right and down; pixel centres at integers, pixels square."""
    right, down = (math.atan((at + 0.5 - size / 2) / focal) for at, size in zip(pixel, size_wh, strict=True))
    return right, down


def choose(people: Sequence[dict[str, Any]], followed: int | None, parts: Mapping[str, int]) -> dict[str, Any] | None:
    """The person followed so far while in view, else the best one with a point to aim at."""
    aimable = [person for person in people if aim(person["keypoints"], parts) is not None]
    same = [person for person in aimable if followed is not None and person["person_id"] == followed]
    return next(iter(same or sorted(aimable, key=lambda person: -person["score"])), None)


def follow(
    lines: Iterable[str], link: Any, parts: Mapping[str, int], size_wh: tuple[int, int], focal: float, clock: Any = time.monotonic
) -> int:
    """Send a LANDING_TARGET for every line with somebody to aim at, and heartbeats.

    Each is stamped with the time of its picture: the line's `age_s` is taken off, so that the autopilot can look up its own attitude then.

    Returns:
        Targets sent.
    """
    from pymavlink import mavutil

    mavlink = mavutil.mavlink
    followed: int | None = None
    beat_s = -math.inf
    sent = 0
    for line in lines:
        now_s = clock()
        if now_s - beat_s >= HEARTBEAT_S:
            beat_s = now_s
            link.mav.heartbeat_send(mavlink.MAV_TYPE_ONBOARD_CONTROLLER, mavlink.MAV_AUTOPILOT_INVALID, 0, 0, mavlink.MAV_STATE_ACTIVE)
        frame = json.loads(line)
        person = choose(frame["people"], followed, parts)
        if person is None:
            # No target is sent rather than an old one: the autopilot's own time-out must see that it is lost.
            continue
        followed = person["person_id"] if person["person_id"] >= 0 else None
        pixel = aim(person["keypoints"], parts)
        assert pixel is not None, "choose() gives people with a point to aim at"
        right, down = angles(pixel, size_wh, focal)
        taken_us = int((now_s - float(frame.get("age_s") or 0.0)) * 1e6)
        link.mav.landing_target_send(max(0, taken_us), 0, mavlink.MAV_FRAME_BODY_FRD, right, down, 0.0, 0.0, 0.0)
        sent += 1
    return sent


def main() -> int:
    """Parse, connect and follow until the lines end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connect", default="udpout:127.0.0.1:14550", help="pymavlink's address: see above")
    parser.add_argument("--baud", type=int, default=921600, help="of a serial line")
    parser.add_argument("--model", type=Path, required=True, help="the model folder that `posetrt run` runs: its manifest names the parts")
    parser.add_argument("--size", required=True, metavar="WxH", help="of the camera's frame")
    parser.add_argument("--fov", type=float, required=True, metavar="DEGREES", help="the sensor's horizontal field of view")
    parser.add_argument(
        "--crop", type=float, default=1.0, metavar="SHARE", help="of the sensor's width that the sensor mode reads, up to 1"
    )
    args = parser.parse_args()
    try:
        width, height = map(int, args.size.split("x"))
        parts = part_places(json.loads((args.model / "manifest.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        parser.error(f"--size is as in 1280x720 and --model is a model folder; got {args.size} and {args.model}: {error}")
    if not (0 < args.fov < 180 and 0 < args.crop <= 1):
        parser.error(f"--fov is between 0 and 180 degrees and --crop above 0 and at most 1; got {args.fov:g} and {args.crop:g}")
    from pymavlink import mavutil

    link = mavutil.mavlink_connection(args.connect, baud=args.baud, source_system=1, source_component=191)
    try:
        sent = follow(sys.stdin, link, parts, (width, height), focal_pixels(width, args.fov, args.crop))
    finally:
        link.close()
    sys.stderr.write(f"{sent} targets sent\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
