"""ros2 launch posetrt_ros pose.launch.py model:=/home/robot/person image:=/camera/image_raw/compressed"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node


def generate_launch_description() -> LaunchDescription:
    """The node with its model and camera as arguments."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("model", description="a posetrt model folder with an engine for this device"),
            DeclareLaunchArgument("image", default_value="/camera/image_raw/compressed", description="sensor_msgs/CompressedImage"),
            Node(
                package="posetrt_ros",
                executable="pose",
                name="posetrt",
                output="screen",
                parameters=[{"model": LaunchConfiguration("model")}],
                remappings=[("image/compressed", LaunchConfiguration("image"))],
            ),
        ]
    )
