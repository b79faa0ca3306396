"""The stage of a run that takes the second look."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from posetrt.runtime.pipeline.mailbox import Closed, Mailbox
from posetrt.runtime.pipeline.supervisor import Stage, Supervisor
from posetrt.runtime.sinks.base import Result
from posetrt.runtime.sources.base import Frame

if TYPE_CHECKING:
    from posetrt.runtime.pose import Pose


class Looking(Stage):
    """Takes the second look at each frame's people.

    Args:
        supervisor: of the run.
        pose: with a `closer`.
        inlet: a place a source.
        outlet: a place a source.
    """

    name = "crops"
    outlet: Mailbox[Result]

    def __init__(self, supervisor: Supervisor, pose: Pose, inlet: Mailbox[Result], outlet: Mailbox[Result]) -> None:
        self._supervisor, self._pose = supervisor, pose
        self.inlet, self.outlet = inlet, outlet

    @staticmethod
    def frames_in(item: Result) -> list[Frame]:
        """The result's frame."""
        return [item.frame]

    def work(self, turn: int) -> None:
        """See `Stage.work`."""
        while self._supervisor.mine(self.name, turn):
            found = self.inlet.take()[0]
            result = self._supervisor.on(self.name, turn, [found.frame], partial(self._look, found))
            if result is None:
                continue
            try:
                older = self.outlet.put(found.frame.source, result)
            except Closed:
                self._supervisor.stopped([found.frame])
                raise
            if older is not None:
                self._supervisor.stats.dropping(found.frame.source, "late")

    def _look(self, found: Result) -> Result:
        closer = self._pose.closer
        assert closer is not None
        people = closer(found.frame, found.people)
        return replace(found, people=people, manifest=closer.manifest or found.manifest, skeletons=closer.skeletons)
