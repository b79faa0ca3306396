"""Camera images in, people out: /humans/bodies/tracked and /humans/bodies/<id>/skeleton2d, as ROS4HRI (REP-155) names them.

Beside that boxes with ids, key points in space, markers, and one person who is followed. The newest image wins: while the network
works on one, later ones replace each other (queue depth 1, best effort). A lifecycle node: it opens the engine when it is
configured and listens while it is active; with `autostart` it does both at the start.
"""

from __future__ import annotations

import rclpy
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.pose import open_pose
from posetrt_ros.parameters import PARAMETERS
from posetrt_ros.view import View


class PoseNode(LifecycleNode):
    """Finds people in each image that it has time for, of one camera or several, with one engine."""

    def __init__(self) -> None:
        super().__init__("posetrt")
        for parameter in PARAMETERS:
            self.declare_parameter(parameter.name, parameter.default, parameter.descriptor())
        self._pose = None
        self._views: list[View] = []
        self._bodies: dict[str, list[str]] = {}

    def start(self) -> None:
        """Configure and activate, where `autostart` says so.

        Raises:
            PosetrtError: a step failed; the log says why.
        """
        if not self.get_parameter("autostart").value:
            return
        for step in (self.trigger_configure, self.trigger_activate):
            if step() != TransitionCallbackReturn.SUCCESS:
                raise PosetrtError("the node could not be started: the line above says why")

    def on_configure(self, state) -> TransitionCallbackReturn:  # noqa: ARG002
        """Open the engine: it takes seconds, and needs no camera."""
        values = {parameter.name: self.get_parameter(parameter.name).value for parameter in PARAMETERS}
        try:
            self._pose = open_pose(values["model"], precision=values["precision"] or None)
            names = [name for name in values["cameras"] if name] or [""]
            self._views = [View(self, self._pose, name, values) for name in names]
        except PosetrtError as error:
            self.get_logger().error(str(error))
            self._close()
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state) -> TransitionCallbackReturn:
        """Listen to the cameras."""
        for view in self._views:
            view.start()
        return super().on_activate(state)

    def on_deactivate(self, state) -> TransitionCallbackReturn:
        """Listen no more; the engine stays open."""
        for view in self._views:
            view.stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state) -> TransitionCallbackReturn:  # noqa: ARG002
        """Free the engine."""
        self._close()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state) -> TransitionCallbackReturn:  # noqa: ARG002
        """Free the engine."""
        self._close()
        return TransitionCallbackReturn.SUCCESS

    def bodies(self, camera: str, names: list[str]) -> list[str]:
        """Who is there in all cameras, now that one has looked: /humans/bodies/tracked lists everybody."""
        self._bodies[camera] = names
        return [name for each in self._bodies.values() for name in each]

    def _close(self) -> None:
        for view in self._views:
            view.close()
        self._views, self._bodies = [], {}
        if self._pose is not None:
            self._pose.close()
            self._pose = None

    def destroy_node(self) -> None:
        """Free the engine with the node."""
        self._close()
        super().destroy_node()


def main() -> None:
    """Run until ROS is shut down."""
    rclpy.init()
    node = PoseNode()
    try:
        node.start()
        rclpy.spin(node)
    except (KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
