"""The ROS 2 package `posetrt_ros`: colcon builds it as ament_python. posetrt itself is installed with pip beforehand."""

from pathlib import Path

from setuptools import setup

setup(
    name="posetrt_ros",
    version="0.1.0",
    packages=["posetrt_ros"],
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/posetrt_ros"]),
        ("share/posetrt_ros", ["package.xml"]),
        ("share/posetrt_ros/launch", sorted(str(path) for path in Path("launch").glob("*.launch.py"))),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="The posetrt authors",
    maintainer_email="posetrt@users.noreply.github.com",
    description="People in camera images as hri_msgs/Skeleton2D, found by posetrt on a Jetson",
    license="Apache-2.0",
    entry_points={"console_scripts": ["pose = posetrt_ros.node:main"]},
)
