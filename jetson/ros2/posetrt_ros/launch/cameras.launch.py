"""Several cameras through one engine; each camera's name is a namespace: /front/image/compressed, /rear/image/compressed.

ros2 launch posetrt_ros cameras.launch.py model:=/home/robot/person cameras:="[front, rear]"
"""

from launch import LaunchDescription
from posetrt_ros.launches import pose_launch


def generate_launch_description() -> LaunchDescription:
    """The node with the names of its cameras."""
    return pose_launch(
        [
            ("cameras", None, "names of the cameras, as in [front, rear]"),
            ("raw", "false", "whether their images are sensor_msgs/Image, not CompressedImage"),
        ],
        {"cameras": ("cameras", list[str]), "raw": ("raw", bool)},
        {},
    )
