"""The ROS 2 node without ROS: stand-ins record what it publishes, and rosbags writes it in ROS 2's own wire format."""

from __future__ import annotations

import importlib
import math
import sys
import types
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from posetrt import load_skeleton
from posetrt.cli import main
from posetrt.runtime.people import People
from tests.tiny import tiny_network

PACKAGE = Path(__file__).resolve().parents[2] / "jetson" / "ros2" / "posetrt_ros"

# hri_msgs 2.x as docs.ros.org prints them.
_DEFINITIONS = {
    "hri_msgs/msg/NormalizedPointOfInterest2D": "float32 x\nfloat32 y\nfloat32 c\n",
    "hri_msgs/msg/IdsList": "std_msgs/Header header\nstring[] ids\n",
    "hri_msgs/msg/Skeleton2D": """std_msgs/Header header
uint8 NOSE = 0
uint8 NECK = 1
uint8 RIGHT_SHOULDER = 2
uint8 RIGHT_ELBOW = 3
uint8 RIGHT_WRIST = 4
uint8 LEFT_SHOULDER = 5
uint8 LEFT_ELBOW = 6
uint8 LEFT_WRIST = 7
uint8 RIGHT_HIP = 8
uint8 RIGHT_KNEE = 9
uint8 RIGHT_ANKLE = 10
uint8 LEFT_HIP = 11
uint8 LEFT_KNEE = 12
uint8 LEFT_ANKLE = 13
uint8 LEFT_EYE = 14
uint8 RIGHT_EYE = 15
uint8 LEFT_EAR = 16
uint8 RIGHT_EAR = 17
NormalizedPointOfInterest2D[18] skeleton
""",
}


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package's folder on the path, and gone afterwards."""
    monkeypatch.syspath_prepend(str(PACKAGE))
    yield
    for name in [name for name in sys.modules if name.startswith("posetrt_ros")]:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["coco18", "body25", "trtpose18"])
def test_each_part_stands_where_the_message_says_also_the_eyes_and_ears(package: None, name: str) -> None:
    order = importlib.import_module("posetrt_ros.skeletons")
    skeleton = load_skeleton(name)
    keypoints = np.zeros((len(skeleton.parts), 3), np.float32)
    for index in range(len(skeleton.parts)):
        keypoints[index] = (index * 10 - 0.5, 99.5, 0.5)
    points = order.normalised(keypoints, skeleton.parts, (1000, 200))
    constants = [line.split()[1:4:2] for line in _DEFINITIONS["hri_msgs/msg/Skeleton2D"].splitlines() if line.startswith("uint8")]
    for word, place in constants:
        side, _, part = word.rpartition("_")
        ours = {"RIGHT": "R", "LEFT": "L", "": ""}[side] + part.capitalize()
        assert points[int(place)][0] == pytest.approx(skeleton.parts.index(ours) / 100), word
        assert points[int(place)][1:] == pytest.approx((0.5, 0.5))


def test_a_part_that_was_not_found_is_nowhere(package: None) -> None:
    order = importlib.import_module("posetrt_ros.skeletons")
    points = order.normalised(np.zeros((18, 3), np.float32), load_skeleton("coco18").parts, (640, 480))
    assert len(points) == 18
    assert all(math.isnan(x) and math.isnan(y) and c == 0 for x, y, c in points)


class Publisher:
    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.sent: list[Any] = []

    def publish(self, message: Any) -> None:
        self.sent.append(message)


