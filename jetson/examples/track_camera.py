"""Let a ground station pick whom a camera follows: MAVLink's camera protocol over the lines of `posetrt run --jsonl -`.

  posetrt run person/ --source csi://0 --jsonl - | python track_camera.py --connect udpout:127.0.0.1:14550 --size 1280x720

The ground station draws a point or a rectangle on the picture (MAV_CMD_CAMERA_TRACK_POINT, MAV_CMD_CAMERA_TRACK_RECTANGLE) or lets go
(MAV_CMD_CAMERA_STOP_TRACKING). Each is acknowledged; where nobody is there it is denied. From then on each line of people gives a
CAMERA_TRACKING_IMAGE_STATUS: active with the person's box, or in error while the person is out of view; idle where nobody was picked.
Messages and units: MAVLink's common.xml, and https://mavlink.io/en/services/camera.html. Needs: pip install pymavlink.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

# Set before pymavlink is imported: the camera's messages have MAVLink 2 ids.
os.environ.setdefault("MAVLINK20", "1")

HEARTBEAT_S = 1.0
# MAV_COMP_ID_CAMERA
COMPONENT = 100


@dataclass(frozen=True)
class Box:
    """A rectangle in shares of the picture, 0 to 1 from the left and from the top, as the camera protocol has it."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def centre(self) -> tuple[float, float]:
        """Its middle."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def has(self, x: float, y: float) -> bool:
        """Whether a point lies in it."""
        return self.left <= x <= self.right and self.top <= y <= self.bottom

    def shared(self, other: Box) -> float:
        """Area of both over area of either."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        both = max(0.0, across) * max(0.0, down)
        either = sum((box.right - box.left) * (box.bottom - box.top) for box in (self, other)) - both
        return both / either if either > 0 else 0.0


def box_of(person: dict[str, Any], size_wh: tuple[int, int]) -> Box | None:
    """A person's box: the network's own, else the one around the parts that were found; None where none was."""
    width, height = size_wh
    if "box" in person:
        left, top, across, down = person["box"]
        return Box(left / width, top / height, (left + across) / width, (top + down) / height)
    found = [(x + 0.5, y + 0.5) for x, y, score in person["keypoints"] if score > 0]
    if not found:
        return None
    columns, rows = zip(*found, strict=True)
    return Box(min(columns) / width, min(rows) / height, max(columns) / width, max(rows) / height)


def at_point(boxes: dict[int, Box], x: float, y: float) -> int | None:
    """Id of the person under a point: of several the one whose middle is nearest; None where nobody is."""
    under = {identity: math.dist(box.centre, (x, y)) for identity, box in boxes.items() if box.has(x, y)}
    return min(under, key=lambda identity: under[identity], default=None)


def in_rectangle(boxes: dict[int, Box], drawn: Box) -> int | None:
    """Id of the person who fills a rectangle best; None where it touches nobody."""
    shares = {identity: share for identity, box in boxes.items() if (share := drawn.shared(box)) > 0}
    return max(shares, key=lambda identity: shares[identity], default=None)


class Tracking:
    """Whom the ground station picked, and what it is told of them.

    Args:
        link: a connection of pymavlink.
        size_wh: of the camera's picture.
    """

    def __init__(self, link: Any, size_wh: tuple[int, int]) -> None:
        from pymavlink import mavutil

        self._link, self._size_wh, self._mavlink = link, size_wh, mavutil.mavlink
        self._picked: int | None = None
        self._boxes: dict[int, Box] = {}

    def see(self, people: Sequence[dict[str, Any]]) -> None:
        """Take a frame's people, and tell the ground station of the one picked. People without an id cannot be followed."""
        boxes = {person["person_id"]: box_of(person, self._size_wh) for person in people if person["person_id"] >= 0}
        self._boxes = {identity: box for identity, box in boxes.items() if box is not None}
        self._tell()

    def hear(self) -> None:
        """Answer the commands that have come."""
        while (message := self._link.recv_match(type="COMMAND_LONG", blocking=False)) is not None:
            if message.target_component in (0, COMPONENT):
                self._answer(message)

    def _answer(self, message: Any) -> None:
        ours = self._mavlink
        values = [getattr(message, f"param{place}") for place in range(1, 5)]
        if message.command == ours.MAV_CMD_CAMERA_STOP_TRACKING:
            self._picked, result = None, ours.MAV_RESULT_ACCEPTED
        elif message.command == ours.MAV_CMD_CAMERA_TRACK_POINT:
            result = self._pick(at_point(self._boxes, values[0], values[1]))
        elif message.command == ours.MAV_CMD_CAMERA_TRACK_RECTANGLE:
            result = self._pick(in_rectangle(self._boxes, Box(*values)))
        else:
            result = ours.MAV_RESULT_UNSUPPORTED
        # The last two fields address the answer to who asked.
        self._link.mav.command_ack_send(message.command, result, 0, 0, message.get_srcSystem(), message.get_srcComponent())

    def _pick(self, identity: int | None) -> int:
        """Follow somebody; whoever was followed stays so where nobody is there."""
        if identity is None:
            return int(self._mavlink.MAV_RESULT_DENIED)
        self._picked = identity
        return int(self._mavlink.MAV_RESULT_ACCEPTED)

    def _tell(self) -> None:
        ours, box = self._mavlink, self._boxes.get(self._picked) if self._picked is not None else None
        if box is not None:
            status, corners = ours.CAMERA_TRACKING_STATUS_FLAGS_ACTIVE, (box.left, box.top, box.right, box.bottom)
        else:
            # Out of view is an error until the person is back, and not idle: the ground station must see the difference.
            status = ours.CAMERA_TRACKING_STATUS_FLAGS_IDLE if self._picked is None else ours.CAMERA_TRACKING_STATUS_FLAGS_ERROR
            corners = (math.nan,) * 4
        mode = ours.CAMERA_TRACKING_MODE_NONE if self._picked is None else ours.CAMERA_TRACKING_MODE_RECTANGLE
        target = ours.CAMERA_TRACKING_TARGET_DATA_IN_STATUS if box is not None else 0
        self._link.mav.camera_tracking_image_status_send(status, mode, target, math.nan, math.nan, math.nan, *corners)


def serve(lines: Iterable[str], link: Any, size_wh: tuple[int, int], clock: Any = time.monotonic) -> None:
    """Answer and tell, a line of people after the other, with a heartbeat a second."""
    from pymavlink import mavutil

    mavlink, tracking, beat_s = mavutil.mavlink, Tracking(link, size_wh), -math.inf
    for line in lines:
        if clock() - beat_s >= HEARTBEAT_S:
            beat_s = clock()
            link.mav.heartbeat_send(mavlink.MAV_TYPE_CAMERA, mavlink.MAV_AUTOPILOT_INVALID, 0, 0, mavlink.MAV_STATE_ACTIVE)
        tracking.hear()
        tracking.see(json.loads(line)["people"])


def main() -> int:
    """Parse, connect and serve until the lines end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connect", default="udpout:127.0.0.1:14550", help="pymavlink's address, as of landing_target.py")
    parser.add_argument("--baud", type=int, default=921600, help="of a serial line")
    parser.add_argument("--size", required=True, metavar="WxH", help="of the camera's frame")
    args = parser.parse_args()
    try:
        width, height = map(int, args.size.split("x"))
    except ValueError:
        parser.error(f"--size is as in 1280x720; got {args.size}")
    from pymavlink import mavutil

    link = mavutil.mavlink_connection(args.connect, baud=args.baud, source_system=1, source_component=COMPONENT)
    try:
        serve(sys.stdin, link, (width, height))
    finally:
        link.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
