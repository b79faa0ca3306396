"""What a network is trained to give: confidence maps, PAFs and the mask of what nobody has labelled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.paf.layout import MapLayout


@dataclass(frozen=True)
class Targets:
    """The maps of one image.

    Attributes:
        heatmaps: (J+1, h, w) float32, the background last; (J, h, w) for a layout without one.
        pafs: (2C, h, w) float32, by the layout's PAF channels; (0, h, w) for one without.
        heatmap_mask, paf_mask: same shapes, float32: W of the training loss, 0 where the annotation says nothing, else 1. Read-only.
    """

    heatmaps: NDArray[np.float32]
    pafs: NDArray[np.float32]
    heatmap_mask: NDArray[np.float32]
    paf_mask: NDArray[np.float32]


def draw_targets(
    keypoints: NDArray[np.floating],
    layout: MapLayout,
    size_wh: tuple[int, int],
    stride: int = 8,
    *,
    sigma: float = 7.0,
    limb_width: float = 8.0,
    ignore: NDArray[np.floating] | None = None,
) -> Targets:
    """Draw the maps that a perfect network would give.

    Confidence maps take the maximum over people, so that close peaks stay apart; the background is 1 less the greatest of them.
    A PAF is the mean over the people whose limb covers the cell.
    Source: arXiv 1611.08050, section 2.2 and 2.3; the defaults are those of OpenPose's training.

    Args:
        keypoints: (N, K, 3): x, y in network pixels (centres at integers), score. Score above 0: labelled; 0: known not to be in
            the image; below 0: nobody has said, so that the part's maps and its limbs' are masked inside the person's box.
        layout: which map is what.
        size_wh: of the network's input, in pixels; multiples of `stride`.
        stride: network pixels a cell.
        sigma: of the confidence maps, in network pixels: the map falls to 1/e at this distance.
        limb_width: half the width of a limb in its PAF, in network pixels.
        ignore: (M, 4): x0, y0, x1, y1 in network pixels of boxes with people whom nobody has labelled; masked in every channel.

    Raises:
        UsageError: a shape or size does not fit.
    """
    skeleton = layout.skeleton
    width, height = size_wh
    if width % stride or height % stride or width <= 0 or height <= 0:
        raise UsageError(f"size_wh must be multiples of the stride {stride}, not {width}x{height}")
    if keypoints.ndim != 3 or keypoints.shape[1:] != (len(skeleton.parts), 3):
        raise UsageError(f"key points of skeleton {skeleton.name!r} have shape (N, {len(skeleton.parts)}, 3), not {tuple(keypoints.shape)}")
    points = keypoints.astype(np.float64)
    columns, rows = _centres(width, stride), _centres(height, stride)
    heatmap_mask, paf_mask = _masks(points, layout, columns, rows, limb_width, ignore)
    return Targets(
        heatmaps=_confidence_maps(points, layout, columns, rows, sigma),
        pafs=_pafs(points, layout, columns, rows, limb_width),
        heatmap_mask=heatmap_mask,
        paf_mask=paf_mask,
    )


def _centres(pixels: int, stride: int) -> NDArray[np.float64]:
    """Where the cells' centres lie along one axis, in network pixels."""
    return (np.arange(pixels // stride, dtype=np.float64) + 0.5) * stride - 0.5


def _confidence_maps(
    points: NDArray[np.float64], layout: MapLayout, columns: NDArray[np.float64], rows: NDArray[np.float64], sigma: float
) -> NDArray[np.float32]:
    parts = len(layout.skeleton.parts)
    heatmaps = np.zeros((layout.heatmap_channels, len(rows), len(columns)), np.float32)
    for person in points:
        across = np.exp(-(((columns - person[:, :1]) / sigma) ** 2)) * (person[:, 2:] > 0)
        down = np.exp(-(((rows - person[:, 1:2]) / sigma) ** 2))
        np.maximum(heatmaps[:parts], down[:, :, None] * across[:, None, :], out=heatmaps[:parts], casting="same_kind")
    if layout.background:
        heatmaps[parts] = 1 - heatmaps[:parts].max(axis=0)
    return heatmaps


def _pafs(
    points: NDArray[np.float64], layout: MapLayout, columns: NDArray[np.float64], rows: NDArray[np.float64], limb_width: float
) -> NDArray[np.float32]:
    pafs = np.zeros((layout.paf_channel_count, len(rows), len(columns)), np.float32)
    for (first, second), (x_channel, y_channel) in zip(layout.skeleton.limbs, layout.paf_channels, strict=False):
        covering = np.zeros((len(rows), len(columns)), np.int32)
        for start, end in points[:, [first, second]]:
            way = end[:2] - start[:2]
            length = float(np.hypot(*way))
            if start[2] <= 0 or end[2] <= 0 or length == 0:
                continue
            unit = way / length
            low, high = np.minimum(start, end) - limb_width, np.maximum(start, end) + limb_width + 1e-9
            box = slice(*np.searchsorted(rows, [low[1], high[1]])), slice(*np.searchsorted(columns, [low[0], high[0]]))
            down, across = rows[box[0], None] - start[1], columns[box[1]] - start[0]
            along = unit[0] * across + unit[1] * down
            covered = (along >= 0) & (along <= length) & (np.abs(unit[0] * down - unit[1] * across) <= limb_width)
            covering[box] += covered
            pafs[x_channel][box] += covered * unit[0]
            pafs[y_channel][box] += covered * unit[1]
        pafs[[x_channel, y_channel]] /= np.maximum(covering, 1)
    return pafs


def _masks(
    points: NDArray[np.float64],
    layout: MapLayout,
    columns: NDArray[np.float64],
    rows: NDArray[np.float64],
    margin: float,
    ignore: NDArray[np.floating] | None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """W of the loss: whole boxes of `ignore`; of a person with unlabelled parts the box of the others, grown by a fifth each way."""
    grid = (len(rows), len(columns))
    shapes = (layout.heatmap_channels, *grid), (layout.paf_channel_count, *grid)
    unlabelled = points[..., 2] < 0
    if not unlabelled.any() and (ignore is None or len(ignore) == 0):
        one = np.ones((), np.float32)
        return np.broadcast_to(one, shapes[0]), np.broadcast_to(one, shapes[1])
    heatmaps, pafs = np.ones(shapes[0], np.float32), np.ones(shapes[1], np.float32)
    background = [len(layout.skeleton.parts)] * layout.background

    def inside(x0: float, y0: float, x1: float, y1: float) -> NDArray[np.bool_]:
        covered: NDArray[np.bool_] = ((rows >= y0) & (rows <= y1))[:, None] & (columns >= x0) & (columns <= x1)
        return covered

    for box in np.zeros((0, 4)) if ignore is None else ignore:
        covered = inside(*box)
        heatmaps[:, covered] = 0
        pafs[:, covered] = 0
    for person, missing in zip(points, unlabelled, strict=True):
        labelled = person[person[:, 2] > 0, :2]
        if not missing.any() or len(labelled) == 0:
            continue
        low, high = labelled.min(axis=0), labelled.max(axis=0)
        grow = 0.2 * (high - low) + margin
        covered = inside(*(low - grow), *(high + grow))
        for part in [*np.flatnonzero(missing).tolist(), *background]:
            heatmaps[part, covered] = 0
        for limb, channels in zip(layout.skeleton.limbs, layout.paf_channels, strict=False):
            if missing[list(limb)].any():
                pafs[list(channels)] *= ~covered
    heatmaps.flags.writeable = pafs.flags.writeable = False
    return heatmaps, pafs