def _fake_ros(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], ids: list[list[int]]) -> None:
    """rclpy's Node, the messages and posetrt's tracker, as far as the node uses them."""

    class Node:
        def __init__(self, name: str) -> None:
            self.name, self.values, self.publishers, self.destroyed = name, {}, {}, []  # type: ignore[var-annotated]

        def declare_parameter(self, name: str, default: Any, descriptor: Any) -> None:
            assert descriptor.description
            self.values[name] = given.get(name, default)

        def get_parameter(self, name: str) -> Any:
            return SimpleNamespace(value=self.values[name])

        def create_publisher(self, kind: Any, topic: str, depth: int) -> Publisher:
            return self.publishers.setdefault(topic, Publisher(topic))

        def destroy_publisher(self, publisher: Publisher) -> None:
            self.destroyed.append(publisher.topic)

        def create_subscription(self, kind: Any, topic: str, call: Any, qos: Any) -> None:
            self.subscribed, self.call, self.qos = topic, call, qos

        def destroy_node(self) -> None: ...

        def get_logger(self) -> Any:
            return SimpleNamespace(warning=lambda text, **_: self.destroyed.append(text))

    class Message(SimpleNamespace):
        pass

    class Tracker:
        def __init__(self, skeleton: Any) -> None:
            self.turns = iter(ids)

        def update(self, people: People, time_s: float) -> People:
            found = next(self.turns)
            keypoints = np.full((len(found), 18, 3), 0.5, np.float32)
            scores = np.array([1 - 0.1 * index for index in range(len(found))], np.float32)
            return People(keypoints, scores, np.array(found, np.int64))

    kinds = ("IdsList", "NormalizedPointOfInterest2D", "Skeleton2D", "CompressedImage", "Image", "ParameterDescriptor")
    kinds += ("BoundingBox2D", "Detection2D", "Detection2DArray", "ObjectHypothesis", "ObjectHypothesisWithPose", "Point2D", "Pose2D")
    members = {kind: type(kind, (Message,), {}) for kind in kinds}
    for name, values in {
        "rclpy": {},
        "rclpy.node": {"Node": Node},
        "rclpy.qos": {
            "QoSProfile": SimpleNamespace,
            "HistoryPolicy": SimpleNamespace(KEEP_LAST="keep last"),
            "ReliabilityPolicy": SimpleNamespace(BEST_EFFORT="best effort"),
        },
        "vision_msgs": {},
        "vision_msgs.msg": members,
        "hri_msgs": {},
        "hri_msgs.msg": members,
        "rcl_interfaces": {},
        "rcl_interfaces.msg": members,
        "sensor_msgs": {},
        "sensor_msgs.msg": members,
        "posetrt.runtime.track.tracker": {"Tracker": Tracker},
    }.items():
        module = types.ModuleType(name)
        module.__dict__.update(values)
        monkeypatch.setitem(sys.modules, name, module)


