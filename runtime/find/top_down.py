"""A network that looks at one thing in a crop: a person, a hand, a face."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.engines.base import Engine
from posetrt.runtime.engines.choose import EngineOptions, open_engine
from posetrt.runtime.errors import UsageError
from posetrt.runtime.find.boxes import check_boxes, grown, whole_frame
from posetrt.runtime.find.inputs import Inputs, check_picture
from posetrt.runtime.find.scales import merged_maps
from posetrt.runtime.model.shipped import shipped_name
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People
from posetrt.runtime.picture import cut, to_input
from posetrt.runtime.placement import Fit, Placement, closer, crop, crops_to_frame, whole_in
from posetrt.runtime.scaling import Scratch
from posetrt.runtime.sources.base import picture_wh

if TYPE_CHECKING:
    from typing_extensions import Self

MOST_AT_ONCE = 32
"""Crops in one call of a network whose graph takes any number: more only take memory."""

PAD_BLACK = 0
"""Outside the frame, as OpenPose shows it to its hand and face networks (handExtractorCaffe.cpp)."""


class TopDown:
    """A network that looks at one thing in a crop. Use it as a context manager; calls from several threads wait for each other.

    Args:
        engine: closed with this object.
        fit: how crops are cut: what they show outside the frame, and how much wider than the box that it is given the network wants to
            see. None takes the manifest's. Hands and faces come in boxes that are grown already.
        scales: of what is looked at: 0.5 also cuts a crop twice as wide, in which everything is half as large. The maps of all scales
            are laid over each other and their mean is taken.

    Attributes:
        spent_s: seconds so far: "crops" (cutting and normalising), "network", "points" (decoding, and the way back to the frame).
        calls: how often the network was called, and
        looked: at how many crops.

    Raises:
        UsageError: the network is a detector, or finds everybody in whole frames; or scales for one whose outputs are no maps.
    """

    def __init__(self, engine: Engine, *, fit: Fit | None = None, scales: Sequence[float] = (1.0,)) -> None:
        manifest = engine.manifest
        if not manifest.skeleton.parts:
            raise UsageError(
                f"{manifest.network} (head {manifest.head.summary()}) is a detector: it says where people are, and gives no key points. Give it "
                "with --detector (in Python: detector=...) beside a pose network for crops"
            )
        if not manifest.head.one_person:
            raise UsageError(
                f"{manifest.network} ({manifest.skeleton.name}, head {manifest.head.kind}) finds everybody in a whole picture, and is no "
                "network for one person, hand or face in a crop. Run it without boxes and detector, or give a network for crops (RTMPose, ViTPose, "
                "HRNet and their like)"
            )
        if not scales or not all(0.1 <= scale <= 10 for scale in scales):
            raise UsageError(f"scales lie between 0.1 and 10, and there is at least one; got {list(scales)}")
        if tuple(scales) != (1.0,) and not set(manifest.head.maps) & set(manifest.head.outputs):
            raise UsageError(
                f"{manifest.network} gives no maps (head {manifest.head.summary()}), so those of several scales cannot be laid over each "
                "other; leave --scales out, or export it without --decode in-graph"
            )
        self.engine, self.manifest = engine, manifest
        self.fit = fit or manifest.input.fit
        self.scales = tuple(float(scale) for scale in scales)
        # Of a crop exactly one person is wanted, found or not, also from a network that would leave nobody in a frame.
        self._head = manifest.head if manifest.head.scope == "crop" else replace(manifest.head, scope="crop")
        self._decoder = self._head.decoder(manifest.skeleton)
        self._lock = threading.Lock()
        self._scratch, self._inputs = Scratch(), Inputs(engine)
        self.spent_s = {"crops": 0.0, "network": 0.0, "points": 0.0}
        self.calls = self.looked = 0

    @property
    def skeleton(self) -> Skeleton:
        """What it finds in a crop."""
        return self.manifest.skeleton

    @property
    def at_once(self) -> int:
        """Crops in one call of the network: as many as its engine takes."""
        return self.engine.max_batch or MOST_AT_ONCE

    def __str__(self) -> str:
        """A line for people: network, size, precision, library, crops per call."""
        width, height = self.manifest.input.size_wh
        calls = f"up to {self.at_once} crops a call" if self.at_once > 1 else "one crop a call"
        return f"{self.manifest.network} {width}x{height}, {self.engine.precision}, {self.engine.backend}, {calls}"

    def __call__(
        self, frame: NDArray[np.uint8], boxes: NDArray[np.floating] | None = None, *, ids: NDArray[np.int64] | None = None
    ) -> People:
        """One person in each box.

        Args:
            frame: (H, W, 3) uint8 BGR; for a graph that takes a camera's NV12 frame, also that: (3 H / 2, W) uint8.
            boxes: (M, 4): x, y, width, height of people in pixels of the frame (pixel i spans i to i + 1), as a detector or tracker gives
                them; None takes the whole frame, without growing it.
            ids: (M,) int64 of a tracker.

        Returns:
            M people in the order of the boxes, in pixels of the frame; one of whom nothing was found has scores of 0.

        Raises:
            UsageError: boxes that are none, or lie outside the frame.
            PosetrtError: the frame is no such array, or the network failed.
        """
        check_picture(frame, self.manifest.input)
        if boxes is None:
            given = whole_frame(picture_wh(frame))
            keypoints, scores = self._look(frame, grown(given, self.manifest.input.size_wh))
        else:
            given = check_boxes(boxes, picture_wh(frame)[::-1])
            keypoints, scores = self._look(frame, grown(given, self.manifest.input.size_wh, self.fit.grow))
        return People(keypoints, scores, ids, boxes=given, skeleton=self.skeleton)

    def look(self, frame: NDArray[np.uint8], boxes: NDArray[np.float32], mirrored: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """Key points in crops that are cut out as they are given, as many crops as the network takes in one call.

        Args:
            frame: (H, W, 3) uint8 BGR.
            boxes: (M, 4) float32 with area; they are widened to the proportions of the network's input.
            mirrored: (M,) which crops the network is to see mirrored; their points are mirrored back.

        Returns:
            (M, K, 3) float32 in pixels of the frame; score 0 where nothing was found.
        """
        return self._look(frame, boxes, mirrored)[0]

    def _look(
        self, frame: NDArray[np.uint8], boxes: NDArray[np.float32], mirrored: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Key points as `look` gives them, and the (M,) scores of the people: the mean of their parts', times their presence where the
        network tells that."""
        size, count, each = self.manifest.input.size_wh, len(boxes), len(self.scales)
        turned = np.zeros(count, np.bool_) if mirrored is None else mirrored
        boxes = grown(boxes, size)
        placements = [crop(box, size, mirrored=turn) for box, turn in zip(boxes.tolist(), turned.tolist(), strict=True)]
        if self.scales == (1.0,):
            seen = placements
        else:
            # Every scale of a box in turn, so that the maps of one box come one after the other.
            wide = np.stack([grown(boxes, size, 1 / scale) for scale in self.scales], axis=1).reshape(-1, 4)
            seen = [crop(box, size, mirrored=turn) for box, turn in zip(wide.tolist(), turned.repeat(each).tolist(), strict=True)]
        found = np.zeros((count, len(self.skeleton.parts), 3), np.float32)
        scores = np.zeros(count, np.float32)
        step = max(1, self.at_once // each) * each
        with self._lock:
            for start in range(0, len(seen), step):
                own = slice(start // each, (start + step) // each)
                chunk = seen[start : start + step]
                found[own], scores[own], following = self._chunk(frame, chunk)
                if following is not None:
                    # The first look only says how the person lies in the crop.
                    placements[own] = following
                    found[own], scores[own], _ = self._chunk(frame, following)
            began = time.perf_counter()
            points = crops_to_frame(found, placements)
            self.spent_s["points"] += time.perf_counter() - began
        return points, scores

    def tensor_of(self, frame: NDArray[np.uint8], placements: Sequence[Placement]) -> NDArray[Any]:
        """The network's input for crops of a frame, one after the other."""
        spec = self.manifest.input
        if spec.camera_wh is not None:
            self._check_whole(placements)
            return self._inputs.of_camera([frame] * len(placements), self._scratch)
        width, height = spec.size_wh
        tensor = np.empty(spec.shape(len(placements)), np.dtype(spec.dtype))
        for number, placement in enumerate(placements):
            out = tensor[number : number + 1]
            canvas = out[0] if spec.takes_bytes else self._scratch.array("canvas", (height, width, 3))
            to_input(cut(frame, placement, self.fit.pad, canvas, self._scratch), spec, out, self._scratch)
        return tensor

    def _check_whole(self, placements: Sequence[Placement]) -> None:
        spec = self.manifest.input
        assert spec.camera_wh is not None
        whole = np.array(whole_in(spec.camera_wh, spec.size_wh, "crop").matrix)
        if not all(np.allclose(placement.matrix, whole, atol=1e-2) for placement in placements):
            raise UsageError(
                f"{self.manifest.network} was exported with --camera: its graph shows the network the whole frame, and no box of it. "
                "Give --boxes whole, or export it again without --camera"
            )

    def _chunk(
        self, frame: NDArray[np.uint8], placements: Sequence[Placement]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], list[Placement] | None]:
        """(M, K, 3) and (M,) scores in pixels of the input of the boxes at scale 1, of crops whose scales stand one after the other; and where the network
        wants to look next, if it says so."""
        times = [time.perf_counter()]
        head, size = self._head, self.manifest.input.size_wh
        tensor = self.tensor_of(frame, placements)
        times.append(time.perf_counter())
        merging = self.scales != (1.0,)
        kept: dict[str, list[NDArray[Any]]] = {}
        found: list[People] = []
        following: list[Placement] = []
        decoding = 0.0
        for start in range(0, len(tensor), self.at_once):
            tensors = self.engine.infer(tensor[start : start + self.at_once])
            self.calls += 1
            if merging:
                # The engine's own buffers are filled again by its next call.
                for role in set(head.maps) & set(head.outputs):
                    kept.setdefault(role, []).extend(head.tensor(tensors, role).copy())
            else:
                began = time.perf_counter()
                here = placements[len(found) : len(found) + len(tensor)]
                found += self._decoder.decode(tensors, size)
                again = head.next_crop(tensors, size)
                if again is not None:
                    inner = [closer(size, *one) for one in again.tolist()]
                    following += [first if then is None else first.then(then) for first, then in zip(here, inner, strict=False)]
                decoding += time.perf_counter() - began
        self.looked += len(placements)
        times.append(time.perf_counter() - decoding)
        if merging:
            each = len(self.scales)
            merged = {
                head.outputs[role]: np.stack([merged_maps(maps[at : at + each], self.scales) for at in range(0, len(maps), each)])
                for role, maps in kept.items()
            }
            found = self._decoder.decode(merged, size)
        points: NDArray[np.float32] = np.zeros((len(found), len(self.skeleton.parts), 3), np.float32)
        scores: NDArray[np.float32] = np.zeros(len(found), np.float32)
        for number, people in enumerate(found):
            points[number], scores[number] = people.keypoints[0], people.scores[0]
        times.append(time.perf_counter())
        for name, since, until in zip(self.spent_s, times[:-1], times[1:], strict=True):
            self.spent_s[name] += until - since
        return points, scores, following or None

    def warm_up(self) -> None:
        """Call the network once, so that its first real crop does not wait for what it sets up."""
        spec = self.manifest.input
        self.engine.infer(to_input(np.full((spec.picture_wh[1], spec.picture_wh[0], 3), self.fit.pad, np.uint8), spec))

    def close(self) -> None:
        """Free the engine."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_top_down(
    path: str | Path, options: EngineOptions | None = None, *, grow: float | None = None, scales: Sequence[float] = (1.0,)
) -> TopDown:
    """Open a network for one thing in a box: `with posetrt.open_top_down("cpm/") as person: people = person(frame, boxes)`.

    Args:
        path: a model folder, a bare .onnx or an engine.
        options: which engine, and how it runs.
        grow: how much wider than the box the network wants to see; None takes what its manifest says.
        scales: as `TopDown`.

    Raises:
        UsageError: a network of another kind.
        EngineMismatch: no engine fits this device.
    """
    return _opened(path, options, grow, scales, None)


def open_crop_network(path: str | Path, what: str, parts: int, options: EngineOptions | None = None) -> TopDown:
    """Open a network of hands or faces.

    Args:
        path: a model folder, a bare .onnx or an engine.
        what: "hand" or "face", for errors.
        parts: that such a network has: OpenPose's JSON has room for as many.
        options: which engine, and how it runs.

    Raises:
        UsageError: a network of something else.
    """
    network = _opened(path, options, 1.0, (1.0,), PAD_BLACK)
    skeleton = network.skeleton
    if len(skeleton.parts) != parts:
        network.close()
        raise UsageError(
            f"{path} finds {len(skeleton.parts)} parts ({skeleton.name}), and a {what} has {parts} here, as in OpenPose's JSON. "
            f"Give a {what} network, such as: posetrt export openpose-{what} --weights FILE -o {what}/"
        )
    return network


def _opened(path: str | Path, options: EngineOptions | None, grow: float | None, scales: Sequence[float], pad: int | None) -> TopDown:
    engine = open_engine(path, options)
    try:
        own = engine.manifest.input.fit
        fit = Fit("crop", own.pad if pad is None else pad, own.grow if grow is None else grow)
        return TopDown(engine, fit=fit, scales=scales)
    except UsageError as error:
        engine.close()
        raise UsageError(f"{shipped_name(path) or path}: {error}") from error
