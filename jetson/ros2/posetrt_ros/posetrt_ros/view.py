"""One camera of the node: its subscriptions, its tracker, its topics."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import cv2
import numpy as np
from geometry_msgs.msg import PointStamped
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String
from visualization_msgs.msg import MarkerArray

from posetrt.runtime.camera import Camera
from posetrt.runtime.depth import keypoints_in_space
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.people import People
from posetrt.runtime.sinks.base import Result
from posetrt.runtime.sinks.draw import draw_people
from posetrt.runtime.sources import Frame
from posetrt.runtime.track.body_distance import BodyDistance
from posetrt.runtime.track.follow import Follow, FollowOptions
from posetrt.runtime.track.tracker import Tracker
from posetrt_ros import messages
from posetrt_ros.cameras import camera_of
from posetrt_ros.raw_images import to_bgr, to_depth
from posetrt_ros.skeletons import body_name

_DEPTHS = 8
"""Depth pictures that wait for their colour picture: it takes the network's time until that is looked at."""


class View:
    """One camera.

    Args:
        node: that it belongs to.
        pose: the network, which all cameras share.
        name: of the camera, a namespace of its topics; "" for the only one.
        values: of the node's parameters, by name.
    """

    def __init__(self, node, pose, name: str, values: dict) -> None:
        self._node, self._pose, self._values, self._name = node, pose, values, name
        inward, outward = (f"{name}/" if name else ""), (f"~/{name}/" if name else "~/")
        self._inward = inward
        self._tracker = Tracker(pose.skeleton, camera_motion=values["camera_motion"], appearance=values["appearance"])
        self._body = BodyDistance(pose.skeleton, values["person_height_m"])
        self._camera: Camera | None = None
        self._info_frame = ""
        self._depths: deque = deque(maxlen=_DEPTHS)
        self._follow: Follow | None = None
        self._rule = values["follow"]
        self._skeletons: dict = {}
        self._subscriptions: list = []
        self._index = 0
        make = node.create_publisher
        self._tracked = make(messages.IdsList, "/humans/bodies/tracked", 1) if messages.IdsList else None
        self._detections = make(messages.Detection2DArray, f"{outward}detections", 1) if messages.Detection2DArray else None
        in_space = values["depth"] and messages.Detection3DArray
        self._detections3d = make(messages.Detection3DArray, f"{outward}detections3d", 1) if in_space else None
        self._markers = make(MarkerArray, f"{outward}markers", 1) if values["markers"] else None
        self._drawn = make(CompressedImage, f"{outward}image/compressed", 1) if values["publish_image"] else None
        self._target = make(String, f"{outward}target", 1) if self._rule else None
        self._target_point = make(PointStamped, f"{outward}target/point", 1) if self._rule else None
        self._events = None
        if values["events"]:
            from posetrt_ros.events import EventTopic

            self._events = EventTopic(node, values["events"], pose.skeleton, f"{outward}events")
        self._outward = outward

    def start(self) -> None:
        """Subscribe."""
        # Sensor data's own profile holds five: the network would see images that are five frames old.
        newest = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        few = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=_DEPTHS, reliability=ReliabilityPolicy.BEST_EFFORT)
        listen: Callable = self._node.create_subscription
        # Depth first: it must lie ready when its colour picture is looked at.
        if self._values["depth"]:
            self._subscriptions.append(listen(Image, f"{self._inward}depth", self.on_depth, few))
        if self._values["depth"] or self._values["markers"] or self._rule:
            self._subscriptions.append(listen(CameraInfo, f"{self._inward}camera_info", self.on_info, newest))
        if self._rule:
            self._subscriptions.append(listen(String, f"{self._outward}follow", self.on_follow, 1))
        if self._values["raw"]:
            self._subscriptions.append(listen(Image, f"{self._inward}image", self.on_raw, newest))
        else:
            self._subscriptions.append(listen(CompressedImage, f"{self._inward}image/compressed", self.on_compressed, newest))

    def stop(self) -> None:
        """Listen no more; ids begin anew with the next start, since nobody watched meanwhile."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()
        self._depths.clear()

    def close(self) -> None:
        """Listen no more, and take the topics down."""
        self.stop()
        own = (self._tracked, self._detections, self._detections3d, self._markers, self._drawn, self._target, self._target_point)
        for publisher in (*own, *self._skeletons.values()):
            if publisher is not None:
                self._node.destroy_publisher(publisher)
        if self._events is not None:
            self._events.close(self._node)
        self._skeletons.clear()

    def on_info(self, message) -> None:
        """Take the camera's calibration."""
        try:
            camera = camera_of(message)
        except (ValueError, PosetrtError) as error:
            self._pass_over(f"a CameraInfo was passed over: {error}")
            return
        self._info_frame = message.header.frame_id
        if camera != self._camera:
            self._camera = camera
            if self._rule:
                options = FollowOptions(height_m=self._values["person_height_m"])
                self._follow = Follow(self._pose.skeleton, camera, options)
                self._choose(self._rule)

    def on_follow(self, message) -> None:
        """Follow somebody else: as the parameter, or "stop"."""
        self._choose(message.data)

    def on_depth(self, message) -> None:
        """Keep a depth picture until its colour picture is looked at."""
        self._depths.append(message)

    def on_compressed(self, message) -> None:
        """Look at a JPEG or PNG."""
        image = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            self._pass_over("an image could not be decoded and was passed over")
        else:
            self._find(image, message.header)

    def on_raw(self, message) -> None:
        """Look at a raw image."""
        try:
            image = to_bgr(message.encoding, message.height, message.width, message.step, message.data)
        except ValueError as error:
            self._pass_over(f"an image was passed over: {error}")
        else:
            self._find(image, message.header)

    def _choose(self, whom: str) -> None:
        if self._follow is None:
            self._rule = whom
            return
        try:
            self._follow.stop() if whom == "stop" else self._follow.choose(whom)
        except PosetrtError as error:
            self._pass_over(str(error))

    def _pass_over(self, why: str) -> None:
        self._node.get_logger().warning(f"{self._name}: {why}" if self._name else why, throttle_duration_sec=5.0)

    def _find(self, image, header) -> None:
        time_s = header.stamp.sec + header.stamp.nanosec / 1e9
        everybody = self._tracker.update(self._pose(image), time_s, image)
        depth = self._depth_at(time_s, image) if self._values["depth"] else None
        self._publish_target(everybody, time_s, image, depth, header)
        if self._events is not None:
            self._events.publish(everybody, time_s, (image.shape[1], image.shape[0]), header.frame_id)
        people = self._chosen(everybody)
        self._publish(people, header, (image.shape[1], image.shape[0]))
        self._publish_space(people, image, depth, header)
        if self._drawn is not None:
            frame = Frame(image, "image", self._index, time_s)
            drawn = draw_people(Result(frame, people, self._pose.manifest))
            encoded = cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, int(self._values["jpeg_quality"])])[1]
            self._drawn.publish(CompressedImage(header=header, format="jpeg", data=encoded.tobytes()))
        self._index += 1

    def _chosen(self, people: People) -> People:
        keep = np.flatnonzero(people.scores >= self._values["least_score"])[: self._values["max_people"] or None]
        return people.chosen(keep)

    def _depth_at(self, time_s: float, image):
        """The depth picture of a moment, (H, W); None where none is near enough, or it does not fit."""
        near = min(self._depths, key=lambda one: abs(_seconds(one.header) - time_s), default=None)
        if near is None or abs(_seconds(near.header) - time_s) > self._values["depth_slop_s"]:
            self._pass_over(f"no depth picture within {self._values['depth_slop_s']:g} s of an image: it has no key points in 3-D")
            return None
        if (near.width, near.height) != (image.shape[1], image.shape[0]):
            self._pass_over(
                f"depth is {near.width}x{near.height} and the image {image.shape[1]}x{image.shape[0]}: give depth aligned to colour, "
                "as /camera/aligned_depth_to_color/image_raw"
            )
            return None
        try:
            return to_depth(near.encoding, near.height, near.width, near.step, near.data, big=bool(near.is_bigendian))
        except ValueError as error:
            self._pass_over(f"a depth picture was passed over: {error}")
            return None

    def _name_of(self, identity: int) -> str:
        return body_name(identity, self._name)

    def _publish(self, people: People, header, size_wh: tuple[int, int]) -> None:
        names = [self._name_of(int(identity)) for identity in people.ids]
        if messages.Skeleton2D:
            for name, keypoints in zip(names, people.keypoints, strict=True):
                if name not in self._skeletons:
                    topic = f"/humans/bodies/{name}/skeleton2d"
                    self._skeletons[name] = self._node.create_publisher(messages.Skeleton2D, topic, 1)
                self._skeletons[name].publish(messages.skeleton2d(keypoints, self._pose.skeleton.parts, size_wh, header))
            # Ids come and go all day: publishers of people who left must not pile up.
            for name in set(self._skeletons) - set(names):
                self._node.destroy_publisher(self._skeletons.pop(name))
            self._tracked.publish(messages.ids_list(self._node.bodies(self._name, names), header))
        if self._detections is not None:
            self._detections.publish(messages.detections(people, names, header))

    def _publish_space(self, people: People, image, depth, header) -> None:
        if self._detections3d is None and self._markers is None:
            return
        if self._camera is None:
            self._pass_over("no camera_info has come yet: nothing can be placed in space")
            return
        try:
            self._camera.check_frame((image.shape[1], image.shape[0]))
            space = None if depth is None else keypoints_in_space(people.keypoints, depth, self._camera, self._values["depth_patch"] | 1)
        except PosetrtError as error:
            self._pass_over(str(error))
            return
        if self._info_frame and self._info_frame != header.frame_id:
            header = type(header)(stamp=header.stamp, frame_id=self._info_frame)
        ids = [int(identity) for identity in people.ids]
        if self._detections3d is not None and space is not None:
            names = [self._name_of(identity) for identity in ids]
            self._detections3d.publish(messages.detections3d(space, people.scores.tolist(), names, self._pose.skeleton.parts, header))
        if self._markers is not None:
            flat = self._flat(people) if space is None else space
            self._markers.publish(messages.markers(flat, ids, self._pose.skeleton, header))

    def _flat(self, people: People):
        """(N, K, 4): everybody upright at the distance that body proportions tell; zeros where they tell none."""
        rays = self._camera.directions(people.keypoints[..., :2].reshape(-1, 2)).reshape(*people.keypoints.shape[:2], 2)
        space = np.zeros((*people.keypoints.shape[:2], 4), np.float32)
        for index, keypoints in enumerate(people.keypoints):
            ahead = self._body.of(keypoints, self._camera.focal)
            if ahead is not None:
                space[index] = np.concatenate([rays[index] * ahead, np.full((len(keypoints), 1), ahead), keypoints[:, 2:]], axis=1)
        space[people.keypoints[..., 2] == 0] = 0
        return space

    def _publish_target(self, people: People, time_s: float, image, depth, header) -> None:
        if self._target is None:
            return
        if self._follow is None:
            self._pass_over("no camera_info has come yet: nobody can be followed")
            return
        try:
            target = self._follow.update(people, time_s, image, depth)
        except PosetrtError as error:
            self._pass_over(str(error))
            return
        self._target.publish(messages.target_text(target))
        point = messages.target_point(target, header)
        if point is not None:
            self._target_point.publish(_in_frame(point, self._info_frame))


def _in_frame(message, frame_id: str):
    """A message in the frame of the camera's calibration, where that names one."""
    if frame_id:
        message.header = type(message.header)(stamp=message.header.stamp, frame_id=frame_id)
    return message


def _seconds(header) -> float:
    return header.stamp.sec + header.stamp.nanosec / 1e9
