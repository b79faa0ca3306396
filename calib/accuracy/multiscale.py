"""People at several scales, as papers report them: the maps of each scale brought to one size, averaged, then parsed.

Source: OpenPose (Cao et al., arXiv 1812.08008), whose figures on COCO are of scales 0.5, 1, 1.5 and 2; CPM (arXiv 1602.00134).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError
from posetrt.runtime.find.scales import cubic_weights
from posetrt.runtime.people import People
from posetrt.runtime.placement import Placement, check_frame, letterbox
from posetrt.runtime.pose import Pose

_MULTIPLE = 32
"""Sizes are whole multiples of this, so that every stride in use divides them."""


class MultiScale:
    """A `Pose` that looks at each frame at several sizes; called as a `Pose` is.

    Args:
        pose: of a graph whose size is open, and that gives maps.
        scales: of the size that the model is meant for.

    Raises:
        UsageError: no scale, or not a positive one; the size is fixed or its range too small; or the graph decodes.
    """

    def __init__(self, pose: Pose, scales: Sequence[float]) -> None:
        whole = pose.whole
        if whole is None:
            raise UsageError("several scales of a whole frame need a network that looks at whole frames")
        spec, head = whole.manifest.input, whole.manifest.head
        if not scales or not all(0.05 <= scale <= 20 for scale in scales):
            raise UsageError(
                f"scales are one or more numbers between 0.05 and 20, as 0.5,1,1.5; got {','.join(map(str, scales)) or 'none'}"
            )
        if set(head.outputs) - set(head.maps):
            raise UsageError(
                f"the network gives no maps to average (head {head.summary()}); export it without --decode in-graph, or leave --scales out"
            )
        if not spec.dynamic:
            raise UsageError(
                f"the graph takes {spec.size_wh[0]}x{spec.size_wh[1]} alone, and scales need other sizes; export the network again with: "
                f"posetrt export … --input-size {spec.size_wh[0]}x{spec.size_wh[1]} --dynamic -o FOLDER"
            )
        self._whole = whole
        self._sizes = [_scaled(spec.size_wh, scale) for scale in scales]
        for scale, size in zip(scales, self._sizes, strict=True):
            if any(not low <= side <= high for low, side, high in zip(spec.min_wh, size, spec.max_wh, strict=True)):
                raise UsageError(
                    f"scale {scale:g} is {size[0]}x{size[1]}, and this graph takes {spec.min_wh[0]}x{spec.min_wh[1]} to "
                    f"{spec.max_wh[0]}x{spec.max_wh[1]}; leave the scale out, or export with another --input-size"
                )
        self._largest = max(self._sizes)

    def __call__(self, frame: NDArray[np.uint8]) -> People:
        """Find the people in a frame; see `Pose.__call__`."""
        check_frame(frame)
        head, fit = self._whole.manifest.head, self._whole.manifest.input.fit
        common = letterbox((frame.shape[1], frame.shape[0]), self._largest, fit.how)
        seen: dict[str, list[NDArray[np.float32]]] = {}
        for size in self._sizes:
            prepared = self._whole.prepare(frame, size)
            tensors = self._whole.engine.infer(prepared.tensor)
            for name in head.outputs.values():
                maps = np.asarray(tensors[name][0], np.float32)
                seen.setdefault(name, []).append(resample(maps, prepared.placements[0], common, head.map_stride()))
        return self._whole.decode({name: np.mean(maps, axis=0)[None] for name, maps in seen.items()}, [common])[0]


def resample(maps: NDArray[np.float32], placement: Placement, common: Placement, stride: int) -> NDArray[np.float32]:
    """Maps of one placement of a frame as those of another: cell for cell the same place of the frame, cubic between cells.

    Args:
        maps: (C, h, w) of the network at `placement`.
        common: the placement wanted.
        stride: network px a cell.

    Returns:
        (C, H, W) float32 for `common`.
    """
    if placement == common:
        return maps
    # From cells of the one through the frame to cells of the other; both are upright.
    across, down = (
        cubic_weights(_cells(placement, common, axis, np.arange(common.size_wh[axis] // stride), stride), maps.shape[2 - axis])
        for axis in (0, 1)
    )
    return np.asarray(down @ maps @ across.T, np.float32)


def _cells(placement: Placement, common: Placement, axis: int, cells: NDArray[np.int64], stride: int) -> NDArray[np.float64]:
    """Where cells of `common` lie along an axis among those of `placement`, centres at integers."""
    frame = ((cells + 0.5) * stride - common.matrix[axis][2]) / common.matrix[axis][axis]
    return np.asarray((frame * placement.matrix[axis][axis] + placement.matrix[axis][2]) / stride - 0.5, np.float64)


def _scaled(size_wh: tuple[int, int], scale: float) -> tuple[int, int]:
    if scale == 1:
        return size_wh
    width, height = (max(_MULTIPLE, round(side * scale / _MULTIPLE) * _MULTIPLE) for side in size_wh)
    return width, height
