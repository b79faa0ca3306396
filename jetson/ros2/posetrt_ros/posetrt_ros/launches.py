"""The node in a launch file, with the launch arguments that all files share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue

MODEL = ("model", None, "a posetrt model folder with an engine for this device")


def pose_launch(
    arguments: Sequence[tuple[str, str | None, str]],
    parameters: Mapping[str, tuple[str, type]],
    remappings: Mapping[str, str],
    fixed: Mapping[str, object] | None = None,
) -> LaunchDescription:
    """A launch description with one node.

    Args:
        arguments: name, default (None: it must be given) and description of each launch argument beside `model`.
        parameters: name of the node's parameter → the launch argument that sets it, and its type.
        remappings: the node's topic → the launch argument that names the real one.
        fixed: parameters that this case sets.
    """
    declared = [
        DeclareLaunchArgument(name, description=told, **({} if default is None else {"default_value": default}))
        for name, default, told in (MODEL, *arguments)
    ]
    values = {"model": LaunchConfiguration("model"), **(fixed or {})}
    values |= {name: ParameterValue(LaunchConfiguration(given), value_type=kind) for name, (given, kind) in parameters.items()}
    node = LifecycleNode(
        package="posetrt_ros",
        executable="pose",
        name="posetrt",
        namespace="",
        output="screen",
        parameters=[values],
        remappings=[(topic, LaunchConfiguration(given)) for topic, given in remappings.items()],
    )
    return LaunchDescription([*declared, node])
