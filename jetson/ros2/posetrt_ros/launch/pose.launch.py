"""ros2 launch posetrt_ros pose.launch.py model:=/home/robot/person image:=/camera/image_raw/compressed

With raw:=true, image is a sensor_msgs/Image: raw:=true image:=/camera/image_raw
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue


def generate_launch_description() -> LaunchDescription:
    """The node with its model and camera as arguments."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("model", description="a posetrt model folder with an engine for this device"),
            DeclareLaunchArgument("image", default_value="/camera/image_raw/compressed", description="the camera's images"),
            DeclareLaunchArgument("raw", default_value="false", description="whether they are sensor_msgs/Image, not CompressedImage"),
            DeclareLaunchArgument("events", default_value="", description="a rules file of events, which go to ~/events"),
            Node(
                package="posetrt_ros",
                executable="pose",
                name="posetrt",
                output="screen",
                parameters=[
                    {
                        "model": LaunchConfiguration("model"),
                        "raw": ParameterValue(LaunchConfiguration("raw"), value_type=bool),
                        "events": ParameterValue(LaunchConfiguration("events"), value_type=str),
                    }
                ],
                remappings=[("image/compressed", LaunchConfiguration("image")), ("image", LaunchConfiguration("image"))],
            ),
        ]
    )
