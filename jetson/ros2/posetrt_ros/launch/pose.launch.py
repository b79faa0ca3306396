"""One camera: ros2 launch posetrt_ros pose.launch.py model:=/home/robot/person image:=/camera/image_raw/compressed

With raw:=true, image is a sensor_msgs/Image: raw:=true image:=/camera/image_raw
"""

from launch import LaunchDescription
from posetrt_ros.launches import pose_launch


def generate_launch_description() -> LaunchDescription:
    """The node with its model and camera as arguments."""
    return pose_launch(
        [
            ("image", "/camera/image_raw/compressed", "the camera's images"),
            ("raw", "false", "whether they are sensor_msgs/Image, not CompressedImage"),
            ("events", "", "a rules file of events, which go to ~/events"),
        ],
        {"raw": ("raw", bool), "events": ("events", str)},
        {"image/compressed": "image", "image": "image"},
    )
