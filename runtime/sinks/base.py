"""What a sink is given, and what it must do."""

from __future__ import annotations

import abc
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from posetrt.runtime.events.base import Event
from posetrt.runtime.heads.base import Tensors
from posetrt.runtime.model.manifest import Manifest
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People
from posetrt.runtime.pipeline.counts import RunStats
from posetrt.runtime.placement import Placement
from posetrt.runtime.sources.base import Frame

if TYPE_CHECKING:
    from posetrt.runtime.track.follow import Target


@dataclass(frozen=True)
class Result:
    """Everything known of one frame.

    Attributes:
        frame: as the source gave it.
        people: in pixels of the frame.
        manifest: of the network whose key points the people have.
        placement: how the frame was placed in the network's input; None where no network looked at the whole frame.
        tensors: the network's own outputs for the whole frame, where a sink asked for them.
        stats: of the run so far: rates, drops, ages.
        skeletons: of each of the people's extras, by its name.
        events: what began and what was over in this frame; None where nobody looks for events.
        target: the person who is followed; None where nobody asked for that.
    """

    frame: Frame
    people: People
    manifest: Manifest
    placement: Placement | None = None
    tensors: Tensors | None = None
    stats: RunStats | None = None
    skeletons: Mapping[str, Skeleton] = field(default_factory=dict)
    events: Sequence[Event] | None = None
    target: Target | None = None

    @property
    def age_s(self) -> float | None:
        """Time since a live source got this frame; None for files."""
        return None if self.frame.captured_s is None else time.perf_counter() - self.frame.captured_s


class Sink(abc.ABC):
    """Takes results in order, from one thread."""

    needs_tensors = False
    needs_pictures = True
    """Whether it shows or keeps `Result.frame.image`; where no sink does, sources may give smaller pictures."""

    @abc.abstractmethod
    def write(self, result: Result) -> None:
        """Take one result.

        Raises:
            PosetrtError: it cannot be written; what was written before is whole.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Finish what is open; closing twice is harmless."""
