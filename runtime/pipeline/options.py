"""How a pipeline works: what its caller chooses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from posetrt.runtime.events.rules import Rules
    from posetrt.runtime.track.follow import Follow


@dataclass(frozen=True)
class Options:
    """How a pipeline works.

    Attributes:
        keep_tensors: give the network's outputs with each result, for drawing maps.
        track: give people stable ids.
        events: look for these among the people; needs `track`.
        smooth: smooth their key points with a One-Euro filter; needs `track`.
        camera_motion, appearance: of the tracker; see `Tracker`.
        follow: follows one person of the one source.
        batch: frames of several sources in one call of the network; None: as many as the engine takes where it overlaps
            calls (a GPU), else 1: a batch makes everybody on a CPU wait for the last.
        no_pictures: nobody looks at `Result.frame.image`: pictures are let go of as soon as the network's input is made. `pipeline.run` sets it.
        whole_pictures: sources give their pictures whole, also where nobody needs more than the network's input.
        patience_s: a stage that works on one frame for longer than this hangs; None: 20 s for live sources, 120 s for files.
        say: takes a line for people when something goes wrong and the run goes on.
    """

    keep_tensors: bool = False
    track: bool = False
    events: Rules | None = None
    smooth: bool = False
    camera_motion: bool = False
    appearance: bool = False
    follow: Follow | None = None
    batch: int | None = None
    no_pictures: bool = False
    whole_pictures: bool = False
    patience_s: float | None = None
    say: Callable[[str], None] | None = None
