"""The ROS 2 node without ROS: stand-ins record what it publishes, and rosbags writes it in ROS 2's own wire format."""

from __future__ import annotations

import importlib
import json
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
    # vision_msgs 4.1 (Humble to Rolling), as docs.ros.org prints it.
    "vision_msgs/msg/Point2D": "float64 x\nfloat64 y\n",
    "vision_msgs/msg/Pose2D": "vision_msgs/Point2D position\nfloat64 theta\n",
    "vision_msgs/msg/BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y\n",
    "vision_msgs/msg/BoundingBox3D": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size\n",
    "vision_msgs/msg/ObjectHypothesis": "string class_id\nfloat64 score\n",
    "vision_msgs/msg/ObjectHypothesisWithPose": "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose\n",
    "vision_msgs/msg/Detection2D": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\nvision_msgs/BoundingBox2D bbox\nstring id\n"
    ),
    "vision_msgs/msg/Detection2DArray": "std_msgs/Header header\nvision_msgs/Detection2D[] detections\n",
    "vision_msgs/msg/Detection3D": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\nvision_msgs/BoundingBox3D bbox\nstring id\n"
    ),
    "vision_msgs/msg/Detection3DArray": "std_msgs/Header header\nvision_msgs/Detection3D[] detections\n",
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


class Message(SimpleNamespace):
    """Any message: what it was made with, and a header where none was given."""

    ADD, DELETEALL, LINE_LIST, SPHERE_LIST, TEXT_VIEW_FACING = 0, 3, 5, 7, 9


_MESSAGES = {
    "hri_msgs": ("IdsList", "NormalizedPointOfInterest2D", "Skeleton2D"),
    "sensor_msgs": ("CameraInfo", "CompressedImage", "Image"),
    "rcl_interfaces": ("FloatingPointRange", "IntegerRange", "ParameterDescriptor"),
    "geometry_msgs": ("Point", "PointStamped", "Pose", "PoseWithCovariance", "Quaternion", "Vector3"),
    "std_msgs": ("ColorRGBA", "String"),
    "visualization_msgs": ("Marker", "MarkerArray"),
    "vision_msgs": (
        *("BoundingBox2D", "BoundingBox3D", "Detection2D", "Detection2DArray", "Detection3D", "Detection3DArray"),
        *("ObjectHypothesis", "ObjectHypothesisWithPose", "Point2D", "Pose2D"),
    ),
}


def _fake_ros(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], ids: list[list[int]], without: tuple[str, ...] = ()) -> None:
    """rclpy's LifecycleNode, the messages and posetrt's tracker, as far as the node uses them."""

    class Node:
        def __init__(self, name: str) -> None:
            self.name, self.values, self.described, self.publishers, self.destroyed = name, {}, {}, {}, []  # type: ignore[var-annotated]
            self.subscribed: dict[str, Any] = {}
            self.said: list[str] = []

        def declare_parameter(self, name: str, default: Any, descriptor: Any) -> None:
            assert descriptor.description
            self.values[name], self.described[name] = given.get(name, default), descriptor

        def get_parameter(self, name: str) -> Any:
            return SimpleNamespace(value=self.values[name])

        def create_publisher(self, kind: Any, topic: str, depth: int) -> Publisher:
            return self.publishers.setdefault(topic, Publisher(topic))

        def destroy_publisher(self, publisher: Publisher) -> None:
            self.destroyed.append(publisher.topic)

        def create_subscription(self, kind: Any, topic: str, call: Any, qos: Any) -> str:
            self.subscribed[topic] = SimpleNamespace(call=call, qos=qos, kind=kind.__name__)
            return topic

        def destroy_subscription(self, topic: str) -> None:
            del self.subscribed[topic]

        def trigger_configure(self) -> str:
            return str(self.on_configure(None))  # type: ignore[attr-defined]

        def trigger_activate(self) -> str:
            return str(self.on_activate(None))

        def on_activate(self, state: Any) -> str:
            return "success"

        def on_deactivate(self, state: Any) -> str:
            return "success"

        def destroy_node(self) -> None: ...

        def get_logger(self) -> Any:
            return SimpleNamespace(warning=lambda text, **_: self.said.append(text), error=self.said.append)

    class Tracker:
        def __init__(self, skeleton: Any, **cues: bool) -> None:
            self.turns = iter(ids)

        def update(self, people: People, time_s: float, image: Any = None) -> People:
            found = next(self.turns)
            keypoints = np.full((len(found), 18, 3), 0.5, np.float32)
            keypoints[:, :, 0] = 10 + np.arange(18, dtype=np.float32)
            keypoints[:, :, 1] = 5 + 2 * np.arange(18, dtype=np.float32)
            scores = np.array([1 - 0.1 * index for index in range(len(found))], np.float32)
            return People(keypoints, scores, np.array(found, np.int64))

    fakes: dict[str, dict[str, Any]] = {
        "rclpy": {},
        "rclpy.lifecycle": {"LifecycleNode": Node, "TransitionCallbackReturn": SimpleNamespace(SUCCESS="success", FAILURE="failure")},
        "rclpy.qos": {
            "QoSProfile": SimpleNamespace,
            "HistoryPolicy": SimpleNamespace(KEEP_LAST="keep last"),
            "ReliabilityPolicy": SimpleNamespace(BEST_EFFORT="best effort"),
        },
        "posetrt.runtime.track.tracker": {"Tracker": Tracker},
    }
    for name, kinds in _MESSAGES.items():
        if name in without:
            monkeypatch.setitem(sys.modules, name, None)
            monkeypatch.setitem(sys.modules, f"{name}.msg", None)
        else:
            fakes |= {name: {}, f"{name}.msg": {kind: type(kind, (Message,), {}) for kind in kinds}}
    for name, values in fakes.items():
        module = types.ModuleType(name)
        module.__dict__.update(values)
        monkeypatch.setitem(sys.modules, name, module)


