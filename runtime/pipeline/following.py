"""The stage of a run with a detector that looks every few frames: it decides, detects and looks at the crops of each frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from posetrt.runtime.find.detected import Detected
from posetrt.runtime.find.follower import Follower
from posetrt.runtime.people import People
from posetrt.runtime.pipeline.mailbox import Closed, Mailbox
from posetrt.runtime.pipeline.supervisor import Stage, Supervisor
from posetrt.runtime.sinks.base import Result
from posetrt.runtime.sources.base import Frame

if TYPE_CHECKING:
    from posetrt.runtime.pose import Pose


class Following(Stage):
    """Finds people in boxes that a detector gives in some frames, and that follow the people in the others.

    One thread does both, since where the detector is needed is known only when the frame before is done; a frame without detection
    never meets the first network.

    Args:
        supervisor: of the run.
        pose: whose first stage takes a detector's boxes.
        every: for each source how often its frames are detected in: 1 in each, as photographs are.
        batch: frames of several sources in one call of the detector, at most.
        ids: whether people keep the ids by which they are followed.
        last: what is done with each result in the end.
        inlet: a place a source.
        outlet: a place a source.
    """

    name = "crops"
    timed = ("crops", "network")
    inlet: Mailbox[Frame]
    outlet: Mailbox[Result]

    def __init__(
        self,
        supervisor: Supervisor,
        pose: Pose,
        every: Sequence[int],
        batch: int,
        ids: bool,
        last: Callable[[Result], Result],
        inlet: Mailbox[Frame],
        outlet: Mailbox[Result],
    ) -> None:
        self._supervisor, self._stats, self._pose = supervisor, supervisor.stats, pose
        assert pose.whole is not None
        first = pose.stages[0]
        assert isinstance(first, Detected)
        self._whole, self._batch, self._ids, self._last = pose.whole, batch, ids, last
        self._followers = [Follower(first, each) for each in every]
        self.inlet, self.outlet = inlet, outlet

    @staticmethod
    def frames_in(item: Frame) -> list[Frame]:
        """The frame itself."""
        return [item]

    def work(self, turn: int) -> None:
        """See `Stage.work`."""
        while self._supervisor.mine(self.name, turn):
            frames = self.inlet.take(self._batch)
            left = list(frames)
            try:
                due = [frame for frame in frames if self._followers[frame.source].due]
                people = self._supervisor.on(self.name, turn, due, partial(self._detect, due), timed="network") if due else []
                detected = {frame.source: one for frame, one in zip(due, people or [], strict=False)}
                if people is None:
                    gone = {frame.source for frame in due}
                    left = frames = [frame for frame in frames if frame.source not in gone]
                for frame in list(frames):
                    left = left[1:]
                    result = self._supervisor.on(self.name, turn, [frame], partial(self._look, frame, detected.get(frame.source)))
                    if result is not None:
                        self._pass_on(frame, result)
            except Closed:
                self._supervisor.stopped(left)
                raise

    def _detect(self, frames: Sequence[Frame]) -> list[People]:
        """People whom the detector finds in frames of different sources."""
        self._stats.detections += len(frames)
        return self._whole.find_all([frame.picture for frame in frames])

    def _look(self, frame: Frame, detected: People | None) -> Result:
        def detect() -> People:
            network, crops = self._stats.stages["network"], self._stats.stages["crops"]
            before = network.busy_s
            with network.work():
                found = self._detect([frame])[0]
            # This call is part of the other stage's work: its time counts once.
            crops.busy_s -= network.busy_s - before
            return found

        people = self._followers[frame.source].look(frame, detected, detect)
        people = self._pose.look_closer(frame, people if self._ids else replace(people, ids=None), after=1)
        return self._last(Result(frame, people, self._pose.manifest, stats=self._stats, skeletons=self._pose.skeletons))

    def _pass_on(self, frame: Frame, result: Result) -> None:
        try:
            older = self.outlet.put(frame.source, result)
        except Closed:
            self._supervisor.stopped([frame])
            raise
        if older is not None:
            self._stats.dropping(frame.source, "late")
