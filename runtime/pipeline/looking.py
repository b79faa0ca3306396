"""The stage of a run that looks at people in crops."""

from __future__ import annotations

from collections.abc import Callable
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
    """Looks at each frame's people in crops; where no network looks at whole frames, at the boxes that the first stage is given.

    Args:
        supervisor: of the run.
        pose: with stages.
        last: what is done with each result in the end.
        inlet: one place for each source: results of the stage before, or frames where there is none.
        outlet: one place for each source.
    """

    name = "crops"
    outlet: Mailbox[Result]

    def __init__(
        self,
        supervisor: Supervisor,
        pose: Pose,
        last: Callable[[Result], Result],
        inlet: Mailbox[Result] | Mailbox[Frame],
        outlet: Mailbox[Result],
    ) -> None:
        self._supervisor, self._pose, self._last = supervisor, pose, last
        self.inlet, self.outlet = inlet, outlet

    @staticmethod
    def frames_in(item: Result | Frame) -> list[Frame]:
        """The frame of it."""
        return [item if isinstance(item, Frame) else item.frame]

    def work(self, turn: int) -> None:
        """See `Stage.work`."""
        while self._supervisor.mine(self.name, turn):
            item = self.inlet.take()[0]
            found = (
                Result(item, self._pose.nobody(), self._pose.manifest, stats=self._supervisor.stats) if isinstance(item, Frame) else item
            )
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
        people = self._pose.look_closer(found.frame, found.people)
        return self._last(replace(found, people=people, manifest=self._pose.manifest, skeletons=self._pose.skeletons))