def _started() -> Any:
    node = importlib.import_module("posetrt_ros.node").PoseNode()
    node.start()
    return node


def _header(sec: int = 5, nanosec: int = 250_000_000) -> Any:
    return Message(stamp=SimpleNamespace(sec=sec, nanosec=nanosec), frame_id="camera")


def _raw(encoding: str, array: np.ndarray, size_wh: tuple[int, int] = (80, 60), **header: int) -> Any:
    """A sensor_msgs/Image."""
    step = array.reshape(-1).nbytes // array.shape[0]
    fields = {"encoding": encoding, "width": size_wh[0], "height": size_wh[1], "step": step, "data": array.tobytes(), "is_bigendian": 0}
    return SimpleNamespace(**fields, header=_header(**header))


def _info(width: int = 80, height: int = 60, model: str = "plumb_bob") -> Any:
    k = [100.0, 0.0, 39.5, 0.0, 100.0, 29.5, 0.0, 0.0, 1.0]
    fields = {"width": width, "height": height, "k": k, "d": [0.0] * 5, "distortion_model": model, "binning_x": 0, "binning_y": 0}
    return SimpleNamespace(**fields, header=Message(stamp=SimpleNamespace(sec=5, nanosec=0), frame_id="optical"))


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
    node = _started()
    qos = node.subscribed["image/compressed"].qos
    assert (qos.depth, qos.history, qos.reliability) == (1, "keep last", "best effort")
    node.destroy_node()


