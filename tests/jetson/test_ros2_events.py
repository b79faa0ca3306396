"""The ROS 2 node's events: a std_msgs/String with JSON for each, in ROS 2's own wire format."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from posetrt.runtime.errors import PosetrtError
from tests.jetson.test_ros2 import _fake_ros, _image, _started, model, package
from tests.runtime.events.test_watcher import STILL, UP, body

__all__ = ["model", "package"]


def test_the_node_publishes_events_as_json(package: None, monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[event]]\nkind = "raised-hand"\nname = "hand"\n')
    _fake_ros(monkeypatch, {"model": str(model), "precision": "fp32", "events": str(rules)}, [])
    frames = iter([body(STILL)] * 4 + [body(UP)] * 8)
    node = _started()
    (view,) = node._views
    view._tracker = SimpleNamespace(update=lambda people, time_s, image: next(frames))
    image = _image()
    for index in range(12):
        image.header.stamp.nanosec = index * 80_000_000
        node.subscribed["image/compressed"].call(image)
    (message,) = node.publishers["~/events"].sent
    node.destroy_node()
    event = json.loads(message.data)
    assert (event["event"], event["state"], event["person_id"], event["frame_id"]) == ("hand", "start", 7, "camera")
    assert event["began_s"] == pytest.approx(5.32)
    _over_the_wire(message)


def _over_the_wire(message: Any) -> None:
    pytest.importorskip("rosbags", reason="pip install rosbags")
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    sent = store.types["std_msgs/msg/String"](data=message.data)
    read = store.deserialize_cdr(store.serialize_cdr(sent, "std_msgs/msg/String"), "std_msgs/msg/String")
    assert json.loads(read.data) == json.loads(message.data)


def test_a_rules_file_with_an_unknown_event_ends_the_node_with_those_known(
    package: None,
    monkeypatch: pytest.MonkeyPatch,
    model: Path,
    tmp_path: Path,
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[event]]\nkind = "dance"\n')
    _fake_ros(monkeypatch, {"model": str(model), "precision": "fp32", "events": str(rules)}, [])
    node = importlib.import_module("posetrt_ros.node").PoseNode()
    with pytest.raises(PosetrtError, match="could not be started"):
        node.start()
    assert "raised-hand" in node.said[-1]
