"""The node's parameters: name, default, description and range of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor


@dataclass(frozen=True)
class Parameter:
    """One parameter; all are read when the node is configured, and are read-only.

    Attributes:
        name: of it.
        default: tells its type too.
        description: for `ros2 param describe`.
        span: least and greatest value of a number.
    """

    name: str
    default: Any
    description: str
    span: tuple[float, float] | None = None

    def descriptor(self) -> ParameterDescriptor:
        """As ROS has it."""
        given: dict[str, Any] = {"description": self.description, "read_only": True}
        if self.span is not None and isinstance(self.default, float):
            given["floating_point_range"] = [FloatingPointRange(from_value=float(self.span[0]), to_value=float(self.span[1]), step=0.0)]
        elif self.span is not None:
            given["integer_range"] = [IntegerRange(from_value=int(self.span[0]), to_value=int(self.span[1]), step=1)]
        return ParameterDescriptor(**given)


PARAMETERS = (
    Parameter("model", "", "a posetrt model folder with an engine for this device"),
    Parameter("precision", "", "fp32, fp16 or int8; empty takes the folder's default"),
    Parameter("autostart", True, "configure and activate at the start; false leaves it to a lifecycle manager"),
    Parameter("cameras", [""], "names of several cameras, each a namespace of its topics: front, rear; empty for one camera"),
    Parameter("raw", False, "subscribe to image (sensor_msgs/Image: bgr8, rgb8, bgra8, rgba8, mono8, nv12) in place of image/compressed"),
    Parameter("depth", False, "subscribe to camera_info and depth, aligned to the colour picture: key points in 3-D"),
    Parameter("depth_slop_s", 0.05, "how far a depth picture's time may be from the colour picture's", (0.0, 1.0)),
    Parameter("depth_patch", 5, "side in pixels of the patch around a key point whose median depth counts", (1, 31)),
    Parameter("camera_motion", False, "ids that last while the camera moves: optical flow, some ms a picture"),
    Parameter("appearance", False, "ids that last through crossings: colours of torso and legs"),
    Parameter("follow", "", "follow one person: largest, centre, an id, or a place as 0.5,0.4; empty for nobody"),
    Parameter("person_height_m", 1.7, "of the person followed, for the distance without depth", (0.5, 2.5)),
    Parameter("markers", False, "publish markers for RViz; needs camera_info"),
    Parameter("events", "", "a rules file of events, which go to ~/events; empty looks for none"),
    Parameter("publish_image", False, "publish the image with people drawn, as JPEG"),
    Parameter("jpeg_quality", 80, "of that image", (1, 100)),
    Parameter("least_score", 0.0, "people of a lower score are left out", (0.0, 10.0)),
    Parameter("max_people", 0, "publish at most so many, best first; 0 for all", (0, 1000)),
)
