"""People at several scales, as papers report them: the maps of each scale brought to one size, averaged, then parsed.

Source: OpenPose (Cao et al., arXiv 1812.08008), whose figures on COCO are of scales 0.5, 1, 1.5 and 2; CPM (arXiv 1602.00134).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.engines.base import Outputs
from posetrt.runtime.errors import UsageError
from posetrt.runtime.find.scales import cubic_weights
from posetrt.runtime.letterbox import Letterbox, cells_to_frame, check_frame, letterbox_for, place, to_input
from posetrt.runtime.people import People
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
        spec = pose.manifest.input
        if not scales or not all(0.05 <= scale <= 20 for scale in scales):
            raise UsageError(
                f"scales are one or more numbers between 0.05 and 20, as 0.5,1,1.5; got {','.join(map(str, scales)) or 'none'}"
            )
        if pose.manifest.decodes:
            raise UsageError(
                "the graph finds the people's parts itself and gives no maps to average; export the network without --decode in-graph"
            )
        if not spec.dynamic:
            raise UsageError(
                f"the graph takes {spec.size_wh[0]}x{spec.size_wh[1]} alone, and scales need other sizes; export the network again with: "
                f"posetrt export … --input-size {spec.size_wh[0]}x{spec.size_wh[1]} --dynamic -o FOLDER"
            )
        self._pose = pose
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
        manifest = self._pose.manifest
        frame_wh = (frame.shape[1], frame.shape[0])
        common = letterbox_for(frame_wh, self._largest)
        heatmaps: list[NDArray[np.float32]] = []
        pafs: list[NDArray[np.float32]] = []
        for size in self._sizes:
            box = letterbox_for(frame_wh, size)
            outputs = self._pose.engine.infer(to_input(place(frame, box), manifest.input))
            for maps, kept in ((outputs.heatmaps, heatmaps), (outputs.pafs, pafs)):
                if maps is not None:
                    kept.append(resample(np.asarray(maps[0], np.float32), box, common, manifest.stride))
        averaged = Outputs(np.mean(heatmaps, axis=0)[None], np.mean(pafs, axis=0)[None] if pafs else None)
        people = self._pose.parser.parse_outputs(averaged)[0]
        return replace(people, keypoints=cells_to_frame(people.keypoints, manifest.stride, common))


def resample(maps: NDArray[np.float32], box: Letterbox, common: Letterbox, stride: int) -> NDArray[np.float32]:
    """Maps of one placement of a frame as those of another: cell for cell the same place of the frame, cubic between cells.

    Args:
        maps: (C, h, w) of the network at `box`.
        common: the placement wanted.
        stride: network px a cell.

    Returns:
        (C, H, W) float32 for `common`.
    """
    if box == common:
        return maps
    # Cell centres sit at integers: (cell + 0.5) * stride / scale - 0.5 is the same pixel of the frame in both.
    across, down = (
        cubic_weights(
            (np.arange(common.size_wh[axis] // stride) + 0.5) * (box.scale_xy[axis] / common.scale_xy[axis]) - 0.5, maps.shape[2 - axis]
        )
        for axis in (0, 1)
    )
    return np.asarray(down @ maps @ across.T, np.float32)


def _scaled(size_wh: tuple[int, int], scale: float) -> tuple[int, int]:
    if scale == 1:
        return size_wh
    width, height = (max(_MULTIPLE, round(side * scale / _MULTIPLE) * _MULTIPLE) for side in size_wh)
    return width, height
