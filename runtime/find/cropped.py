"""One person in each box: a network for crops, on the people in boxes from a file, the whole frame, or another network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from posetrt.runtime.errors import UsageError
from posetrt.runtime.find.box_file import FORMATS, Boxes, BoxFile, whole
from posetrt.runtime.find.boxes import inside, person_boxes
from posetrt.runtime.find.top_down import TopDown
from posetrt.runtime.model.manifest import Manifest
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People
from posetrt.runtime.pipeline.counts import Looks
from posetrt.runtime.sources.base import Frame


class Cropped:
    """Finds one person in each box of a frame.

    Args:
        network: closed with this object.
        boxes: gives each frame's; None takes the boxes of the people whom another network has found, who keep their scores and ids.

    Attributes:
        looks: "people": how often.
    """

    def __init__(self, network: TopDown, boxes: Boxes | None = None) -> None:
        self.network, self._boxes = network, boxes
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

    def __call__(self, frame: Frame, people: People) -> People:
        """One person in each box; of another network's people those whose box lies in the frame.

        Raises:
            PosetrtError: the network failed.
            UsageError: a given box that shows nothing.
        """
        looks = self.looks["people"]
        if self._boxes is not None:
            given = self._boxes(frame)
            looks.looked += 1 if given.boxes is None else len(given.boxes)
            looks.unseen += given.unseen
            return self.network(frame.image, given.boxes, ids=given.ids)
        boxes = person_boxes(people)
        seen = (boxes[:, 2] > 0) & (boxes[:, 3] > 0) & inside(boxes, frame.image.shape)
        looks.looked += int(seen.sum())
        looks.unseen += int((~seen).sum())
        ids = None if people.ids is None else people.ids[seen]
        found = self.network(frame.image, boxes[seen], ids=ids)
        # A person's own score says whether somebody is there, and the parts' how well they were found.
        return replace(found, scores=people.scores[seen])

    def close(self) -> None:
        """Free the engine."""
        self.network.close()


def boxes_from(where: str | Path) -> Boxes | None:
    """Where boxes come from: "whole" for the frame itself, or a box file; None for the model folder (or .onnx, or engine) of a network.

    Raises:
        UsageError: there is no such thing.
    """
    given = Path(where)
    if str(where) == "whole":
        return whole
    if given.is_dir() or (given.suffix.lower() in (".onnx", ".engine", ".plan") and given.is_file()):
        return None
    if not given.is_file():
        raise UsageError(
            f'boxes come from "whole" (the frame), from a model folder whose people they are, or from a file: {FORMATS}; there is no {given}'
        )
    return BoxFile(given)