def _image(width: int = 80, height: int = 60) -> Any:
    data = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8))[1].tobytes()
    return SimpleNamespace(data=data, header=SimpleNamespace(stamp=SimpleNamespace(sec=5, nanosec=250_000_000), frame_id="camera"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    command = ["export", "onnx", "--weights", str(tiny_network(tmp_path / "t.onnx")), "--input-size", "96x64", "-o", str(folder)]
    assert main(command) == 0
    assert main(["build", str(folder), "--precision", "fp32"]) == 0
    return folder


def test_only_the_newest_image_waits(package: None, monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    _fake_ros(monkeypatch, {"model": str(model), "precision": "fp32"}, [])
    node = importlib.import_module("posetrt_ros.node").PoseNode()
    assert (node.qos.depth, node.qos.history, node.qos.reliability) == (1, "keep last", "best effort")
    node.destroy_node()


def test_raw_images_are_taken_and_people_have_boxes_and_ids(package: None, monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    _fake_ros(monkeypatch, {"model": str(model), "precision": "fp32", "raw": True}, [[3, 8]])
    node = importlib.import_module("posetrt_ros.node").PoseNode()
    assert node.subscribed == "image"
    header = _image().header
    node.call(SimpleNamespace(encoding="rgb8", height=60, width=80, step=256, data=bytes(60 * 256), header=header))
    (message,) = node.publishers["~/detections"].sent
    assert [one.id for one in message.detections] == ["body_3", "body_8"]
    first = message.detections[0]
    assert (first.bbox.center.position.x, first.bbox.size_x) == (0.5, 0.0), "all its parts are at one place"
    assert (first.results[0].hypothesis.class_id, first.results[0].hypothesis.score) == ("person", 1.0)
    assert message.header is header
    node.call(SimpleNamespace(encoding="yuv422", height=60, width=80, step=160, data=b"", header=header))
    assert "its encoding is 'yuv422'; expected one of bgr8, rgb8" in node.destroyed[-1]
    node.destroy_node()
    pytest.importorskip("rosbags", reason="pip install rosbags")
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    # vision_msgs 4.1, as docs.ros.org prints it; poses and headers are of ROS itself.
    for name, text in {
        "vision_msgs/msg/Point2D": "float64 x\nfloat64 y\n",
        "vision_msgs/msg/Pose2D": "vision_msgs/Point2D position\nfloat64 theta\n",
        "vision_msgs/msg/BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y\n",
    }.items():
        store.register(get_types_from_msg(text, name))
    kinds = store.types
    position = kinds["vision_msgs/msg/Point2D"](**vars(first.bbox.center.position))
    centre = kinds["vision_msgs/msg/Pose2D"](position=position, theta=first.bbox.center.theta)
    box = kinds["vision_msgs/msg/BoundingBox2D"](center=centre, size_x=first.bbox.size_x, size_y=first.bbox.size_y)
    name = "vision_msgs/msg/BoundingBox2D"
    assert store.deserialize_cdr(store.serialize_cdr(box, name), name).center.position.x == 0.5


def test_the_colours_and_rows_of_raw_images(package: None) -> None:
    to_bgr = importlib.import_module("posetrt_ros.raw_images").to_bgr
    bgr = np.random.default_rng(1).integers(0, 255, (4, 5, 3), np.uint8)
    for encoding, code in (("bgr8", None), ("rgb8", cv2.COLOR_BGR2RGB), ("bgra8", cv2.COLOR_BGR2BGRA), ("rgba8", cv2.COLOR_BGR2RGBA)):
        sent = bgr if code is None else cv2.cvtColor(bgr, code)
        rows = np.pad(sent.reshape(4, -1), ((0, 0), (0, 3)))
        assert (to_bgr(encoding, 4, 5, rows.shape[1], rows.tobytes()) == bgr).all(), encoding
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    assert (to_bgr("mono8", 4, 5, 5, grey.tobytes()) == cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)).all()
    with pytest.raises(ValueError, match="does not fit 3 bytes"):
        to_bgr("bgr8", 4, 5, 15, b"abc")


def test_the_box_is_the_networks_own_or_around_what_was_found(package: None) -> None:
    body_box = importlib.import_module("posetrt_ros.boxes").body_box
    keypoints = np.zeros((2, 18, 3), np.float32)
    keypoints[0, 3], keypoints[0, 5] = (10, 20, 0.9), (30, 60, 0.5)
    people = People(keypoints, np.ones(2, np.float32))
    box = body_box(people, 0)
    assert (box.centre_x, box.centre_y, box.width, box.height) == (20, 40, 20, 40)
    assert body_box(people, 1) is None
    own = People(keypoints, np.ones(2, np.float32), boxes=np.array([[0, 0, 8, 4], [2, 2, 4, 6]], np.float32))
    assert (body_box(own, 1).centre_x, body_box(own, 1).height) == (4, 6)


def test_the_node_publishes_who_is_there_and_drops_who_left(package: None, monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    given = {"model": str(model), "precision": "fp32", "publish_image": True, "max_people": 2}
    _fake_ros(monkeypatch, given, [[3, 8, 9], [8]])
    node = importlib.import_module("posetrt_ros.node").PoseNode()
    assert node.subscribed == "image/compressed"
    node.call(_image())
    node.call(_image())
    tracked = node.publishers["/humans/bodies/tracked"].sent
    assert [message.ids for message in tracked] == [["body_3", "body_8"], ["body_8"]]
    assert node.destroyed == ["/humans/bodies/body_3/skeleton2d"]
    skeletons = node.publishers["/humans/bodies/body_8/skeleton2d"].sent
    assert len(skeletons) == 2
    drawn = node.publishers["~/image/compressed"].sent[0]
    assert drawn.format == "jpeg"
    assert cv2.imdecode(np.frombuffer(drawn.data, np.uint8), cv2.IMREAD_COLOR).shape == (60, 80, 3)
    node.call(SimpleNamespace(data=b"no picture", header=None))
    assert "could not be decoded" in node.destroyed[-1]
    _goes_over_the_wire(skeletons[0], tracked[0])
    node.destroy_node()


def _goes_over_the_wire(skeleton: Any, tracked: Any) -> None:
    """Both messages, through the CDR of the published definitions and back."""
    pytest.importorskip("rosbags", reason="pip install rosbags")
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    for name, text in _DEFINITIONS.items():
        store.register(get_types_from_msg(text, name))
    stamp = store.types["builtin_interfaces/msg/Time"](sec=5, nanosec=250_000_000)
    header = store.types["std_msgs/msg/Header"](stamp=stamp, frame_id="camera")
    point = store.types["hri_msgs/msg/NormalizedPointOfInterest2D"]
    message = store.types["hri_msgs/msg/Skeleton2D"](header=header, skeleton=[point(**vars(one)) for one in skeleton.skeleton])
    back = store.deserialize_cdr(store.serialize_cdr(message, "hri_msgs/msg/Skeleton2D"), "hri_msgs/msg/Skeleton2D")
    assert len(back.skeleton) == 18
    assert [one.x for one in back.skeleton] == pytest.approx([one.x for one in skeleton.skeleton])
    ids = store.types["hri_msgs/msg/IdsList"](header=header, ids=tracked.ids)
    assert store.deserialize_cdr(store.serialize_cdr(ids, "hri_msgs/msg/IdsList"), "hri_msgs/msg/IdsList").ids == tracked.ids


def test_the_package_is_what_colcon_expects() -> None:
    root = ElementTree.parse(PACKAGE / "package.xml").getroot()
    assert root.get("format") == "3"
    assert root.findtext("name") == "posetrt_ros"
    assert root.findtext("export/build_type") == "ament_python"
    assert (PACKAGE / "resource" / "posetrt_ros").is_file()
    imported = {
        line.split()[1].partition(".")[0] for line in (PACKAGE / "posetrt_ros/node.py").read_text().splitlines() if line.startswith("from ")
    }
    depends = {element.text for element in root.findall("exec_depend")}
    assert imported - {"__future__", "posetrt", "posetrt_ros"} <= depends
