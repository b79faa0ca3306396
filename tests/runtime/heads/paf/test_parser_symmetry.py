"""What must not change what the parser finds: mirroring, shifting, company, the order of channels, float16."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from posetrt.calib.scenes.drawn import Scene, draw_scene
from posetrt.runtime.heads.paf.layout import MapLayout, load_layout
from posetrt.runtime.heads.paf.parser import PafParser
from posetrt.runtime.model.skeleton import Skeleton

LAYOUT = load_layout("coco18")
COCO18 = LAYOUT.skeleton
SHAPE = (40, 60)
SCENES = st.builds(
    lambda people, seed, noise: draw_scene(people, LAYOUT, SHAPE, seed, noise=noise),
    st.integers(1, 6),
    st.integers(0, 10_000),
    st.sampled_from([0.005, 0.02]),
)
few = settings(max_examples=25, deadline=None)


def found(heatmaps: NDArray[np.floating], pafs: NDArray[np.floating], layout: MapLayout = LAYOUT) -> NDArray[np.float32]:
    return PafParser(layout).parse(heatmaps, pafs).keypoints


def mirrored(points: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    points = points[:, list(COCO18.mirror)].copy()
    points[..., 0] = np.where(points[..., 2] > 0, width - 1 - points[..., 0], 0)
    return points


def close(one: NDArray[np.float32], other: NDArray[np.float32], tolerance: float = 2e-3) -> None:
    """The same people in any order, no number further apart than the tolerance."""
    assert one.shape == other.shape
    apart = np.abs(one[:, None] - other[None]).max(axis=(2, 3), initial=0)
    assert (apart[linear_sum_assignment(apart)] <= tolerance).all(), apart.round(4)


@few
@given(SCENES)
def test_mirrored_maps_give_mirrored_people(scene: Scene) -> None:
    order = [*COCO18.mirror, len(COCO18.parts)]
    heatmaps = scene.heatmaps[order, :, ::-1]
    pafs = np.empty_like(scene.pafs)
    for limb, (x, y) in zip(COCO18.limbs, LAYOUT.paf_channels, strict=True):
        partner = COCO18.limbs.index((COCO18.mirror[limb[0]], COCO18.mirror[limb[1]]))
        to_x, to_y = LAYOUT.paf_channels[partner]
        pafs[to_x], pafs[to_y] = -scene.pafs[x, :, ::-1], scene.pafs[y, :, ::-1]
    close(mirrored(found(heatmaps, pafs), SHAPE[1]), found(scene.heatmaps, scene.pafs))


@few
@given(SCENES, st.integers(0, 9), st.integers(0, 9))
def test_shifted_maps_give_shifted_people(scene: Scene, right: int, down: int) -> None:
    def placed(x: int, y: int) -> NDArray[np.float32]:
        # A frame of zeros around the scene, wide enough that no border moves a peak.
        return np.concatenate([np.pad(maps, ((0, 0), (1 + y, 10 - y), (1 + x, 10 - x))) for maps in (scene.heatmaps, scene.pafs)])

    still, moved = placed(0, 0), placed(right, down)
    expected = found(still[:19], still[19:])
    expected[..., :2] += np.where(expected[..., 2:] > 0, (right, down), 0)
    close(found(moved[:19], moved[19:]), expected)


@few
@given(SCENES, SCENES)
def test_two_far_scenes_side_by_side_give_the_people_of_both(left: Scene, right: Scene) -> None:
    gap = 20
    heatmaps, pafs = (
        np.concatenate([one, np.zeros((len(one), SHAPE[0], gap), np.float32), other], axis=2)
        for one, other in ((left.heatmaps, right.heatmaps), (left.pafs, right.pafs))
    )
    alone = []
    for scene, before, after in ((left, 0, gap + SHAPE[1]), (right, SHAPE[1] + gap, 0)):
        padded = [np.pad(maps, ((0, 0), (0, 0), (before, after))) for maps in (scene.heatmaps, scene.pafs)]
        alone.append(found(*padded))
    close(found(heatmaps, pafs), np.concatenate(alone))


@few
@given(SCENES, st.randoms(use_true_random=False))
def test_the_order_of_channels_changes_nothing(scene: Scene, random: object) -> None:
    rng = np.random.default_rng(random.getrandbits(32))  # type: ignore[attr-defined]
    parts, limbs, channels = rng.permutation(18), rng.permutation(19), rng.permutation(38)
    new_part, new_channel = np.argsort(parts), np.argsort(channels)
    skeleton = Skeleton(
        "shuffled",
        tuple(COCO18.parts[part] for part in parts),
        tuple((int(new_part[COCO18.limbs[limb][0]]), int(new_part[COCO18.limbs[limb][1]])) for limb in limbs),
    )
    shuffled = MapLayout(
        skeleton,
        tuple((int(new_channel[LAYOUT.paf_channels[limb][0]]), int(new_channel[LAYOUT.paf_channels[limb][1]])) for limb in limbs),
    )
    people = found(scene.heatmaps[[*parts, 18]], scene.pafs[channels], shuffled)
    close(people[:, new_part], found(scene.heatmaps, scene.pafs), 1e-5)


@few
@given(SCENES)
def test_float16_moves_no_key_point_by_more_than_a_twentieth_of_a_cell(scene: Scene) -> None:
    # A frame of zeros: at the border a peak has its cell's centre, and float16 may make two cells equal.
    heatmaps, pafs = (np.pad(maps, ((0, 0), (1, 1), (1, 1))) for maps in (scene.heatmaps, scene.pafs))
    close(found(heatmaps.astype(np.float16), pafs.astype(np.float16)), found(heatmaps, pafs), 0.05)
