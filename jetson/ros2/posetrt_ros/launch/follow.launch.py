"""Follow one person: their bearing, elevation and distance at /posetrt/target and /posetrt/target/point.

ros2 launch posetrt_ros follow.launch.py model:=/home/robot/person follow:=largest
ros2 topic pub --once /posetrt/follow std_msgs/msg/String "data: 'stop'"
"""

from launch import LaunchDescription
from posetrt_ros.launches import pose_launch


def generate_launch_description() -> LaunchDescription:
    """The node with the camera's calibration and whom to follow."""
    return pose_launch(
        [
            ("image", "/camera/image_raw", "the camera's images, sensor_msgs/Image"),
            ("camera_info", "/camera/camera_info", "its calibration"),
            ("follow", "largest", "largest, centre, an id, or a place as 0.5,0.4"),
            ("camera_motion", "true", "whether the camera's own motion is taken out"),
        ],
        {"follow": ("follow", str), "camera_motion": ("camera_motion", bool)},
        {"image": "image", "camera_info": "camera_info"},
        {"raw": True, "appearance": True},
    )
