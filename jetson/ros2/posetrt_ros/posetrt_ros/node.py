"""Camera images in, people out: /humans/bodies/tracked and /humans/bodies/<id>/skeleton2d, as ROS4HRI (REP-155) names them.

Beside that ~/detections, a vision_msgs/Detection2DArray with a box and an id for each person. The newest image wins: while the network
works on one, later ones replace each other (queue depth 1, best effort).
"""

from __future__ import annotations

import cv2
import numpy as np
import rclpy
from hri_msgs.msg import IdsList, NormalizedPointOfInterest2D, Skeleton2D
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import (
    BoundingBox2D,
    Detection2D,
    Detection2DArray,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
    Point2D,
    Pose2D,
)

from posetrt.runtime.people import People
from posetrt.runtime.pose import open_pose
from posetrt.runtime.sinks.base import Result
from posetrt.runtime.sinks.draw import draw_people
from posetrt.runtime.sources import Frame
from posetrt.runtime.track.tracker import Tracker
from posetrt_ros.boxes import Box, body_box
from posetrt_ros.raw_images import to_bgr
from posetrt_ros.skeletons import body_name, normalised

# Name, default and description of each parameter; all are read when the node starts.
PARAMETERS = (
    ("model", "", "a posetrt model folder with an engine for this device"),
    ("precision", "", "fp32, fp16 or int8; empty takes the folder's default"),
    ("raw", False, "subscribe to image (sensor_msgs/Image: bgr8, rgb8, mono8) in place of image/compressed"),
    ("publish_image", False, "publish the image with people drawn, as JPEG"),
    ("jpeg_quality", 80, "of that image, 1 to 100"),
    ("events", "", "a rules file of events, which go to ~/events; empty looks for none"),
    ("least_score", 0.0, "people of a lower score are left out"),
    ("max_people", 0, "publish at most so many, best first; 0 for all"),
)


class PoseNode(Node):
    """Finds people in each image that it has time for.

    Raises:
        PosetrtError: no such model, or no engine that fits this device; says the command that mends it.
    """

    def __init__(self) -> None:
        super().__init__("posetrt")
        for name, default, description in PARAMETERS:
            self.declare_parameter(name, default, ParameterDescriptor(description=description, read_only=True))
        self._pose = open_pose(self._value("model"), precision=self._value("precision") or None)
        self._tracker = Tracker(self._pose.manifest.skeleton)
        self._events = None
        if self._value("events"):
            from posetrt_ros.events import EventTopic

            self._events = EventTopic(self, self._value("events"), self._pose.manifest.skeleton)
        self._skeletons = {}
        self._tracked = self.create_publisher(IdsList, "/humans/bodies/tracked", 1)
        self._drawn = self.create_publisher(CompressedImage, "~/image/compressed", 1) if self._value("publish_image") else None
        self._index = 0
        self._detections = self.create_publisher(Detection2DArray, "~/detections", 1)
        # Sensor data's own profile holds five: the network would see images that are five frames old.
        newest = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        if self._value("raw"):
            self.create_subscription(Image, "image", self._on_raw, newest)
        else:
            self.create_subscription(CompressedImage, "image/compressed", self._on_compressed, newest)

    def _value(self, name):
        return self.get_parameter(name).value

    def _on_compressed(self, message: CompressedImage) -> None:
        image = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            self._pass_over("an image could not be decoded and was passed over")
        else:
            self._find(image, message.header)

    def _on_raw(self, message: Image) -> None:
        try:
            image = to_bgr(message.encoding, message.height, message.width, message.step, message.data)
        except ValueError as error:
            self._pass_over(f"an image was passed over: {error}")
        else:
            self._find(image, message.header)

    def _pass_over(self, why: str) -> None:
        self.get_logger().warning(why, throttle_duration_sec=5.0)

    def _find(self, image, header) -> None:
        time_s = header.stamp.sec + header.stamp.nanosec / 1e9
        tracked = self._tracker.update(self._pose(image), time_s)
        if self._events is not None:
            self._events.publish(tracked, time_s, (image.shape[1], image.shape[0]), header.frame_id)
        people = self._chosen(tracked)
        self._publish(people, header, (image.shape[1], image.shape[0]))
        if self._drawn is not None:
            frame = Frame(image, "image", self._index, time_s)
            drawn = draw_people(Result(frame, people, self._pose.manifest))
            encoded = cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, int(self._value("jpeg_quality"))])[1]
            self._drawn.publish(CompressedImage(header=header, format="jpeg", data=encoded.tobytes()))
        self._index += 1

    def _chosen(self, people: People) -> People:
        keep = np.flatnonzero(people.scores >= self._value("least_score"))[: self._value("max_people") or None]
        return people.chosen(keep)

    def _publish(self, people: People, header, size_wh: tuple[int, int]) -> None:
        names = [body_name(int(identity)) for identity in people.ids]
        for name, keypoints in zip(names, people.keypoints, strict=True):
            if name not in self._skeletons:
                self._skeletons[name] = self.create_publisher(Skeleton2D, f"/humans/bodies/{name}/skeleton2d", 1)
            points = normalised(keypoints, self._pose.manifest.skeleton.parts, size_wh)
            skeleton = [NormalizedPointOfInterest2D(x=x, y=y, c=c) for x, y, c in points]
            self._skeletons[name].publish(Skeleton2D(header=header, skeleton=skeleton))
        # Ids come and go all day: publishers of people who left must not pile up.
        for name in set(self._skeletons) - set(names):
            self.destroy_publisher(self._skeletons.pop(name))
        self._tracked.publish(IdsList(header=header, ids=names))
        boxes = [body_box(people, index) for index in range(len(people))]
        found = zip(names, people.scores.tolist(), boxes, strict=True)
        detections = [_detection(header, name, score, box) for name, score, box in found if box is not None]
        self._detections.publish(Detection2DArray(header=header, detections=detections))

    def destroy_node(self) -> None:
        """Free the engine with the node."""
        self._pose.close()
        super().destroy_node()


def _detection(header, name: str, score: float, box: Box) -> Detection2D:
    """One person as vision_msgs 4 has it: centre and size in pixels, "person" with the score, the id as a string."""
    centre = Pose2D(position=Point2D(x=box.centre_x, y=box.centre_y), theta=0.0)
    hypothesis = ObjectHypothesisWithPose(hypothesis=ObjectHypothesis(class_id="person", score=score))
    return Detection2D(header=header, id=name, bbox=BoundingBox2D(center=centre, size_x=box.width, size_y=box.height), results=[hypothesis])


def main() -> None:
    """Run until ROS is shut down."""
    rclpy.init()
    node = PoseNode()
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
