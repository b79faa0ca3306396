"""A ground station picks whom the camera follows, and an autopilot hears where they are; both played by pymavlink on loopback."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pymavlink", reason="pip install pymavlink")

from posetrt.runtime.camera import FieldOfView
from posetrt.runtime.errors import UsageError
from posetrt.runtime.model.skeleton import load_skeleton
from posetrt.runtime.people import People
from posetrt.runtime.sinks.base import Result
from posetrt.runtime.sinks.mavlink import COMPONENT, MavlinkTarget, mavlink2
from posetrt.runtime.sources.base import Frame
from posetrt.runtime.track.follow import Follow

SIZE = (640, 360)
SKELETON = load_skeleton("coco18")


def person(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """Key points of somebody who stands upright and fills a box in shares of the picture."""
    place = {name: index for index, name in enumerate(SKELETON.parts)}
    keypoints = np.zeros((18, 3), np.float32)
    for name, across, down in (
        *(("Nose", 0.5, 0.0), ("RShoulder", 0.0, 0.15), ("LShoulder", 1.0, 0.15), ("RHip", 0.2, 0.5), ("LHip", 0.8, 0.5)),
        *(("RKnee", 0.2, 0.75), ("LKnee", 0.8, 0.75), ("RAnkle", 0.2, 1.0), ("LAnkle", 0.8, 1.0)),
    ):
        x, y = left + across * (right - left), top + down * (bottom - top)
        keypoints[place[name]] = (x * SIZE[0], y * SIZE[1], 0.9)
    return keypoints


LEFT, RIGHT = (4, person(0.1, 0.2, 0.2, 0.8)), (7, person(0.6, 0.2, 0.7, 0.8))


class Station:
    """A ground station that commands, and hears what comes back."""

    def __init__(self) -> None:
        mavutil = mavlink2()
        self.mavlink = mavutil.mavlink
        self.station = mavutil.mavlink_connection("udpin:127.0.0.1:0", source_system=255, source_component=190)
        self.follow = Follow(SKELETON, FieldOfView(60))
        self.sink = MavlinkTarget(f"udpout:127.0.0.1:{self.station.port.getsockname()[1]}", self.follow)
        self.frames = 0

    def show(self, *people: tuple[int, np.ndarray], age_s: float = 0.0) -> dict[str, Any]:
        """The messages that the station hears of a frame, by kind."""
        ids = np.array([identity for identity, _ in people], np.int64)
        points = np.stack([keypoints for _, keypoints in people]) if people else np.zeros((0, 18, 3), np.float32)
        found = People(points, np.ones(len(ids), np.float32), ids=ids)
        image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        frame = Frame(image, "f", self.frames, self.frames / 10, captured_s=time.perf_counter() - age_s)
        target = self.follow.update(found, frame.time_s, image)
        self.frames += 1
        self.sink.write(Result(frame, found, MANIFEST, target=target))
        heard: dict[str, Any] = {}
        while (message := self.station.recv_match(blocking="CAMERA_TRACKING_IMAGE_STATUS" not in heard, timeout=10)) is not None:
            heard[message.get_type()] = message
            if message.get_type() == "CAMERA_TRACKING_IMAGE_STATUS" and not target.seen:
                break
        return heard

    def command(self, command: int, *values: float) -> int:
        """The answer to a command, which comes with the next frame."""
        self.station.mav.command_long_send(1, COMPONENT, command, 0, *(list(values) + 7 * [0])[:7])
        deadline = time.monotonic() + 10
        while (answer := self.station.recv_match(type="COMMAND_ACK", blocking=True, timeout=0.05)) is None:
            assert time.monotonic() < deadline
            self.sink._hear(SIZE)
        assert answer.command == command
        return int(answer.result)


MANIFEST: Any = None


@pytest.fixture
def station() -> Iterator[Station]:
    made = Station()
    yield made
    made.sink.close()
    made.station.close()


def test_a_point_picks_the_person_under_it_and_box_and_angles_follow(station: Station) -> None:
    ours = station.mavlink
    first = station.show(LEFT, RIGHT)
    assert first["HEARTBEAT"].type == ours.MAV_TYPE_CAMERA
    assert first["HEARTBEAT"].get_srcComponent() == COMPONENT
    assert first["CAMERA_TRACKING_IMAGE_STATUS"].tracking_status == ours.CAMERA_TRACKING_STATUS_FLAGS_IDLE
    assert "LANDING_TARGET" not in first
    assert station.command(ours.MAV_CMD_CAMERA_TRACK_POINT, 0.65, 0.5, 0.1) == ours.MAV_RESULT_ACCEPTED
    heard = station.show((7, person(0.5, 0.2, 0.6, 0.8)), LEFT, age_s=2.0)
    status, target = heard["CAMERA_TRACKING_IMAGE_STATUS"], heard["LANDING_TARGET"]
    assert status.tracking_status == ours.CAMERA_TRACKING_STATUS_FLAGS_ACTIVE
    corners = (status.rec_top_x, status.rec_top_y, status.rec_bottom_x, status.rec_bottom_y)
    assert corners == pytest.approx((0.5, 0.2, 0.6, 0.8), abs=0.01)
    focal = 320 / math.tan(math.radians(30))
    assert target.angle_x == pytest.approx(math.atan((0.55 * 640 - 319.5) / focal), abs=1e-5)
    assert target.angle_y == pytest.approx(math.atan((0.5 * 360 - 179.5) / focal), abs=1e-5)
    height_px = 0.85 * 0.6 * 360 / (0.288 + 0.245 + 0.246)
    assert target.distance == pytest.approx(1.70 * focal / height_px, rel=0.06)
    assert target.frame == ours.MAV_FRAME_BODY_FRD
    assert time.monotonic() - target.time_usec / 1e6 == pytest.approx(2.0, abs=1.5)


def test_a_rectangle_picks_who_fills_it_and_stop_lets_go(station: Station) -> None:
    ours = station.mavlink
    station.show(LEFT, RIGHT)
    assert station.command(ours.MAV_CMD_CAMERA_TRACK_RECTANGLE, 0.0, 0.0, 0.4, 1.0) == ours.MAV_RESULT_ACCEPTED
    assert station.show(LEFT, RIGHT)["CAMERA_TRACKING_IMAGE_STATUS"].rec_top_x == pytest.approx(0.1, abs=0.01)
    assert station.command(ours.MAV_CMD_CAMERA_STOP_TRACKING) == ours.MAV_RESULT_ACCEPTED
    assert station.show(LEFT, RIGHT)["CAMERA_TRACKING_IMAGE_STATUS"].tracking_status == ours.CAMERA_TRACKING_STATUS_FLAGS_IDLE


def test_a_station_that_picks_nobody_is_denied_and_who_was_followed_stays(station: Station) -> None:
    ours = station.mavlink
    station.show()
    assert station.command(ours.MAV_CMD_CAMERA_TRACK_POINT, 0.15, 0.5) == ours.MAV_RESULT_DENIED
    station.show(LEFT, RIGHT)
    station.command(ours.MAV_CMD_CAMERA_TRACK_POINT, 0.15, 0.5)
    for nowhere in ((0.45, 0.05), (640.0, 180.0), (math.nan, 0.5)):
        assert station.command(ours.MAV_CMD_CAMERA_TRACK_POINT, *nowhere) == ours.MAV_RESULT_DENIED
    assert station.command(ours.MAV_CMD_CAMERA_TRACK_RECTANGLE, 0.3, 0.0, 0.4, 1.0) == ours.MAV_RESULT_DENIED
    assert station.show(LEFT)["CAMERA_TRACKING_IMAGE_STATUS"].rec_top_x == pytest.approx(0.1, abs=0.01)
    assert station.command(ours.MAV_CMD_DO_SET_MODE) == ours.MAV_RESULT_UNSUPPORTED


def test_a_lost_person_is_an_error_without_a_landing_target_until_they_are_back(station: Station) -> None:
    ours = station.mavlink
    station.show(LEFT)
    station.command(ours.MAV_CMD_CAMERA_TRACK_POINT, 0.15, 0.5)
    assert "LANDING_TARGET" in station.show(LEFT)
    heard = station.show(RIGHT)
    assert heard["CAMERA_TRACKING_IMAGE_STATUS"].tracking_status == ours.CAMERA_TRACKING_STATUS_FLAGS_ERROR
    assert "LANDING_TARGET" not in heard
    heard = station.show(LEFT, RIGHT)
    assert heard["CAMERA_TRACKING_IMAGE_STATUS"].tracking_status == ours.CAMERA_TRACKING_STATUS_FLAGS_ACTIVE
    assert "LANDING_TARGET" in heard


def test_the_camera_says_that_it_tracks(station: Station) -> None:
    ours = station.mavlink
    station.show(LEFT)
    assert station.command(ours.MAV_CMD_REQUEST_MESSAGE, ours.MAVLINK_MSG_ID_CAMERA_TRACKING_IMAGE_STATUS) == ours.MAV_RESULT_UNSUPPORTED
    station.station.mav.command_long_send(1, COMPONENT, ours.MAV_CMD_REQUEST_MESSAGE, 0, ours.MAVLINK_MSG_ID_CAMERA_INFORMATION, *6 * [0])
    deadline = time.monotonic() + 10
    while (told := station.station.recv_match(type="CAMERA_INFORMATION", blocking=True, timeout=0.05)) is None:
        assert time.monotonic() < deadline
        station.sink._hear(SIZE)
    both = ours.CAMERA_CAP_FLAGS_HAS_TRACKING_POINT | ours.CAMERA_CAP_FLAGS_HAS_TRACKING_RECTANGLE
    assert told.flags & both == both
    assert (told.resolution_h, told.resolution_v) == SIZE


@pytest.mark.parametrize("address", ["127.0.0.1:14550", "http://x", "udpout:nowhere"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(Exception, match="udpout:") as told:
        MavlinkTarget(address, Follow(SKELETON, FieldOfView(60)))
    assert isinstance(told.value, UsageError) or told.type.__name__ == "PosetrtError"
