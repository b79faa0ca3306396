"""A network with heat maps that looks at one thing in a crop: a person (CPM, or any top-down network), a hand, a face."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.engines.base import Engine
from posetrt.runtime.engines.choose import open_engine
from posetrt.runtime.errors import UsageError
from posetrt.runtime.find.boxes import check_boxes, grown, whole_frame
from posetrt.runtime.find.crops import PAD_BLACK, cut, to_frame
from posetrt.runtime.find.scales import merged_maps
from posetrt.runtime.heads.paf.parser import PafParser
from posetrt.runtime.letterbox import PAD_VALUE, check_frame, to_input
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

if TYPE_CHECKING:
    from typing_extensions import Self

MOST_AT_ONCE = 32
"""Crops in one call of a network whose graph takes any number: more only take memory."""

PERSON_GROW = 1.25
"""How much wider than the person a top-down network's crop is (Xiao et al., arXiv 1804.06208, and most since)."""

CPM_GROW = 368 / (200 * 41 / 35)
"""CPM was trained on people 200 * 41/35 px high in crops of 368 (target_dist 1.171 of its training prototxt)."""


class TopDown:
    """A network that looks at one thing a crop. Use it as a context manager, from one thread at a time.

    Args:
        engine: closed with this object.
        grow: how much wider than the box that it is given the network wants to see; None takes 1.57 for the zoo's cpm-person,
            else 1.25. Hands and faces come in boxes that have it already.
        scales: of what is looked at: 0.5 also cuts a crop twice as wide, in which everything is half as large. The heat maps of
            all scales are laid over each other and their mean is taken.
        pad: what a crop shows outside the frame.

    Attributes:
        spent_s: seconds so far: "crops" (cutting and normalising), "network", "points" (peaks, and the way back to the frame).
        calls: how often the network was called, and
        looked: at how many crops.

    Raises:
        UsageError: the network has PAFs, so it wants a whole picture; or scales for one that decodes in its graph.
    """

    def __init__(self, engine: Engine, *, grow: float | None = None, scales: Sequence[float] = (1.0,), pad: int = PAD_VALUE) -> None:
        manifest = engine.manifest
        if manifest.skeleton.paf_channels:
            raise UsageError(
                f"{manifest.network} ({manifest.skeleton.name}) has Part Affinity Fields: it finds everybody in a whole picture, and is no "
                "network for one person, hand or face in a crop. Run it without boxes, or give a network with heat maps alone"
            )
        if not scales or not all(0.1 <= scale <= 10 for scale in scales):
            raise UsageError(f"scales lie between 0.1 and 10, and there is at least one; got {list(scales)}")
        if grow is not None and not 0.1 <= grow <= 10:
            raise UsageError(f"a box is grown by a factor between 0.1 and 10 before it is cut out; got {grow:g}")
        if tuple(scales) != (1.0,) and manifest.decodes:
            raise UsageError(
                f"{manifest.network} finds peaks in its graph, so maps of several scales cannot be laid over each other; "
                "export it without --decode in-graph, or leave --scales out"
            )
        self.engine, self.manifest = engine, manifest
        self.grow = grow if grow is not None else CPM_GROW if manifest.network == "cpm-person" else PERSON_GROW
        self.scales, self._pad = tuple(float(scale) for scale in scales), pad
        self._parser = PafParser(manifest.skeleton)
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
        """A line for people: network, size, precision, library, crops a call."""
        width, height = self.manifest.input.size_wh
        calls = f"up to {self.at_once} crops a call" if self.at_once > 1 else "one crop a call (exported with --batch 8 it takes 8)"
        return f"{self.manifest.network} {width}x{height}, {self.engine.precision}, {self.engine.backend}, {calls}"

    def __call__(
        self, frame: NDArray[np.uint8], boxes: NDArray[np.floating] | None = None, *, ids: NDArray[np.int64] | None = None
    ) -> People:
        """One person in each box.

        Args:
            frame: (H, W, 3) uint8 BGR.
            boxes: (M, 4): x, y, width, height of people in pixels of the frame (pixel i spans i to i + 1), as a detector or tracker gives
                them; None takes the whole frame, without growing it.
            ids: (M,) int64 of a tracker.

        Returns:
            M people in the order of the boxes, in pixels of the frame; one of whom nothing was found has scores of 0.

        Raises:
            UsageError: boxes that are none, or lie outside the frame.
            PosetrtError: the frame is no such array, or the network failed.
        """
        check_frame(frame)
        if boxes is None:
            places = grown(whole_frame(frame.shape), self.manifest.input.size_wh)
        else:
            places = grown(check_boxes(boxes, frame.shape), self.manifest.input.size_wh, self.grow)
        keypoints = self.look(frame, places)
        return People(keypoints, keypoints[..., 2].mean(axis=1), ids)

    def look(self, frame: NDArray[np.uint8], boxes: NDArray[np.float32], mirrored: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """Key points in crops that are cut out as they are given, as many crops as the network takes in one call.

        Args:
            frame: (H, W, 3) uint8 BGR.
            boxes: (M, 4) float32 with area; they are widened to the proportions of the network's input.
            mirrored: (M,) which crops the network is to see mirrored; their points are mirrored back.

        Returns:
            (M, K, 3) float32 in pixels of the frame; score 0 where nothing was found.
        """
        size, count = self.manifest.input.size_wh, len(boxes)
        mirrored = np.zeros(count, np.bool_) if mirrored is None else mirrored
        found = np.zeros((count, len(self.skeleton.parts), 3), np.float32)
        boxes = grown(boxes, size)
        # Every scale of a box in turn, so that the maps of one box come one after the other.
        wide = np.stack([grown(boxes, size, 1 / scale) for scale in self.scales], axis=1).reshape(-1, 4)
        turned = mirrored.repeat(len(self.scales))
        step = max(1, self.at_once // len(self.scales)) * len(self.scales)
        for start in range(0, len(wide), step):
            chunk = slice(start, start + step)
            own = slice(start // len(self.scales), (start + step) // len(self.scales))
            found[own] = self._chunk(frame, wide[chunk], turned[chunk])
        began = time.perf_counter()
        points = to_frame(found, self.manifest.stride, boxes, mirrored, size)
        self.spent_s["points"] += time.perf_counter() - began
        return points

    def _chunk(self, frame: NDArray[np.uint8], boxes: NDArray[np.float32], mirrored: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(M, K, 3) in cells of the boxes at scale 1, of crops whose scales stand one after the other."""
        times = [time.perf_counter()]
        spec = self.manifest.input
        canvases = cut(frame, boxes, mirrored, spec.size_wh, self._pad)
        tensor = np.concatenate([to_input(canvas, spec) for canvas in canvases])
        times.append(time.perf_counter())
        maps: list[NDArray[np.floating]] = []
        found: list[People] = []
        for start in range(0, len(tensor), self.at_once):
            outputs = self.engine.infer(tensor[start : start + self.at_once])
            self.calls += 1
            if outputs.peaks is not None:
                found += self._parser.parse_outputs(outputs)
            elif outputs.heatmaps is not None:
                # The engine's own buffers are filled again by its next call.
                maps += list(outputs.heatmaps.copy() if len(tensor) > self.at_once else outputs.heatmaps)
        self.looked += len(boxes)
        times.append(time.perf_counter())
        if maps:
            each = len(self.scales)
            merged = (merged_maps(maps[start : start + each], self.scales) for start in range(0, len(maps), each))
            found = [self._parser.parse(one) for one in merged]
        points: NDArray[np.float32] = np.zeros((len(found), len(self.skeleton.parts), 3), np.float32)
        for place, people in zip(points, found, strict=True):
            if len(people):
                place[:] = people.keypoints[0]
        times.append(time.perf_counter())
        for name, since, until in zip(self.spent_s, times[:-1], times[1:], strict=True):
            self.spent_s[name] += until - since
        return points

    def warm_up(self) -> None:
        """Call the network once, so that its first real crop does not wait for what it sets up."""
        spec = self.manifest.input
        self.engine.infer(to_input(np.full((spec.size_wh[1], spec.size_wh[0], 3), self._pad, np.uint8), spec))

    def close(self) -> None:
        """Free the engine."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_top_down(
    path: str | Path,
    precision: str | None = None,
    backend: str = "auto",
    *,
    grow: float | None = None,
    scales: Sequence[float] = (1.0,),
    threads: int = 0,
    trust: bool = False,
) -> TopDown:
    """Open a network for one person a box: `with posetrt.open_top_down("cpm/") as person: people = person(frame, boxes)`.

    Args and errors as `engines.choose.open_engine` and `TopDown`.
    """
    return _opened(path, precision, backend, threads, trust, grow=grow, scales=scales, pad=PAD_VALUE)


def open_crop_network(path: str | Path, what: str, parts: int, precision: str | None, backend: str, threads: int, trust: bool) -> TopDown:
    """Open a network of hands or faces.

    Args:
        path: a model folder, a bare .onnx or an engine.
        what: "hand" or "face", for errors.
        parts: that such a network has: OpenPose's JSON has room for as many.

    Raises:
        UsageError: a network of something else.
    """
    network = _opened(path, precision, backend, threads, trust, grow=1.0, scales=(1.0,), pad=PAD_BLACK)
    skeleton = network.skeleton
    if len(skeleton.parts) != parts:
        network.close()
        raise UsageError(
            f"{path} finds {len(skeleton.parts)} parts ({skeleton.name}), and a {what} has {parts} here, as in OpenPose's JSON. "
            f"Give a {what} network, such as: posetrt export openpose-{what} --weights FILE -o {what}/"
        )
    return network


def _opened(
    path: str | Path,
    precision: str | None,
    backend: str,
    threads: int,
    trust: bool,
    *,
    grow: float | None,
    scales: Sequence[float],
    pad: int,
) -> TopDown:
    engine = open_engine(path, precision, backend, threads=threads, trust=trust)
    try:
        return TopDown(engine, grow=grow, scales=scales, pad=pad)
    except UsageError as error:
        engine.close()
        raise UsageError(f"{path}: {error}") from error
