"""MAVLink: tells an autopilot and a ground station where the followed person is, and lets the ground station pick whom to follow.

LANDING_TARGET for the autopilot; the camera protocol's tracking for the ground station (MAVLink's common.xml,
https://mavlink.io/en/services/camera.html). Needs pymavlink: `pip install 'posetrt[mavlink]'`.
"""

from __future__ import annotations

import math
import os
import time
from typing import Any

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.sinks.base import Result, Sink
from posetrt.runtime.track.follow import Follow, Target

DEFAULT_BAUD = 921600
HEARTBEAT_S = 1.0
COMPONENT = 100
"""MAV_COMP_ID_CAMERA."""
_KINDS = ("udpout:", "udpin:", "udp:", "tcp:", "tcpin:", "/dev/")


def mavlink2() -> Any:
    """pymavlink's `mavutil`, speaking MAVLink 2, which the camera's messages need; also where it was imported for MAVLink 1 before.

    Raises:
        ModuleNotFoundError: pymavlink is not installed.
    """
    os.environ.setdefault("MAVLINK20", "1")
    from pymavlink import mavutil

    if not hasattr(mavutil.mavlink, "MAVLINK_MSG_ID_CAMERA_TRACKING_IMAGE_STATUS"):
        mavutil.set_dialect(mavutil.current_dialect)
    return mavutil


