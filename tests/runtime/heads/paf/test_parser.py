"""The parser: what a robot reads from a network's maps."""

from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from posetrt.bench.parser_benchmark import bench_recorded, score_people
from posetrt.calib.scenes.drawn import draw_scene
from posetrt.calib.scenes.targets import draw_targets
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.paf.layout import MapLayout, load_layout
from posetrt.runtime.heads.paf.parser import PafParser

LAYOUT = load_layout("coco18")
COCO18 = LAYOUT.skeleton
Maps = tuple[NDArray[np.float32], NDArray[np.float32]]


def garbage(kind: str) -> Maps:
    """Maps of a frame on which a network has failed."""
    rng = np.random.default_rng(0)
    heatmaps = {
        "ones": np.ones((19, 46, 82), np.float32),
        "zeros": np.zeros((19, 46, 82), np.float32),
        "nan": np.full((19, 46, 82), np.nan, np.float32),
        "infinity": np.full((19, 46, 82), np.inf, np.float32),
        "half infinity": np.where(rng.random((19, 46, 82)) < 0.5, np.inf, 0.5).astype(np.float32),
    }[kind]
    return heatmaps, np.repeat(heatmaps[:1], 38, axis=0)


@pytest.mark.parametrize("kind", ["ones", "zeros", "nan", "infinity", "half infinity"])
def test_a_failed_network_gives_nobody_and_no_warning(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(PafParser(LAYOUT).parse(*garbage(kind))) == 0


def test_maps_of_another_skeleton_are_refused_with_the_shapes() -> None:
    parser = PafParser(LAYOUT)
    with pytest.raises(UsageError, match=r"\(18 or 19, h, w\), not \(26, 46, 82\)"):
        parser.parse(np.zeros((26, 46, 82), np.float32), np.zeros((52, 46, 82), np.float32))
    with pytest.raises(UsageError, match=r"PAFs must have shape \(38, 46, 82\) .*, not \(26, 46, 82\)"):
        parser.parse(np.zeros((19, 46, 82), np.float32), np.zeros((26, 46, 82), np.float32))


def test_an_unknown_setting_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="peak_threshold"):
        PafParser(LAYOUT, peek_threshold=0.2)


