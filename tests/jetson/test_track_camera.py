"""A ground station picks whom the camera follows; played by an endpoint of pymavlink on loopback."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pymavlink", reason="pip install pymavlink")

_SPEC = importlib.util.spec_from_file_location(
    "track_camera", Path(__file__).resolve().parents[2] / "jetson" / "examples" / "track_camera.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
example = importlib.util.module_from_spec(_SPEC)
# Its dataclass looks its own module up.
sys.modules["track_camera"] = example
_SPEC.loader.exec_module(example)

SIZE = (100, 50)


def person(identity: int, left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
    """Two parts, at the corners of a box in shares of the picture."""
    keypoints = np.zeros((18, 3))
    for part, (x, y) in ((0, (left, top)), (1, (right, bottom))):
        keypoints[part] = (x * SIZE[0] - 0.5, y * SIZE[1] - 0.5, 0.9)
    return {"person_id": identity, "score": 0.9, "keypoints": keypoints.tolist()}


LEFT, RIGHT = person(4, 0.1, 0.2, 0.3, 0.8), person(7, 0.6, 0.2, 0.9, 0.8)


class Station:
    """A ground station that commands, and hears what comes back."""

    def __init__(self) -> None:
        from pymavlink import mavutil

        self.mavlink = mavutil.mavlink
        self.station = mavutil.mavlink_connection("udpin:127.0.0.1:0", source_system=255, source_component=190)
        address = f"udpout:127.0.0.1:{self.station.port.getsockname()[1]}"
        self.link = mavutil.mavlink_connection(address, source_system=1, source_component=example.COMPONENT)
        self.tracking = example.Tracking(self.link, SIZE)

    def status(self, *people: dict[str, Any]) -> Any:
        """What the station hears of a frame."""
        self.tracking.see(people)
        return self._heard("CAMERA_TRACKING_IMAGE_STATUS")

    def command(self, command: int, *values: float) -> int:
        """The answer to a command."""
        self.station.mav.command_long_send(1, example.COMPONENT, command, 0, *(list(values) + 7 * [0])[:7])
        deadline = time.monotonic() + 10
        while (answer := self.station.recv_match(type="COMMAND_ACK", blocking=True, timeout=0.05)) is None:
            assert time.monotonic() < deadline
            self.tracking.hear()
        assert answer.command == command
        return int(answer.result)

    def _heard(self, kind: str) -> Any:
        message = self.station.recv_match(type=kind, blocking=True, timeout=10)
        assert message is not None
        return message


@pytest.fixture
def station() -> Iterator[Station]:
    made = Station()
    yield made
    made.link.close()
    made.station.close()


def test_a_point_picks_the_person_under_it_and_the_box_follows(station: Station) -> None:
    ours = station.mavlink
    assert station.status(LEFT, RIGHT).tracking_status == ours.CAMERA_TRACKING_STATUS_FLAGS_IDLE
    assert station.command(ours.MAV_CMD_CAMERA_TRACK_POINT, 0.7, 0.5, 0.1) == ours.MAV_RESULT_ACCEPTED
    heard = station.status(person(7, 0.5, 0.2, 0.8, 0.8), LEFT)
    assert heard.tracking_status == ours.CAMERA_TRACKING_STATUS_FLAGS_ACTIVE
    assert (heard.rec_top_x, heard.rec_top_y, heard.rec_bottom_x, heard.rec_bottom_y) == pytest.approx((0.5, 0.2, 0.8, 0.8))
    assert math.isnan(heard.point_x)


def test_a_rectangle_picks_who_fills_it_and_stop_lets_go(station: Station) -> None:
    ours = station.mavlink
    station.status(LEFT, RIGHT)
    assert station.command(ours.MAV_CMD_CAMERA_TRACK_RECTANGLE, 0.0, 0.0, 0.4, 1.0) == ours.MAV_RESULT_ACCEPTED
    assert station.status(LEFT, RIGHT).rec_top_x == pytest.approx(0.1)
    assert station.command(ours.MAV_CMD_CAMERA_STOP_TRACKING) == ours.MAV_RESULT_ACCEPTED
    assert station.status(LEFT, RIGHT).tracking_status == ours.CAMERA_TRACKING_STATUS_FLAGS_IDLE


def test_nobody_under_the_point_is_denied_and_who_was_followed_stays(station: Station) -> None:
    ours = station.mavlink
    station.status(LEFT, RIGHT)
    station.command(ours.MAV_CMD_CAMERA_TRACK_POINT, 0.2, 0.5)
    assert station.command(ours.MAV_CMD_CAMERA_TRACK_POINT, 0.45, 0.05) == ours.MAV_RESULT_DENIED
    assert station.status(LEFT).rec_top_x == pytest.approx(0.1)
    assert station.command(ours.MAV_CMD_DO_SET_MODE) == ours.MAV_RESULT_UNSUPPORTED


def test_somebody_out_of_view_is_an_error_until_they_are_back(station: Station) -> None:
    ours = station.mavlink
    station.status(LEFT)
    station.command(ours.MAV_CMD_CAMERA_TRACK_POINT, 0.2, 0.5)
    assert station.status(RIGHT).tracking_status == ours.CAMERA_TRACKING_STATUS_FLAGS_ERROR
    assert station.status(LEFT, RIGHT).tracking_status == ours.CAMERA_TRACKING_STATUS_FLAGS_ACTIVE


def test_lines_are_served_with_a_heartbeat_as_a_camera(station: Station) -> None:
    ours = station.mavlink
    example.serve([json.dumps({"people": [LEFT]})] * 3, station.link, SIZE, clock=lambda: 5.0)
    kinds = []
    while (message := station.station.recv_match(blocking=True, timeout=0.5)) is not None:
        kinds.append(message.get_type())
        if message.get_type() == "HEARTBEAT":
            assert (message.type, message.get_srcComponent()) == (ours.MAV_TYPE_CAMERA, example.COMPONENT)
    assert kinds == ["HEARTBEAT", *["CAMERA_TRACKING_IMAGE_STATUS"] * 3]
