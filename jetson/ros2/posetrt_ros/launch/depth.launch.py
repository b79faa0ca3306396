"""A depth camera, key points in 3-D and markers for RViz; the defaults are those of realsense2_camera with align_depth.enable:=true:

ros2 launch posetrt_ros depth.launch.py model:=/home/robot/person
"""

from launch import LaunchDescription
from posetrt_ros.launches import pose_launch


def generate_launch_description() -> LaunchDescription:
    """The node with raw colour images, their calibration and aligned depth."""
    return pose_launch(
        [
            ("image", "/camera/camera/color/image_raw", "colour, sensor_msgs/Image"),
            ("camera_info", "/camera/camera/color/camera_info", "its calibration"),
            ("depth", "/camera/camera/aligned_depth_to_color/image_raw", "depth, aligned to colour"),
        ],
        {},
        {"image": "image", "camera_info": "camera_info", "depth": "depth"},
        {"raw": True, "depth": True, "markers": True},
    )
