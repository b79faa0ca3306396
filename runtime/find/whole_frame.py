"""A network that looks at the whole frame, or at tiles of it too: letterbox, infer, decode, and the way back to the frame."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.engines.base import Engine, infer_all
from posetrt.runtime.engines.choose import EngineOptions, open_engine
from posetrt.runtime.errors import UsageError
from posetrt.runtime.find.inputs import Inputs, check_picture
from posetrt.runtime.find.merge import merged
from posetrt.runtime.find.tiles import Tile, Tiles
from posetrt.runtime.heads.base import DecodeOptions, Decoder, Tensors
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People
from posetrt.runtime.picture import place, to_input
from posetrt.runtime.placement import Placement, letterbox, whole_in
from posetrt.runtime.scaling import Scratch

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Prepared:
    """Frames ready for the network.

    The tensor's memory is used again: `WholeFrame.give_back` it when the network has taken it.

    Attributes:
        tensor: one picture or more of each frame, in the manifest's layout and type.
        placements: how each of them lies in the input; the first of a frame shows the whole frame.
    """

    tensor: NDArray[Any]
    placements: list[Placement]


class WholeFrame:
    """Finds everybody in a frame. Use it as a context manager; it may be called from several threads.

    Args:
        engine: closed with this object.
        options: how sure a person must be.
        tiles: look at each frame whole and at tiles of it, in one call where the engine takes so many pictures, so that small people are
            found too; None looks at the whole frame alone.

    Raises:
        UsageError: the network looks at one thing in a crop.
    """

    def __init__(self, engine: Engine, options: DecodeOptions | None = None, tiles: Tiles | None = None) -> None:
        manifest = engine.manifest
        if manifest.head.scope != "frame":
            raise UsageError(
                f"{manifest.network} ({manifest.skeleton.name}, head {manifest.head.kind}) looks at one person in a crop: on a whole frame it "
                'would blend everybody into one. Say where the people are: boxes="whole" for a picture of one person, or a box file (on the '
                "command line: --boxes); or a detector, the model folder of a network that finds everybody (--detector)"
            )
        if tiles is not None and manifest.input.camera_wh is not None:
            raise UsageError(
                f"{manifest.network} was exported with --camera and scales whole frames itself, so it cannot be shown tiles: "
                "leave --tiles out, or export it without --camera"
            )
        self.engine, self.manifest, self.options, self.tiles = engine, manifest, options or DecodeOptions(), tiles
        # Fails here, and not on the first frame, where the head and its skeleton do not fit.
        self._own_of_thread = threading.local()
        self._own_of_thread.decoder = manifest.head.decoder(manifest.skeleton, self.options)
        self._lock = threading.Lock()
        self._inputs = Inputs(engine)

    @property
    def skeleton(self) -> Skeleton:
        """What it finds."""
        return self.manifest.skeleton

    @property
    def pictures(self) -> int:
        """What the network sees of each frame: one picture, or more where it is cut into tiles."""
        return self.tiles.pictures if self.tiles is not None else 1

    @property
    def frames_at_once(self) -> int:
        """Frames in one call of the network, of as many pictures as its engine takes: at least 1; 0 for any number."""
        most = self.engine.max_batch
        return max(1, most // self.pictures) if most else 0

    @property
    def decoder(self) -> Decoder:
        """This thread's decoder: decoders keep scratch memory."""
        found: Decoder | None = getattr(self._own_of_thread, "decoder", None)
        if found is None:
            found = self._own_of_thread.decoder = self.manifest.head.decoder(self.manifest.skeleton, self.options)
        return found

    def prepare(self, *images: NDArray[np.uint8], size_wh: tuple[int, int] | None = None) -> Prepared:
        """Place and normalise frames, straight into the memory that the network is fed from.

        Args:
            images: each (H, W, 3) uint8 BGR; one batch. For a graph that takes a camera's NV12 frame, also that: (3 H / 2, W) uint8.
            size_wh: of the network's input, where that is dynamic; None takes the usual one.

        Raises:
            PosetrtError: a frame is no such array, or of another size than the graph's camera.
            UsageError: a frame is too small for its tiles.
        """
        spec = self.manifest.input
        size = size_wh or spec.size_wh
        if spec.camera_wh is not None:
            behind = whole_in(spec.camera_wh, spec.size_wh, spec.fit.how)
            return Prepared(self._inputs.of_camera(images, self._scratch), [behind] * len(images))
        views: list[NDArray[np.uint8]] = []
        placements: list[Placement] = []
        for image in images:
            check_picture(image, spec)
            frame_wh = image.shape[1], image.shape[0]
            if self.tiles is None:
                views.append(image)
                placements.append(letterbox(frame_wh, size, spec.fit.how))
                continue
            for tile in self.tiles.placements(frame_wh, size, spec.fit.how):
                left, top, width, height = tile.box
                views.append(image[top : top + height, left : left + width])
                placements.append(tile)
        tensor = self._inputs.take(size, len(views))
        scratch = self._scratch
        for number, view in enumerate(views):
            out = tensor[number : number + 1]
            canvas = out[0] if spec.takes_bytes else scratch.array("canvas", (size[1], size[0], 3))
            placed = letterbox((view.shape[1], view.shape[0]), size, spec.fit.how)
            to_input(place(view, placed, spec.fit.pad, canvas, scratch, resize=spec.fit.resize), spec, out, scratch)
        return Prepared(tensor, placements)

    def give_back(self, tensor: NDArray[Any]) -> None:
        """Let the memory of a prepared tensor be used again; anything else is left alone."""
        self._inputs.give_back(tensor)

    @property
    def _scratch(self) -> Scratch:
        """This thread's memory for what lies between frame and tensor."""
        found: Scratch | None = getattr(self._own_of_thread, "scratch", None)
        if found is None:
            found = self._own_of_thread.scratch = Scratch()
        return found

    def decode(self, tensors: Tensors, placements: Sequence[Placement]) -> list[People]:
        """People of each frame of a batch, in pixels of the frame; `placements` are those of each frame's pictures, one after the other."""
        found = self.decoder.decode(tensors, placements[0].size_wh)
        named = (replace(people, skeleton=self.skeleton) for people in found)
        views = [placement.people_to_frame(people) for people, placement in zip(named, placements, strict=True)]
        if self.tiles is None:
            return views
        tiles, each = [placement for placement in placements if isinstance(placement, Tile)], self.pictures
        return [merged(views[at : at + each], tiles[at : at + each], self.skeleton) for at in range(0, len(views), each)]

    def find(self, image: NDArray[np.uint8]) -> People:
        """People of one frame, in pixels of the frame, best first.

        Raises:
            PosetrtError: the frame is no such array, or the network failed.
        """
        return self.find_all([image])[0]

    def find_all(self, images: Sequence[NDArray[np.uint8]]) -> list[People]:
        """People of each of several frames, in calls of as many as the engine takes.

        Raises:
            PosetrtError: as `find`.
        """
        found: list[People] = []
        step = self.frames_at_once or max(1, len(images))
        for start in range(0, len(images), step):
            prepared = self.prepare(*images[start : start + step])
            with self._lock:
                # Decoded before the engine's buffers are filled again.
                found += self.decode(infer_all(self.engine, prepared.tensor), prepared.placements)
            self.give_back(prepared.tensor)
        return found

    def close(self) -> None:
        """Free the engine."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_detector(
    path: str | Path, options: EngineOptions | None = None, decoding: DecodeOptions | None = None, tiles: Tiles | None = None
) -> WholeFrame:
    """Open a network that says where people are: a detector, or one that finds everybody's key points.

    Args:
        path: a model folder, a bare .onnx or an engine.
        options: which engine, and how it runs.
        decoding: how sure a person must be.
        tiles: how frames are cut; None looks at each frame once.

    Raises:
        UsageError: a network that looks at one person.
        EngineMismatch: no engine fits this device.
    """
    engine = open_engine(path, options)
    try:
        manifest = engine.manifest
        if manifest.head.one_person:
            raise UsageError(
                f"{path}: {manifest.network} (head {manifest.head.summary()}) finds the parts of one person, and cannot say where people are. "
                "A detector is a network with boxes, or one that finds everybody in a frame"
            )
        return WholeFrame(engine, decoding, tiles)
    except UsageError:
        engine.close()
        raise
