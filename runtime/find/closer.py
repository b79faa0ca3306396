"""What a second look at a frame's people is, for the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from posetrt.runtime.find.top_down import TopDown
from posetrt.runtime.model.manifest import Manifest
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People
from posetrt.runtime.pipeline.counts import Looks
from posetrt.runtime.sources.base import Frame


class Closer(Protocol):
    """Looks at people in crops, with networks of its own, once the first network and the tracker are done with a frame.

    Attributes:
        looks: how often, by what is looked at.
    """

    looks: dict[str, Looks]

    @property
    def networks(self) -> Mapping[str, TopDown]:
        """The networks, by what they look at."""

    @property
    def manifest(self) -> Manifest | None:
        """Of the network whose key points the people have afterwards; None where they keep those that they had."""

    @property
    def skeletons(self) -> Mapping[str, Skeleton]:
        """Of what is added to the people: "hands", "face"."""

    def __call__(self, frame: Frame, people: People) -> People:
        """The people as they look from near.

        Raises:
            PosetrtError: a network failed, or there are no boxes for this frame.
        """

    def close(self) -> None:
        """Free the engines."""
