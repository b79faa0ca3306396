"""The ROS 2 node with a real rclpy, which PyPI has as wheels: pip install '.[ros]'. Images go in and people come out through DDS on loopback."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from posetrt.calib.scenes.scenes import draw_scene
from posetrt.runtime.camera import FieldOfView
from posetrt.runtime.model.shipped import network_folder, shipped_model

PACKAGE = Path(__file__).resolve().parents[2] / "jetson" / "ros2" / "posetrt_ros"
SIZE = (640, 384)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_nv12_and_depth_come_back_as_markers_and_a_target_with_a_lifecycle(monkeypatch: pytest.MonkeyPatch) -> None:
    rclpy = pytest.importorskip("rclpy", reason="pip install '.[ros]'", exc_type=ImportError)
    monkeypatch.setitem(os.environ, "ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.syspath_prepend(str(PACKAGE))
    for name in [name for name in sys.modules if name.startswith("posetrt_ros")]:
        del sys.modules[name]
    from builtin_interfaces.msg import Time
    from geometry_msgs.msg import PointStamped
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import CameraInfo, Image
    from std_msgs.msg import String
    from visualization_msgs.msg import MarkerArray

    given = {"model": str(network_folder(shipped_model())), "raw": "true", "depth": "true", "markers": "true", "follow": "largest"}
    rclpy.init(args=["test", "--ros-args", *(word for name, value in given.items() for word in ("-p", f"{name}:={value}"))])
    from posetrt_ros.node import PoseNode

    node, feed = PoseNode(), rclpy.create_node("camera")
    try:
        node.start()
        (span,) = node.describe_parameter("jpeg_quality").integer_range
        assert (span.from_value, span.to_value) == (1, 100)
        heard: dict[str, Any] = {}
        for kind, topic in ((MarkerArray, "markers"), (String, "target"), (PointStamped, "target/point")):
            feed.create_subscription(kind, f"/posetrt/{topic}", lambda message, topic=topic: heard.update({topic: message}), 10)
        publish = {
            topic: feed.create_publisher(kind, topic, qos_profile_sensor_data)
            for kind, topic in ((CameraInfo, "camera_info"), (Image, "depth"), (Image, "image"))
        }
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        executor.add_node(feed)
        width, height = SIZE
        camera = FieldOfView(70).camera(SIZE)
        k = [camera.focal[0], 0.0, camera.centre[0], 0.0, camera.focal[1], camera.centre[1], 0.0, 0.0, 1.0]
        planes = cv2.cvtColor(draw_scene(4, SIZE, 2).image, cv2.COLOR_BGR2YUV_I420)
        chroma = planes[height:].reshape(2, -1).T.ravel()
        nv12 = np.concatenate([planes[:height].ravel(), chroma]).tobytes()
        deadline, number = time.monotonic() + 60, 0
        while len(heard) < 3 and time.monotonic() < deadline:
            stamp = Time(sec=10 + number, nanosec=0)
            info = CameraInfo(width=width, height=height, distortion_model="plumb_bob", d=[0.0] * 5, k=k)
            depth = Image(encoding="16UC1", width=width, height=height, step=2 * width, data=np.full(SIZE, 3000, np.uint16).tobytes())
            image = Image(encoding="nv12", width=width, height=height, step=width, data=nv12)
            for topic, message in (("camera_info", info), ("depth", depth), ("image", image)):
                message.header.stamp, message.header.frame_id = stamp, "optical"
                publish[topic].publish(message)
            for _ in range(12):
                executor.spin_once(timeout_sec=0.05)
            number += 1
        assert heard.keys() == {"markers", "target", "target/point"}
        assert '"state": "following"' in heard["target"].data
        assert heard["target/point"].point.z == pytest.approx(3.0, abs=1e-3)
        assert heard["target/point"].header.frame_id == "optical"
        assert {one.ns for one in heard["markers"].markers} >= {"limbs", "keypoints", "ids"}
        for step in (node.trigger_deactivate, node.trigger_cleanup, node.trigger_configure):
            assert step().name == "SUCCESS"
    finally:
        node.destroy_node()
        feed.destroy_node()
        rclpy.try_shutdown()