class MavlinkTarget(Sink):
    """Sends a heartbeat a second and the state of the followed person with every frame; answers what the ground station asks.

    LANDING_TARGET goes out while the person is in view, with the time of the picture; never while lost, so that the autopilot's own
    time-out works. CAMERA_TRACKING_IMAGE_STATUS always goes out: active with the person's box, error while lost, idle where nobody is followed.

    Args:
        address: of pymavlink: `udpout:HOST:PORT`, `udpin:HOST:PORT`, `tcp:HOST:PORT`, `/dev/ttyTHS1`.
        follow: of the run.
        baud: of a serial line.
        system: MAVLink's system id, that of the vehicle.

    Raises:
        UsageError: no such address.
        PosetrtError: it cannot be opened.
    """

    def __init__(self, address: str, follow: Follow, baud: int = DEFAULT_BAUD, system: int = 1) -> None:
        if not address.startswith(_KINDS):
            raise UsageError(f"--mavlink takes udpout:HOST:PORT, udpin:HOST:PORT, tcp:HOST:PORT or /dev/...; got {address!r}")
        mavutil = mavlink2()
        self._mavlink, self._follow = mavutil.mavlink, follow
        try:
            self._link = mavutil.mavlink_connection(address, baud=baud, source_system=system, source_component=COMPONENT)
        except (OSError, ValueError, IndexError) as error:
            raise PosetrtError(f"cannot open MAVLink at {address}: {error}; expected as in udpout:127.0.0.1:14550") from error
        self._began_s, self._beat_s = time.monotonic(), -math.inf

    def write(self, result: Result) -> None:
        """Answer what has come, and tell of a frame.

        Raises:
            PosetrtError: the line is gone.
        """
        try:
            now_s = time.monotonic()
            if now_s - self._beat_s >= HEARTBEAT_S:
                self._beat_s = now_s
                ours = self._mavlink
                self._link.mav.heartbeat_send(ours.MAV_TYPE_CAMERA, ours.MAV_AUTOPILOT_INVALID, 0, 0, ours.MAV_STATE_ACTIVE)
            size_wh = result.frame.size_wh
            self._hear(size_wh)
            target = result.target or Target()
            self._tell_station(target, size_wh)
            if target.seen:
                self._tell_autopilot(target, now_s - (result.age_s or 0.0))
        except OSError as error:
            raise PosetrtError(f"MAVLink: cannot send or receive: {error}") from error

    def close(self) -> None:
        """Close the connection."""
        self._link.close()

    def _hear(self, size_wh: tuple[int, int]) -> None:
        while (message := self._link.recv_match(type="COMMAND_LONG", blocking=False)) is not None:
            if message.target_component in (0, COMPONENT):
                result = self._obeyed(message, size_wh)
                # The last two fields address the answer to who asked.
                self._link.mav.command_ack_send(message.command, result, 0, 0, message.get_srcSystem(), message.get_srcComponent())

    def _obeyed(self, message: Any, size_wh: tuple[int, int]) -> int:
        ours = self._mavlink
        values = [getattr(message, f"param{place}") for place in range(1, 5)]
        if message.command == ours.MAV_CMD_CAMERA_STOP_TRACKING:
            self._follow.stop()
            return int(ours.MAV_RESULT_ACCEPTED)
        if message.command == ours.MAV_CMD_CAMERA_TRACK_POINT:
            return self._answer(self._shares(values[:2]) and self._follow.choose_point(*values[:2]))
        if message.command == ours.MAV_CMD_CAMERA_TRACK_RECTANGLE:
            return self._answer(self._shares(values) and self._follow.choose_rectangle(*values))
        if message.command == ours.MAV_CMD_REQUEST_CAMERA_INFORMATION or (
            message.command == ours.MAV_CMD_REQUEST_MESSAGE and values[0] == ours.MAVLINK_MSG_ID_CAMERA_INFORMATION
        ):
            self._introduce(size_wh)
            return int(ours.MAV_RESULT_ACCEPTED)
        if message.command == ours.MAV_CMD_SET_MESSAGE_INTERVAL and values[0] == ours.MAVLINK_MSG_ID_CAMERA_TRACKING_IMAGE_STATUS:
            # It comes with every frame anyhow.
            return int(ours.MAV_RESULT_ACCEPTED)
        return int(ours.MAV_RESULT_UNSUPPORTED)

    def _answer(self, followed: bool) -> int:
        return int(self._mavlink.MAV_RESULT_ACCEPTED if followed else self._mavlink.MAV_RESULT_DENIED)

    @staticmethod
    def _shares(values: list[float]) -> bool:
        """Whether places are shares of the picture, as the protocol has them."""
        return all(0 <= value <= 1 for value in values)

    def _introduce(self, size_wh: tuple[int, int]) -> None:
        """CAMERA_INFORMATION: a ground station offers picking only where the camera says that it tracks."""
        ours = self._mavlink
        flags = ours.CAMERA_CAP_FLAGS_HAS_TRACKING_POINT | ours.CAMERA_CAP_FLAGS_HAS_TRACKING_RECTANGLE
        since_ms = int(1000 * (time.monotonic() - self._began_s))
        vendor, model = (list(name.encode().ljust(32, b"\0")) for name in ("posetrt", "posetrt"))
        self._link.mav.camera_information_send(since_ms, vendor, model, 0, math.nan, math.nan, math.nan, *size_wh, 0, flags, 0, b"")

    def _tell_station(self, target: Target, size_wh: tuple[int, int]) -> None:
        ours = self._mavlink
        status = {"idle": ours.CAMERA_TRACKING_STATUS_FLAGS_IDLE, "lost": ours.CAMERA_TRACKING_STATUS_FLAGS_ERROR}.get(
            target.state, ours.CAMERA_TRACKING_STATUS_FLAGS_ACTIVE
        )
        mode = ours.CAMERA_TRACKING_MODE_NONE if target.state == "idle" else ours.CAMERA_TRACKING_MODE_RECTANGLE
        corners, data = (math.nan,) * 4, 0
        if target.box is not None:
            (left, top, across, down), (width, height) = target.box, size_wh
            corners = (left / width, top / height, (left + across) / width, (top + down) / height)
            data = ours.CAMERA_TRACKING_TARGET_DATA_IN_STATUS
        self._link.mav.camera_tracking_image_status_send(status, mode, data, math.nan, math.nan, math.nan, *corners)

    def _tell_autopilot(self, target: Target, taken_s: float) -> None:
        assert target.bearing_deg is not None
        assert target.elevation_deg is not None
        right = math.radians(target.bearing_deg)
        # LANDING_TARGET has the angle down in the picture's own plane, as it has the one to the right.
        down = math.atan(-math.tan(math.radians(target.elevation_deg)) * math.hypot(math.tan(right), 1.0))
        distance = target.distance_m or 0.0
        time_us = max(0, int(taken_s * 1e6))
        self._link.mav.landing_target_send(time_us, 0, self._mavlink.MAV_FRAME_BODY_FRD, right, down, distance, 0.0, 0.0)
