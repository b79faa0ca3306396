"""One person in each box that is given: a network for crops, on boxes from a file, or on the whole frame."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from posetrt.runtime.errors import UsageError
from posetrt.runtime.find.box_file import FORMATS, Boxes, BoxFile, whole
from posetrt.runtime.find.top_down import TopDown
from posetrt.runtime.model.manifest import Manifest
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People
from posetrt.runtime.pipeline.counts import Looks
from posetrt.runtime.sources.base import Frame


class CropStage:
    """A network for crops as a step of finding people.

    Args:
        network: closed with this object.

    Attributes:
        looks: "people": how often.
    """

    def __init__(self, network: TopDown) -> None:
        self.network = network
        self.looks = {"people": Looks()}

    @property
    def networks(self) -> Mapping[str, TopDown]:
        """The network."""
        return {"people": self.network}

    @property
    def manifest(self) -> Manifest | None:
        """Of the network."""
        return self.network.manifest

    @property
    def skeletons(self) -> Mapping[str, Skeleton]:
        """Nothing is added to people."""
        return {}

    def close(self) -> None:
        """Free the engine."""
        self.network.close()


class Cropped(CropStage):
    """Finds one person in each box of a frame.

    Args:
        network: closed with this object.
        boxes: gives each frame's.
    """

    def __init__(self, network: TopDown, boxes: Boxes) -> None:
        super().__init__(network)
        self._boxes = boxes

    def __call__(self, frame: Frame, people: People) -> People:  # noqa: ARG002 boxes come first, and nobody is known before them
        """One person in each box.

        Raises:
            PosetrtError: the network failed.
            UsageError: a given box that shows nothing.
        """
        looks = self.looks["people"]
        given = self._boxes(frame)
        looks.looked += 1 if given.boxes is None else len(given.boxes)
        looks.unseen += given.unseen
        return self.network(frame.picture if given.boxes is None else frame.image, given.boxes, ids=given.ids)


def boxes_from(where: str | Path) -> Boxes:
    """Where boxes come from: "whole" for the frame itself, or a box file.

    Raises:
        UsageError: there is no such thing, or it is a network.
    """
    given = Path(where)
    if str(where) == "whole":
        return whole
    if given.is_dir() or given.suffix.lower() in (".onnx", ".engine", ".plan"):
        raise UsageError(
            f'{given} is no box file: boxes come from "whole" (the frame itself) or from {FORMATS}. '
            f"For a network that finds the people give: --detector {given} (in Python: detector=...)"
        )
    if not given.is_file():
        raise UsageError(f'boxes come from "whole" (the frame itself) or from a file: {FORMATS}; there is no {given}')
    return BoxFile(given)
