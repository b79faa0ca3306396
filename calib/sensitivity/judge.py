"""The judge: the people that a graph finds on fixed photographs, to be compared with what the float32 graph finds there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.accuracy.agreement import Agreement, agreement
from posetrt.calib.int8.photographs import read_photograph
from posetrt.runtime.engines.onnxruntime import open_session
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.heads.base import Tensors
from posetrt.runtime.model.manifest import Manifest
from posetrt.runtime.people import People
from posetrt.runtime.picture import cut, to_input, whole_picture
from posetrt.runtime.placement import Placement, closer, whole_in

Runner = Callable[[NDArray[Any]], Tensors]
# A photograph in the network's input, and how it was placed.
_Placed = tuple[NDArray[np.uint8], Placement]


# How far a photograph is moved right and down for each position in which it is looked at, in cells of the maps: no two fall on the same
# fraction of a cell, so that another rounding decides about each doubtful person.
SHIFTS = ((0.0, 0.0), (0.4, 0.7), (0.8, 0.3), (0.2, 1.1))


_LEAST_STEP_PX = 8
"""By parts of so many pixels photographs are moved at least: networks that give rows have cells of 8 and more inside."""


class Judge:
    """Photographs held letterboxed in memory (0.35 MB each at 456x256), on which a graph finds people.

    Args:
        manifest: of the network.
        paths: photographs that calibrated nothing; unreadable ones are left out.
        positions: in how many positions each is looked at, 1 to 4: as it is, then moved by parts of a cell behind a grey border. A figure
            from few photographs hangs on a handful of doubtful people, and its mean over positions less so.
        aside: move each one pixel of the network's input further; its last row and column are lost.

    Raises:
        PosetrtError: none of them can be read.
    """

    def __init__(self, manifest: Manifest, paths: Sequence[Path], positions: int = 1, *, aside: bool = False) -> None:
        self.manifest = manifest
        self.positions = positions
        self._decoder = manifest.head.decoder(manifest.skeleton)
        self.paths: list[Path] = []
        placed: list[list[_Placed]] = [[] for _ in range(positions)]
        for path in paths:
            try:
                frame = read_photograph(path)
            except (OSError, PosetrtError):
                continue
            for where, shift in zip(placed, SHIFTS, strict=False):
                where.append(_placed(frame, manifest, shift, aside))
            self.paths.append(path)
        self._placed = [one for where in placed for one in where]
        if not self._placed:
            raise PosetrtError(f"none of the {len(paths)} photographs to judge by can be read")

    def __len__(self) -> int:
        return len(self.paths)

    def one_input(self) -> NDArray[Any]:
        """The network's input for one of the photographs."""
        return to_input(self._placed[0][0], self.manifest.input)

    def outputs(self, run: Runner) -> list[Tensors]:
        """What the network gives for each photograph in the first position, then for each in the second, and so on."""
        return [run(to_input(canvas, self.manifest.input)) for canvas, _ in self._placed]

    def people(self, run: Runner) -> list[People]:
        """The people of each photograph in the first position, then of each in the second, and so on; in pixels of the photograph.

        A network that looks twice looks again where its first look says, as it does in use: rounding moves the second crop as well. That is
        cut out of the first.
        """
        spec, head = self.manifest.input, self.manifest.head
        found = []
        for canvas, placement in self._placed:
            tensors, seen = run(to_input(canvas, spec)), placement
            again = head.next_crop(tensors, placement.size_wh)
            inner = closer(placement.size_wh, *again[0].tolist()) if again is not None else None
            if inner is not None:
                tensors, seen = run(to_input(cut(canvas, inner, spec.fit.pad), spec)), placement.then(inner)
            found.append(seen.people_to_frame(self._decoder.decode(tensors, placement.size_wh)[0]))
        return found

    def compare(self, reference: Sequence[People], run: Runner) -> Agreement:
        """How far a graph's people agree with those of the reference."""
        return agreement(reference, self.people(run), self.manifest.skeleton)


def _placed(frame: NDArray[np.uint8], manifest: Manifest, shift: tuple[float, float], aside: bool) -> _Placed:
    """A photograph in the network's input, moved by parts of a cell, and with `aside` by a pixel more."""
    import cv2

    spec, frame_wh = manifest.input, (frame.shape[1], frame.shape[0])
    scale = whole_in(frame_wh, spec.size_wh, spec.fit.how).scale_xy
    stride = max(manifest.head.map_stride(), _LEAST_STEP_PX)
    left, top = (round(cells * stride / per_pixel) for cells, per_pixel in zip(shift, scale, strict=True))
    if left or top:
        frame = np.asarray(cv2.copyMakeBorder(frame, top, 0, left, 0, cv2.BORDER_CONSTANT, value=(spec.fit.pad,) * 3), np.uint8)
    canvas, placement = whole_picture(frame, spec)
    if aside:
        canvas = np.asarray(cv2.copyMakeBorder(canvas[:-1, :-1], 1, 0, 1, 0, cv2.BORDER_CONSTANT, value=(spec.fit.pad,) * 3), np.uint8)
    # What lies at x, y of the photograph lies at x + left, y + top of what was placed.
    (a, b, c), (d, e, f) = placement.matrix
    moved = (a, b, c + a * left + b * top + aside), (d, e, f + d * left + e * top + aside)
    return canvas, Placement(placement.size_wh, moved)


def runner(model: Any, manifest: Manifest, *, fused: bool = True, inner: Sequence[str] = ()) -> Runner:
    """A ModelProto on ONNX Runtime.

    Args:
        fused: let ONNX Runtime put Q/DQ and operators together into 8-bit kernels. Without, the graph computes in float with each value
            rounded to its 8-bit grid: what TensorRT's layout says, whatever ONNX Runtime makes of it.
        inner: outputs of the model that are given beside those of the head.
    """
    import onnxruntime

    def configure(options: Any) -> None:
        if not fused:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC

    session = open_session(model.SerializeToString(), configure)
    names = list(dict.fromkeys([*manifest.head.outputs.values(), *inner]))

    def run(tensor: NDArray[Any]) -> Tensors:
        values = session.run(names, {manifest.input.name: tensor})
        return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}

    return run
