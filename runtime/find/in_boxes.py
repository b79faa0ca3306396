"""A network for one person, run on the people in boxes: from a file, the whole frame, or another network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.engines.base import Engine, Outputs
from posetrt.runtime.engines.choose import open_engine
from posetrt.runtime.errors import UsageError
from posetrt.runtime.find.box_file import FORMATS, Boxes, BoxFile, whole
from posetrt.runtime.find.boxes import inside, person_boxes
from posetrt.runtime.find.top_down import TopDown, open_top_down
from posetrt.runtime.letterbox import Letterbox, check_frame, letterbox_for
from posetrt.runtime.model.manifest import Manifest
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People, nobody
from posetrt.runtime.pipeline.counts import Looks
from posetrt.runtime.pose import Pose, Prepared
from posetrt.runtime.sources.base import Frame


class InBoxes:
    """Finds one person in each box of a frame.

    Args:
        network: closed with this object.
        boxes: gives each frame's; None takes the boxes round the people whom another network has found, who keep their ids.

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
        """One person a box; of another network's people those whose box lies in the frame.

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
        seen = (boxes[:, 2] > 0) & inside(boxes, frame.image.shape)
        looks.looked += int(seen.sum())
        looks.unseen += int((~seen).sum())
        ids = None if people.ids is None else people.ids[seen]
        # A person's own score says more of whether somebody is there than the maps of a network that takes it for granted.
        return replace(self.network(frame.image, boxes[seen], ids=ids), scores=people.scores[seen])

    def close(self) -> None:
        """Free the engine."""
        self.network.close()


class BoxedPose(Pose):
    """A `Pose` whose people come from given boxes: no network looks at the whole frame.

    Args:
        network: closed with this object.
        boxes: gives each frame's.
    """

    def __init__(self, network: TopDown, boxes: Boxes) -> None:
        super().__init__(_NoNetwork(network), closer=InBoxes(network, boxes))

    def prepare(self, frame: NDArray[np.uint8]) -> Prepared:
        """Check the frame; crops are cut later."""
        check_frame(frame)
        return Prepared(np.zeros((1, 0), np.uint8), letterbox_for((frame.shape[1], frame.shape[0]), self.manifest.input.size_wh))

    def finish(self, outputs: Outputs, box: Letterbox) -> People:
        """Nobody yet."""
        del outputs, box
        return nobody(len(self.manifest.skeleton.parts))


class _NoNetwork(Engine):
    """Looks at nothing, in the name of a network that is run on crops."""

    def __init__(self, network: TopDown) -> None:
        self.manifest, self.precision, self.backend = network.manifest, network.engine.precision, network.engine.backend

    def infer(self, inputs: NDArray[np.float32] | NDArray[np.uint8]) -> Outputs:
        """Nothing."""
        del inputs
        return Outputs()

    def close(self) -> None:
        """There is nothing to free."""


def open_in_boxes(
    path: str | Path,
    boxes: str | Path,
    precision: str | None = None,
    backend: str = "auto",
    *,
    preset: str = "balanced",
    grow: float | None = None,
    scales: Sequence[float] = (1.0,),
    threads: int = 0,
    trust: bool = False,
) -> Pose:
    """Open a network for one person with where its boxes come from.

    Args:
        path: the network: a model folder, a bare .onnx or an engine.
        boxes: "whole" for the whole frame; a box file; or the model folder (or .onnx, or engine) of a network that finds everybody.
        preset: of the parser of the network that finds everybody.
        precision, backend, threads, trust: as `engines.choose.open_engine`; of the network that finds everybody the precision is its default.
        grow, scales: as `TopDown`.

    Raises:
        UsageError: a network that is no such network, or boxes that come from nowhere.
        EngineMismatch: no engine fits this device.
    """
    given = Path(boxes)
    first = given.is_dir() or given.suffix.lower() in (".onnx", ".engine", ".plan")
    provider: Boxes | None = None
    if str(boxes) == "whole":
        provider = whole
    elif not first:
        if not given.is_file():
            raise UsageError(f'boxes come from "whole" (the frame), from a model folder whose people they are, or from a file: {FORMATS}; '
                             f"there is no {given}")  # fmt: skip
        provider = BoxFile(given)
    network = open_top_down(path, precision, backend, grow=grow, scales=scales, threads=threads, trust=trust)
    if provider is not None:
        return BoxedPose(network, provider)
    try:
        engine = open_engine(given, None, backend, threads=threads, trust=trust)
    except BaseException:
        network.close()
        raise
    return Pose(engine, preset=preset, closer=InBoxes(network))