def test_tensors_that_the_graph_decoded_become_people() -> None:
    peaks = np.zeros((1, 18, 4, 3), np.float32)
    pairs = np.zeros((1, 19, 4, 4), np.float32)
    peaks[0, :, 0] = np.stack([np.arange(18), np.arange(18) * 2, np.full(18, 0.9)], axis=1)
    pairs[0, :, 0, 0] = 0.8
    people = PafParser(LAYOUT).parse_decoded(peaks[0], pairs[0])
    np.testing.assert_array_equal(people.keypoints, peaks[:, :, 0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_maps_in_any_memory_order_give_the_same_people(dtype: type[np.floating]) -> None:
    scene = draw_scene(3, LAYOUT, (46, 82), 1)
    heatmaps, pafs = scene.heatmaps.astype(dtype), scene.pafs.astype(dtype)
    expected = PafParser(LAYOUT).parse(heatmaps, pafs)
    assert len(expected) >= 3
    channels_last = [np.ascontiguousarray(maps.transpose(1, 2, 0)).transpose(2, 0, 1) for maps in (heatmaps, pafs)]
    for order in (channels_last, [np.asfortranarray(maps) for maps in (heatmaps, pafs)]):
        np.testing.assert_array_equal(PafParser(LAYOUT).parse(*order).keypoints, expected.keypoints)


def test_the_maps_that_a_camera_gave_are_not_written_to() -> None:
    scene = draw_scene(3, LAYOUT, (46, 82), 1)
    scene.heatmaps.flags.writeable = scene.pafs.flags.writeable = False
    assert len(PafParser(LAYOUT).parse(scene.heatmaps, scene.pafs)) >= 3


def test_people_found_in_one_frame_stay_as_they_are_when_the_next_is_parsed() -> None:
    parser = PafParser(LAYOUT)
    first, second = (draw_scene(3, LAYOUT, (46, 82), seed) for seed in (1, 2))
    people = parser.parse(first.heatmaps, first.pafs)
    before = people.keypoints.copy(), people.scores.copy()
    parser.parse(second.heatmaps, second.pafs)
    np.testing.assert_array_equal(people.keypoints, before[0])
    np.testing.assert_array_equal(people.scores, before[1])


def test_a_batch_of_cameras_gives_each_its_own_people() -> None:
    scenes = [draw_scene(people, LAYOUT, (46, 82), 4) for people in (1, 5)]
    batch = PafParser(LAYOUT).parse_batch(np.stack([s.heatmaps for s in scenes]), np.stack([s.pafs for s in scenes]))
    for people, scene in zip(batch, scenes, strict=True):
        np.testing.assert_array_equal(people.keypoints, PafParser(LAYOUT).parse(scene.heatmaps, scene.pafs).keypoints)


def test_a_hundred_frames_need_no_more_memory_than_one() -> None:
    scene = draw_scene(20, LAYOUT, (46, 82), 0)
    parser = PafParser(LAYOUT)
    parser.parse(scene.heatmaps, scene.pafs)
    tracemalloc.start()
    try:
        parser.parse(scene.heatmaps, scene.pafs)
        after_one = tracemalloc.get_traced_memory()[0]
        for _ in range(100):
            parser.parse(scene.heatmaps, scene.pafs)
        grown = tracemalloc.get_traced_memory()[0] - after_one
    finally:
        tracemalloc.stop()
    assert grown < 20_000, f"{grown} bytes more after a hundred frames"


def test_noise_everywhere_is_bounded_work() -> None:
    rng = np.random.default_rng(0)
    heatmaps = rng.random((19, 46, 82), dtype=np.float32)
    pafs = rng.uniform(-1, 1, (38, 46, 82)).astype(np.float32)
    parser = PafParser(LAYOUT)
    peaks = parser._peaks.find(heatmaps)
    assert peaks.counts.max() == parser.settings.max_peaks
    with np.errstate(all="ignore"):
        assert len(parser._pairs.score(pafs, peaks).score) <= parser.settings.max_pairs


def test_of_too_many_peaks_the_best_stay() -> None:
    maps = np.zeros((18, 40, 40), np.float32)
    maps[3, ::4, ::4] = np.random.default_rng(0).permutation(np.linspace(0.2, 0.9, 100)).reshape(10, 10)
    peaks = PafParser(LAYOUT, max_peaks=7)._peaks.find(maps)
    np.testing.assert_allclose(np.sort(peaks.points[2, peaks.part == 3]), np.linspace(0.2, 0.9, 100)[-7:], rtol=1e-6)


def test_an_infinite_value_is_no_peak_and_the_people_elsewhere_are_found() -> None:
    scene = draw_scene(2, LAYOUT, (46, 82), 0)
    expected = PafParser(LAYOUT).parse(scene.heatmaps, scene.pafs)
    nose = COCO18.parts.index("Nose")
    x, y, _ = expected.keypoints[0, nose]
    scene.heatmaps[nose, int(y + 0.5), int(x + 0.5)] = np.inf
    people = PafParser(LAYOUT).parse(scene.heatmaps, scene.pafs)
    assert len(people) == len(expected) == 2
    assert np.isfinite(people.keypoints).all()
    assert np.isfinite(people.scores).all()
    for before in expected.keypoints:
        apart = np.abs(people.keypoints - before).max(axis=2)
        apart[:, nose] = 0
        assert apart.max(axis=1).min() < 1e-3


@pytest.mark.parametrize("samples", [5, 8, 12])
def test_any_number_of_samples_finds_people_with_limbs_shorter_than_a_cell(samples: int) -> None:
    scene = draw_scene(20, LAYOUT, (46, 82), 0)
    ends = scene.keypoints[:, np.array(COCO18.limbs)]
    seen = (ends[..., 2] > 0).all(axis=2)
    assert (np.linalg.norm(ends[:, :, 0, :2] - ends[:, :, 1, :2], axis=2)[seen] < 1).any()
    accuracy = score_people([PafParser(LAYOUT, samples=samples).parse(scene.heatmaps, scene.pafs)], [scene], COCO18)
    assert accuracy.recall > 0.9


def small_leg(layout: MapLayout, people: int) -> Maps:
    """People in a row whose hips lie less than a cell from their mid-hip; the PAFs between those are empty, as training code may draw them."""
    standing = {"Nose": (0, -2), "Neck": (0, 0), "RShoulder": (-2, 0), "LShoulder": (2, 0), "MidHip": (0, 5)}
    legs = {"RHip": (-0.6, 5.3), "RKnee": (-1, 8), "RAnkle": (-1, 11), "LHip": (0.6, 5.3), "LKnee": (1, 8), "LAnkle": (1, 11)}
    skeleton, points = layout.skeleton, np.zeros((people, 25, 3))
    for number, person in enumerate(points):
        for name, (x, y) in (standing | legs).items():
            person[skeleton.parts.index(name)] = (40 + 80 * number + 8 * x, 40 + 8 * y, 1)
    maps = draw_targets(points, layout, (80 * people + 40, 160))
    middle = skeleton.parts.index("MidHip")
    for limb, channels in zip(skeleton.limbs, layout.paf_channels, strict=True):
        if limb[0] == middle:
            maps.pafs[list(channels)] = 0
    return maps.heatmaps, maps.pafs


def test_peaks_that_nearly_touch_are_joined_though_no_cell_holds_their_paf() -> None:
    layout = load_layout("body25")
    people = PafParser(layout).parse(*small_leg(layout, 3))
    assert len(people) == 3
    assert ((people.keypoints[..., 2] > 0).sum(axis=1) == 11).all()


def test_people_as_weak_as_textures_are_doubted_and_can_be_had() -> None:
    scene = draw_scene(1, LAYOUT, (46, 82), 3, noise=0)
    weak = scene.heatmaps * np.float32(0.2), scene.pafs * np.float32(0.2)
    assert len(PafParser(LAYOUT).parse(*weak)) == 0
    (score,) = PafParser(LAYOUT, min_score=0.3).parse(*weak).scores
    assert 0.3 < score < 0.5


def test_a_weak_peak_on_the_limb_is_not_taken_for_the_joint_at_its_end() -> None:
    """The PAF joins both equally well, as it fills the limb between; what tells them apart is how high they are."""
    scene = draw_scene(1, LAYOUT, (46, 82), 3)
    clean = PafParser(LAYOUT).parse(scene.heatmaps, scene.pafs)
    heatmaps, rows, columns = scene.heatmaps.copy(), *np.indices((46, 82))
    for shoulder, elbow in ((2, 3), (5, 6), (8, 9), (11, 12)):
        x, y = (0.35 * scene.keypoints[0, shoulder] + 0.65 * scene.keypoints[0, elbow])[:2]
        ghost = 0.35 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 2)
        heatmaps[elbow] = np.maximum(heatmaps[elbow], ghost)
    people = PafParser(LAYOUT).parse(heatmaps, scene.pafs)
    assert len(people) == len(clean) == 1
    assert np.abs(people.keypoints - clean.keypoints)[..., :2].max() < 0.6


def test_a_limb_longer_than_half_the_picture_is_doubted() -> None:
    """A weak PAF everywhere joins what is near, and nothing across the picture; a strong one still does."""
    neck, shoulder = COCO18.limbs[0]
    x_channel, _ = LAYOUT.paf_channels[0]
    parser, scores = PafParser(LAYOUT), {}
    for strength in (0.3, 0.9):
        for length in (10, 20, 30):
            heatmaps, pafs = np.zeros((19, 32, 57), np.float32), np.zeros((38, 32, 57), np.float32)
            heatmaps[neck, 16, 5] = heatmaps[shoulder, 16, 5 + length] = 0.9
            pafs[x_channel] = strength
            pairs = parser._pairs.score(pafs, parser._peaks.find(heatmaps))
            scores[strength, length] = pairs.score.tolist()
    assert scores[0.3, 10] == pytest.approx([0.3])
    assert scores[0.3, 20] == pytest.approx([0.3 + 16 / 20 - 1])
    assert scores[0.3, 30] == []
    assert scores[0.9, 30] == pytest.approx([0.9 + 16 / 30 - 1])


def test_a_limb_that_contradicts_better_ones_is_ignored() -> None:
    peaks, pairs = np.zeros((18, 2, 3), np.float32), np.zeros((19, 2, 2), np.float32)
    peaks[:, 0] = np.stack([np.arange(18), np.zeros(18), np.full(18, 0.9)], axis=1)
    peaks[:, 1] = np.stack([np.arange(18), np.full(18, 30), np.full(18, 0.9)], axis=1)
    pairs[:, 0, 0] = pairs[:, 1, 1] = 0.8
    ear_to_shoulder = COCO18.limbs.index((2, 16))
    pairs[ear_to_shoulder] = [[0, 0.5], [0, 0]]
    people = PafParser(LAYOUT).parse_decoded(peaks, pairs)
    assert len(people) == 2
    assert {tuple(np.unique(person[:, 1])) for person in people.keypoints} == {(0.0,), (30.0,)}


def test_detached_feet_are_not_a_person_but_all_of_them_can_be_had() -> None:
    points = np.zeros((1, 18, 3))
    points[0, 8], points[0, 9], points[0, 10] = (200, 100, 1), (200, 180, 1), (205, 250, 1)
    maps = draw_targets(points, LAYOUT, (656, 368))
    assert len(PafParser(LAYOUT).parse(maps.heatmaps, maps.pafs)) == 0
    (leg,) = PafParser(LAYOUT, preset="all").parse(maps.heatmaps, maps.pafs).keypoints
    assert np.flatnonzero(leg[:, 2]).tolist() == [8, 9, 10]


def test_the_toes_of_a_detached_leg_do_not_make_it_a_person() -> None:
    """BODY_25 has four more key points on each foot: hip, knee, ankle, heel and two toes are six parts, and one leg."""
    layout = load_layout("body25")
    skeleton = layout.skeleton
    leg = {
        "RHip": (200, 100),
        "RKnee": (200, 180),
        "RAnkle": (205, 250),
        "RHeel": (200, 262),
        "RBigToe": (230, 270),
        "RSmallToe": (216, 274),
    }
    points = np.zeros((1, 25, 3))
    for name, place in leg.items():
        points[0, skeleton.parts.index(name)] = (*place, 1)
    maps = draw_targets(points, layout, (656, 368))
    assert len(PafParser(layout).parse(maps.heatmaps, maps.pafs)) == 0
    (found,) = PafParser(layout, preset="all").parse(maps.heatmaps, maps.pafs).keypoints
    assert {skeleton.parts[part] for part in np.flatnonzero(found[:, 2])} == leg.keys()


@pytest.mark.parametrize("run", ["hpe0001_fp32_256x456", "hpe0001_int8ov_256x456", "hpe0001_fp32_368xW"])
def test_on_real_maps_ap_is_not_below_that_of_eightfold_upsampling(shared_data: Path, run: str) -> None:
    row = bench_recorded(PafParser(LAYOUT), LAYOUT, shared_data / "raw_outputs" / run, 1, shared_data / "person_keypoints.json")
    assert row["parser"]["ap"] >= row["upsampling"]["ap"]
    assert row["parser"]["ap"] > 0.43, "a published decoder reaches .43 to .48 on these photographs"
    assert row["ratio"] > 40, "three times that on a quiet machine"


@pytest.mark.parametrize(
    ("people", "noise", "recall", "precision"), [(1, 0.02, 1, 1), (10, 0.02, 1, 1), (10, 0.05, 0.93, 0.8), (50, 0.02, 0.93, 0.9)]
)
def test_crowds_are_found_to_a_fraction_of_a_pixel(people: int, noise: float, recall: float, precision: float) -> None:
    scenes = [draw_scene(people, LAYOUT, (46, 82), seed, noise=noise) for seed in range(8)]
    parser = PafParser(LAYOUT)
    accuracy = score_people([parser.parse(scene.heatmaps, scene.pafs) for scene in scenes], scenes, COCO18)
    assert accuracy.recall >= recall
    assert accuracy.precision >= precision
    assert accuracy.error_px <= (0.25 if noise < 0.05 else 0.6)


def test_settings_that_cannot_be_kept_are_refused() -> None:
    for wrong in ({"samples": 300}, {"peak_threshold": 0}):
        with pytest.raises(UsageError, match="above 0 and samples 1 to 255"):
            PafParser(LAYOUT, **wrong)
