"""Events as messages: ~/events, a std_msgs/String with one JSON object for each."""

from __future__ import annotations

import json

from std_msgs.msg import String

from posetrt.runtime.events.rules import load_rules
from posetrt.runtime.events.watcher import Watcher
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People


class EventTopic:
    """Looks for a rules file's events among tracked people, and publishes them.

    Args:
        node: publishes.
        rules: path of the file.
        skeleton: of the people.
        topic: that they go to.

    Raises:
        UsageError: no such file, an event that there is not, or a skeleton that does not show what one needs.
    """

    def __init__(self, node, rules: str, skeleton: Skeleton, topic: str = "~/events") -> None:
        self._watcher = Watcher(load_rules(rules), skeleton)
        self._publisher = node.create_publisher(String, topic, 10)

    def close(self, node) -> None:
        """Take the topic down."""
        node.destroy_publisher(self._publisher)

    def publish(self, people: People, time_s: float, size_wh: tuple[int, int], frame_id: str) -> None:
        """What begins and what is over in an image; `time_s` is its stamp, and `frame_id` its camera's."""
        for event in self._watcher.update(people, time_s, size_wh):
            self._publisher.publish(String(data=json.dumps(event.to_dict() | {"frame_id": frame_id})))