def test_the_lifecycle_opens_listens_and_frees(package: None, monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    _fake_ros(monkeypatch, {"model": str(model), "precision": "fp32", "autostart": False}, [])
    node = _started()
    assert not node.subscribed
    assert node.on_configure(None) == "success"
    assert not node.subscribed
    node.on_activate(None)
    assert list(node.subscribed) == ["image/compressed"]
    node.on_deactivate(None)
    assert not node.subscribed
    assert node.on_cleanup(None) == "success"
    assert "~/detections" in node.destroyed
    node.values["model"] = "/no/such/folder"
    assert node.on_configure(None) == "failure"
    assert "/no/such/folder" in node.said[-1]


def test_numbers_have_ranges(package: None, monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    _fake_ros(monkeypatch, {"model": str(model), "precision": "fp32"}, [])
    described = _started().described
    (quality,) = described["jpeg_quality"].integer_range
    assert (quality.from_value, quality.to_value) == (1, 100)
    (slop,) = described["depth_slop_s"].floating_point_range
    assert (slop.from_value, slop.to_value) == (0.0, 1.0)


def test_raw_images_are_taken_and_people_have_boxes_and_ids(package: None, monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    _fake_ros(monkeypatch, {"model": str(model), "precision": "fp32", "raw": True}, [[3, 8]])
    node = _started()
    call = node.subscribed["image"].call
    call(_raw("rgb8", np.zeros((60, 256), np.uint8)))
    (message,) = node.publishers["~/detections"].sent
    assert [one.id for one in message.detections] == ["body_3", "body_8"]
    first = message.detections[0]
    assert (first.bbox.center.position.x, first.bbox.size_x) == (18.5, 17.0)
    assert (first.results[0].hypothesis.class_id, first.results[0].hypothesis.score) == ("person", 1.0)
    call(_raw("yuv422", np.zeros((60, 160), np.uint8)))
    assert "its encoding is 'yuv422'; expected one of bgr8, rgb8" in node.said[-1]
    back = _over_the_wire(message, "vision_msgs/msg/Detection2DArray")
    assert [(one.id, one.bbox.size_y) for one in back.detections] == [("body_3", 34.0), ("body_8", 34.0)]
    node.destroy_node()


def test_without_vision_and_hri_messages_the_rest_is_published(package: None, monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    given = {"model": str(model), "precision": "fp32", "publish_image": True}
    _fake_ros(monkeypatch, given, [[3]], without=("vision_msgs", "hri_msgs"))
    node = _started()
    node.subscribed["image/compressed"].call(_image())
    assert list(node.publishers) == ["~/image/compressed"]
    assert len(node.publishers["~/image/compressed"].sent) == 1
    node.destroy_node()


def test_several_cameras_share_one_engine_and_keep_their_names(package: None, monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    _fake_ros(monkeypatch, {"model": str(model), "precision": "fp32", "cameras": ["front", "rear"]}, [[1], [2]])
    opened: list[Any] = []
    module = importlib.import_module("posetrt_ros.node")
    original = module.open_pose
    monkeypatch.setattr(module, "open_pose", lambda *args, **options: opened.append(original(*args, **options)) or opened[-1])
    node = _started()
    assert sorted(node.subscribed) == ["front/image/compressed", "rear/image/compressed"]
    assert len(opened) == 1
    node.subscribed["front/image/compressed"].call(_image())
    node.subscribed["rear/image/compressed"].call(_image())
    assert [one.id for one in node.publishers["~/rear/detections"].sent[0].detections] == ["body_rear_1"]
    assert node.publishers["/humans/bodies/tracked"].sent[-1].ids == ["body_front_1", "body_rear_1"]
    node.destroy_node()


def _in_space(monkeypatch: pytest.MonkeyPatch, model: Path, **given: Any) -> Any:
    options = {"model": str(model), "precision": "fp32", "raw": True, "depth": True, "markers": True, "follow": "largest"}
    _fake_ros(monkeypatch, options | given, [[3]] * 9)
    return _started()


def test_key_points_stand_in_space_where_depth_says(package: None, monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    node = _in_space(monkeypatch, model)
    image = _raw("nv12", np.full((90, 80), 90, np.uint8))
    depth = np.full((60, 80), 2000, np.uint16)
    depth[20:31] = 0
    topics = node.subscribed
    topics["camera_info"].call(_info())
    topics["depth"].call(_raw("16UC1", np.full((60, 80), 9000, np.uint16), sec=4))
    topics["depth"].call(_raw("16UC1", depth))
    topics["image"].call(image)
    (message,) = node.publishers["~/detections3d"].sent
    assert message.header.frame_id == "optical"
    (person,) = message.detections
    places = {one.hypothesis.class_id: one.pose.pose.position for one in person.results}
    nose = places["Nose"]
    assert (nose.x, nose.y, nose.z) == pytest.approx(((10 - 39.5) / 50, (5 - 29.5) / 50, 2.0))
    parts = load_skeleton("coco18").parts
    holes = {parts[index] for index in range(18) if 21 <= 5 + 2 * index <= 29}
    assert not holes & places.keys()
    assert "person" in places
    back = _over_the_wire(message, "vision_msgs/msg/Detection3DArray").detections[0]
    assert back.id == "body_3"
    assert back.results[1].pose.pose.position.z == 2.0
    shapes = _over_the_wire(node.publishers["~/markers"].sent[0], "visualization_msgs/msg/MarkerArray").markers
    assert [(one.ns, one.action) for one in shapes] == [("", 3), ("limbs", 0), ("keypoints", 0), ("ids", 0)]
    assert shapes[3].text == "3"
    target = json.loads(node.publishers["~/target"].sent[0].data)
    assert (target["state"], target["person_id"], target["distance_from"]) == ("following", 3, "depth")
    point = _over_the_wire(node.publishers["~/target/point"].sent[0], "geometry_msgs/msg/PointStamped")
    assert point.header.frame_id == "optical"
    assert point.point.z == pytest.approx(2.0, abs=1e-6)
    topics["~/follow"].call(SimpleNamespace(data="stop"))
    topics["image"].call(image)
    assert json.loads(node.publishers["~/target"].sent[1].data)["state"] == "idle"
    node.destroy_node()


def test_depth_that_does_not_fit_is_told_and_the_rest_goes_on(package: None, monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    node = _in_space(monkeypatch, model, follow="", markers=False)
    topics, image = node.subscribed, _raw("bgr8", np.zeros((60, 240), np.uint8))
    topics["depth"].call(_raw("16UC1", np.full((60, 80), 2000, np.uint16)))
    topics["image"].call(image)
    assert "no camera_info" in node.said[-1]
    topics["camera_info"].call(_info(width=640, height=480))
    topics["image"].call(image)
    assert "calibrated for 640x480 and the picture is 80x60" in node.said[-1]
    topics["camera_info"].call(_info(model="equidistant"))
    assert "its distortion model is 'equidistant'" in node.said[-1]
    topics["camera_info"].call(_info())
    topics["depth"].call(_raw("16UC1", np.full((30, 40), 2000, np.uint16), (40, 30), sec=6))
    topics["image"].call(_raw("bgr8", np.zeros((60, 240), np.uint8), sec=6))
    assert "depth is 40x30 and the image 80x60" in node.said[-1]
    topics["image"].call(_raw("bgr8", np.zeros((60, 240), np.uint8), sec=9))
    assert "no depth picture within 0.05 s" in node.said[-1]
    assert not node.publishers["~/detections3d"].sent
    assert len(node.publishers["~/detections"].sent) == 4
    node.destroy_node()


def test_launch_files_set_what_their_case_needs(package: None, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {
        name: types.ModuleType(name) for name in ("launch", "launch.actions", "launch.substitutions", "launch_ros", "launch_ros.actions")
    }
    modules["launch_ros.parameter_descriptions"] = types.ModuleType("launch_ros.parameter_descriptions")
    modules["launch"].LaunchDescription = list  # type: ignore[attr-defined]
    modules["launch.actions"].DeclareLaunchArgument = lambda name, **_: name  # type: ignore[attr-defined]
    modules["launch.substitutions"].LaunchConfiguration = lambda name: f"${name}"  # type: ignore[attr-defined]
    modules["launch_ros.actions"].LifecycleNode = lambda **given: given  # type: ignore[attr-defined]
    modules["launch_ros.parameter_descriptions"].ParameterValue = lambda value, value_type: value  # type: ignore[attr-defined]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    _fake_ros(monkeypatch, {}, [])
    known = {one.name for one in importlib.import_module("posetrt_ros.parameters").PARAMETERS}
    files = sorted((PACKAGE / "launch").glob("*.launch.py"))
    assert len(files) == 4
    for file in files:
        space: dict[str, Any] = {}
        exec(compile(file.read_text(), str(file), "exec"), space)
        *arguments, node = space["generate_launch_description"]()
        (parameters,) = node["parameters"]
        assert parameters.keys() <= known, file.name
        used = {value[1:] for value in (*parameters.values(), *dict(node["remappings"]).values()) if isinstance(value, str)}
        assert used == set(arguments), file.name


def test_the_colours_and_rows_of_raw_images(package: None) -> None:
    to_bgr = importlib.import_module("posetrt_ros.raw_images").to_bgr
    bgr = np.random.default_rng(1).integers(0, 255, (4, 5, 3), np.uint8)
    for encoding, code in (("bgr8", None), ("rgb8", cv2.COLOR_BGR2RGB), ("bgra8", cv2.COLOR_BGR2BGRA), ("rgba8", cv2.COLOR_BGR2RGBA)):
        sent = bgr if code is None else cv2.cvtColor(bgr, code)
        rows = np.pad(sent.reshape(4, -1), ((0, 0), (0, 3)))
        assert (to_bgr(encoding, 4, 5, rows.shape[1], rows.tobytes()) == bgr).all(), encoding
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    assert (to_bgr("mono8", 4, 5, 5, grey.tobytes()) == cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)).all()
    even = np.kron(np.random.default_rng(2).integers(0, 255, (3, 4, 3), np.uint8), np.ones((2, 2, 1), np.uint8))
    planes = cv2.cvtColor(even, cv2.COLOR_BGR2YUV_I420)
    chroma = planes[6:].reshape(2, -1)
    rows = np.pad(np.concatenate([planes[:6], chroma.T.reshape(3, 8)]), ((0, 0), (0, 4)))
    assert np.abs(to_bgr("nv12", 6, 8, 12, rows.tobytes()).astype(int) - even).max() <= 4
    with pytest.raises(ValueError, match="7x6 nv12"):
        to_bgr("nv12", 6, 7, 12, rows.tobytes())
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


def test_depth_is_read_in_either_byte_order(package: None) -> None:
    to_depth = importlib.import_module("posetrt_ros.raw_images").to_depth
    depth = np.arange(12, dtype=np.uint16).reshape(3, 4) * 500
    assert (to_depth("16UC1", 3, 4, 8, depth.tobytes()) == depth).all()
    assert (to_depth("16UC1", 3, 4, 8, depth.byteswap().tobytes(), big=True) == depth).all()
    assert (to_depth("32FC1", 3, 4, 16, depth.astype(np.float32).tobytes()) == depth).all()
    with pytest.raises(ValueError, match="depth was expected as one of 16UC1"):
        to_depth("rgb8", 3, 4, 12, depth.tobytes())


def test_the_node_publishes_who_is_there_and_drops_who_left(package: None, monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    given = {"model": str(model), "precision": "fp32", "publish_image": True, "max_people": 2}
    _fake_ros(monkeypatch, given, [[3, 8, 9], [8]])
    node = _started()
    call = node.subscribed["image/compressed"].call
    call(_image())
    call(_image())
    tracked = node.publishers["/humans/bodies/tracked"].sent
    assert [message.ids for message in tracked] == [["body_3", "body_8"], ["body_8"]]
    assert node.destroyed == ["/humans/bodies/body_3/skeleton2d"]
    skeletons = node.publishers["/humans/bodies/body_8/skeleton2d"].sent
    assert len(skeletons) == 2
    drawn = node.publishers["~/image/compressed"].sent[0]
    assert drawn.format == "jpeg"
    assert cv2.imdecode(np.frombuffer(drawn.data, np.uint8), cv2.IMREAD_COLOR).shape == (60, 80, 3)
    call(SimpleNamespace(data=b"no picture", header=None))
    assert "could not be decoded" in node.said[-1]
    back = _over_the_wire(skeletons[0], "hri_msgs/msg/Skeleton2D")
    assert [one.x for one in back.skeleton] == pytest.approx([one.x for one in skeletons[0].skeleton])
    assert _over_the_wire(tracked[0], "hri_msgs/msg/IdsList").ids == ["body_3", "body_8"]
    node.destroy_node()


def _over_the_wire(message: Any, name: str) -> Any:
    """A message through the CDR of the published definitions and back."""
    pytest.importorskip("rosbags", reason="pip install rosbags")
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    for each, text in _DEFINITIONS.items():
        store.register(get_types_from_msg(text, each))

    def made(value: Any, kind: str) -> Any:
        """Field by field, by the definition: ROS fills with zeros what a message was not given."""
        return store.types[kind](**{name: filled(getattr(value, name, None), *form) for name, form in store.fielddefs[kind][1]})

    def filled(given: Any, how: Any, what: Any) -> Any:
        if how.name == "NAME":
            return made(given, what)
        if how.name == "BASE":
            return given if given is not None else {"string": "", "bool": False}.get(what[0], 0)
        (inner, of), length = what
        if inner.name == "NAME":
            return [made(one, of) for one in given or []]
        return given if given is not None else [] if of[0] == "string" else np.zeros(length, of[0])

    return store.deserialize_cdr(store.serialize_cdr(made(message, name), name), name)


def test_the_package_is_what_colcon_expects() -> None:
    root = ElementTree.parse(PACKAGE / "package.xml").getroot()
    assert root.get("format") == "3"
    assert root.findtext("name") == "posetrt_ros"
    assert root.findtext("export/build_type") == "ament_python"
    assert (PACKAGE / "resource" / "posetrt_ros").is_file()
    imported = {
        line.split()[1].partition(".")[0]
        for file in (PACKAGE / "posetrt_ros").glob("*.py")
        for line in file.read_text().splitlines()
        if line.lstrip().startswith("from ")
    }
    depends = {element.text for element in root.findall("exec_depend")}
    assert imported - {"__future__", "collections", "dataclasses", "numpy", "typing", "posetrt", "posetrt_ros"} <= depends
