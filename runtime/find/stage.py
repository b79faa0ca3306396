"""What is done about people in crops, once a frame's people or their boxes are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from posetrt.runtime.find.top_down import TopDown
from posetrt.runtime.model.manifest import Manifest
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People
from posetrt.runtime.pipeline.counts import Looks
from posetrt.runtime.sources.base import Frame


class CropStage(Protocol):
    """Looks at a frame's people in crops, with networks of its own.

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
        """Of each of the extras that it adds to people, by its name."""

    def __call__(self, frame: Frame, people: People) -> People:
        """The people as they look from near.

        Raises:
            PosetrtError: a network failed, or there are no boxes for this frame.
        """

    def close(self) -> None:
        """Free the engines."""
