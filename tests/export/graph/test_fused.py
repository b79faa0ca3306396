"""uint8 in and decoding inside the graph give what the float path and the NumPy parser give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from posetrt.export.graph.fused import with_uint8_input
from posetrt.export.graph.normalisation import NORMALISATIONS
from posetrt.export.heads.fuse import with_decoding
from posetrt.export.heads.user_graph import GraphOptions, model_from_onnx
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.heatmap import HeatmapHead
from posetrt.runtime.heads.paf.layout import MapLayout, load_layout
from posetrt.runtime.heads.paf.pairs import PairScorer
from posetrt.runtime.heads.paf.parser import PafParser, ParserSettings
from posetrt.runtime.heads.paf.peaks import PeakFinder, Peaks
from posetrt.runtime.heads.subpixel import best_points
from posetrt.runtime.model.manifest import InputSpec, Manifest
from posetrt.runtime.people import People
from posetrt.runtime.picture import place, to_input
from posetrt.runtime.placement import letterbox
from tests.heads import maps_head
from tests.running import run_onnx

STRIDE = 8


def maps_only(layout: MapLayout, shape_hw: tuple[int, int], *, dynamic: bool = False, batch: int = 1) -> tuple[Any, Manifest]:
    """A graph that hands maps through: heat maps and PAFs are channels of its input, so that a test can choose them."""
    height, width = shape_hw
    channels = [layout.heatmap_channels, layout.paf_channel_count]
    outputs = ["heatmaps", "pafs"] if channels[1] else ["heatmaps"]
    nodes = [helper.make_node("Split", ["image", "sizes"], outputs, name="Split", axis=1)]
    if not channels[1]:
        nodes = [helper.make_node("Identity", ["image"], ["heatmaps"], name="Identity")]
    dims: list[Any] = [batch, sum(channels), *(("h", "w") if dynamic else shape_hw)]
    graph = helper.make_graph(
        nodes,
        "maps",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, dims)],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, count, *dims[2:]])
            for name, count in zip(outputs, channels, strict=False)
        ],
        [onnx.numpy_helper.from_array(np.array(channels, np.int64), "sizes")] if channels[1] else [],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    size = (width * STRIDE, height * STRIDE)
    least = (size[0] // 2, size[1] // 2) if dynamic else size
    spec = InputSpec("image", "NCHW", size, least, size)
    return model, Manifest("onnx", layout.skeleton, spec, maps_head(layout, stride=STRIDE))


def drawn(layout: MapLayout, shape_hw: tuple[int, int], people: int, seed: int, noise: float = 0.02) -> np.ndarray[Any, Any]:
    """Maps of people at random places, as the papers define them, with noise: (channels, h, w)."""
    rng = np.random.default_rng(seed)
    height, width = shape_hw
    y, x = np.mgrid[:height, :width]
    maps = np.zeros((layout.heatmap_channels + layout.paf_channel_count, height, width), np.float32)
    for _ in range(people):
        points = rng.uniform((0, 0), (width - 1, height - 1), (len(layout.skeleton.parts), 2))
        for part, (px, py) in enumerate(points):
            maps[part] = np.maximum(maps[part], np.exp(-((x - px) ** 2 + (y - py) ** 2) / 2.0))
        for (a, b), channels in zip(layout.skeleton.limbs, layout.paf_channels, strict=False):
            way = points[b] - points[a]
            length = max(float(np.hypot(*way)), 1e-6)
            along = ((x - points[a][0]) * way[0] + (y - points[a][1]) * way[1]) / length
            across = np.abs((x - points[a][0]) * way[1] - (y - points[a][1]) * way[0]) / length
            inside = (along >= 0) & (along <= length) & (across <= 1.0)
            for channel, component in zip(channels, way / length, strict=True):
                maps[layout.heatmap_channels + channel][inside] = component
    return maps + rng.normal(0, noise, maps.shape).astype(np.float32)


def same_people(found: People, expected: People, tolerance: float = 1e-4) -> None:
    assert len(found) == len(expected)
    np.testing.assert_allclose(found.keypoints, expected.keypoints, atol=tolerance)
    np.testing.assert_allclose(found.scores, expected.scores, atol=tolerance)


def decoded(model: Any, maps: np.ndarray[Any, Any], layout: MapLayout) -> list[People]:
    outputs = run_onnx(model, maps)
    if not layout.paf_channels:
        return [People(points.transpose(1, 0, 2), points[None, :, 0, 2].mean(axis=1)) for points in outputs["peaks"]]
    parser = PafParser(layout)
    return [parser.parse_decoded(peaks, pairs) for peaks, pairs in zip(outputs["peaks"], outputs["pairs"], strict=True)]


def parsed(maps: np.ndarray[Any, Any], layout: MapLayout) -> People:
    count = layout.heatmap_channels
    if not layout.paf_channels:
        points = best_points(maps[None, : len(layout.skeleton.parts)])
        return People(points, points[..., 2].mean(axis=1))
    return PafParser(layout).parse(maps[:count], maps[count:])


def finder(parts: int, slots: int) -> PeakFinder:
    used = ParserSettings()
    return PeakFinder(parts, threshold=used.peak_threshold, limit=slots, noisy_from=used.noisy_from, noisy_threshold=used.noisy_threshold)


@pytest.mark.parametrize("name", ["coco18", "body25", "trtpose18", "hand21"])
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_people_decoded_in_the_graph_are_the_parsers(name: str, dynamic: bool) -> None:
    layout, shape = load_layout(name), (40, 56)
    model, manifest = maps_only(layout, shape, dynamic=dynamic)
    graph, described = with_decoding(model, manifest)
    assert described.head.decoded_in_graph
    assert "heatmaps" not in described.head.outputs
    for seed, people in enumerate((0, 1, 3, 6)):
        maps = drawn(layout, shape, people, seed)
        expected = parsed(maps, layout)
        if people and layout.paf_channels:
            assert len(expected) > 0
        same_people(decoded(graph, maps[None], layout)[0], expected)
    if dynamic:
        maps = drawn(layout, (24, 33), 2, 9)
        same_people(decoded(graph, maps[None], layout)[0], parsed(maps, layout))


def test_each_frame_of_a_batch_is_decoded_for_itself() -> None:
    layout, shape = load_layout("coco18"), (32, 40)
    graph, _ = with_decoding(*maps_only(layout, shape, batch=3))
    maps = np.stack([drawn(layout, shape, people, people) for people in (2, 0, 4)])
    for found, each in zip(decoded(graph, maps, layout), maps, strict=True):
        same_people(found, parsed(each, layout))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(6, 20), width=st.integers(6, 20), steps=st.integers(2, 40))
def test_peaks_are_the_parsers_on_any_maps_ties_included(seed: int, height: int, width: int, steps: int) -> None:
    """Maps of few different values are full of equal neighbours, on the border too."""
    layout = load_layout("coco18")
    slots = 32
    maps = np.random.default_rng(seed).integers(0, steps, (19 + 38, height, width)).astype(np.float32) / np.float32(steps)
    graph, _ = with_decoding(*maps_only(layout, (height, width)), slots)
    peaks = run_onnx(graph, maps[None])["peaks"][0]
    expected = finder(18, slots=10_000).find(maps[:19])
    for part in range(18):
        x, y, score = expected.points[:, expected.part == part]
        theirs = sorted(zip(-score, y, x, strict=True))
        ours = [(-s, y, x) for x, y, s in peaks[part] if s > 0]
        assert len(ours) == min(len(theirs), slots)
        assert [s for s, _, _ in ours] == sorted(s for s, _, _ in ours), "best first"
        if len(theirs) <= slots:
            assert all(min(np.abs(np.subtract(one, other)).max() for other in ours) < 2e-3 for one in theirs)
        else:
            np.testing.assert_allclose([s for s, _, _ in ours], [s for s, _, _ in theirs[:slots]])


def test_peaks_lie_where_the_parser_finds_them() -> None:
    layout, shape = load_layout("body25"), (40, 56)
    maps = drawn(layout, shape, 6, 5, noise=0.01)
    graph, _ = with_decoding(*maps_only(layout, shape))
    peaks = run_onnx(graph, maps[None])["peaks"][0]
    expected = finder(25, slots=32).find(maps)
    for part in range(25):
        theirs = expected.points[:, expected.part == part]
        assert theirs.shape[1] >= 4
        np.testing.assert_allclose(peaks[part, : theirs.shape[1]], theirs[:, np.argsort(-theirs[2])].T, atol=1e-4)


def test_pair_scores_are_the_parsers() -> None:
    layout, shape = load_layout("body25"), (40, 56)
    graph, _ = with_decoding(*maps_only(layout, shape))
    maps = drawn(layout, shape, 5, 3)
    outputs = run_onnx(graph, maps[None])
    used = ParserSettings()
    part, slot = np.nonzero(outputs["peaks"][0, :, :, 2] > 0)
    peaks = Peaks(outputs["peaks"][0, part, slot].T, part, np.bincount(part, minlength=25))
    scorer = PairScorer(
        layout,
        samples=used.samples,
        middle=used.middle_threshold,
        agree=used.pair_threshold,
        share=used.pair_share,
        least=used.pair_score,
        limit=10**9,
    )
    with np.errstate(all="ignore"):
        pairs = scorer.score(maps[26:], peaks)
    expected = np.zeros((26, 32, 32), np.float32)
    limb, first, second = pairs.numbers
    expected[limb, slot[first], slot[second]] = pairs.score
    assert (expected > 0).sum() > 50
    np.testing.assert_allclose(outputs["pairs"][0], expected, atol=1e-5)


def test_nan_and_infinite_maps_give_no_peak() -> None:
    layout = load_layout("coco18")
    graph, _ = with_decoding(*maps_only(layout, (16, 16)))
    for poison in (np.nan, np.inf, -np.inf):
        maps = drawn(layout, (16, 16), 1, 0)
        maps[:, 4:8, 4:8] = poison
        outputs = run_onnx(graph, maps[None])
        assert np.isfinite(outputs["peaks"]).all()
        assert np.isfinite(outputs["pairs"]).all()
        if poison == -np.inf:  # the parser gives up the fraction of a cell beside it; the graph does not
            continue
        same_people(decoded(graph, maps[None], layout)[0], parsed(maps, layout))


@pytest.mark.parametrize("style", ["openpose", "imagenet", "unit", "in-graph"])
def test_the_cameras_bytes_reach_the_network_as_the_runtime_would_normalise_them(style: str) -> None:
    pixels = NORMALISATIONS[style]
    identity = helper.make_graph(
        [helper.make_node("Identity", ["image"], ["seen"], name="Identity")],
        "seen",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 24, 40])],
        [helper.make_tensor_value_info("seen", TensorProto.FLOAT, [1, 3, 24, 40])],
    )
    model = helper.make_model(identity, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    spec = InputSpec("image", "NCHW", (40, 24), (40, 24), (40, 24), pixels.colour, pixels.mean, pixels.scale, pixels.in_graph)
    manifest = Manifest("onnx", load_layout("coco18").skeleton, spec, HeatmapHead(outputs={"heatmaps": "seen"}, stride=8))
    fused, described = with_uint8_input(model, manifest)
    assert (described.input.layout, fused.graph.input[0].type.tensor_type.elem_type) == ("NHWC", TensorProto.UINT8)
    frame = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    np.testing.assert_allclose(
        run_onnx(fused, frame[None])["seen"], to_input(frame, spec), rtol=0, atol=2e-6 * np.ptp(to_input(frame, spec))
    )
    with pytest.raises(UsageError, match="already"):
        with_uint8_input(fused, described)


def test_too_many_slots_and_a_second_decoding_are_refused() -> None:
    model, manifest = maps_only(load_layout("coco18"), (16, 16))
    with pytest.raises(UsageError, match="1 to 256 peaks"):
        with_decoding(model, manifest, 257)
    large = replace(manifest, input=replace(manifest.input, size_wh=(2048, 2048), min_wh=(2048, 2048), max_wh=(2048, 2048)))
    with pytest.raises(UsageError, match="1 to 3839"):
        with_decoding(model, large, 3840)
    with pytest.raises(UsageError, match="already"):
        with_decoding(*with_decoding(model, manifest))


@pytest.mark.slow
def test_people_of_real_photographs_are_the_same_with_bytes_in_and_decoding_inside(hpe0001: Path, shared_data: Path) -> None:
    """Key points within 0.01 px of the network's input, on each of the photographs."""
    import cv2

    model, manifest = model_from_onnx(hpe0001, GraphOptions(normalise="in-graph", size_wh=(456, 256)))
    fused, _ = with_decoding(*with_uint8_input(model, manifest))
    people = 0
    for path in sorted((shared_data / "images").glob("*.jpg"))[::3]:
        frame = cv2.imread(str(path))
        assert frame is not None
        canvas = place(frame.astype(np.uint8), letterbox((frame.shape[1], frame.shape[0]), (456, 256)))
        outputs = run_onnx(model, to_input(canvas, manifest.input))
        expected = PafParser(load_layout("coco18")).parse(outputs["Mconv7_stage2_L2"][0], outputs["Mconv7_stage2_L1"][0])
        same_people(decoded(fused, canvas[None], load_layout("coco18"))[0], expected, tolerance=0.01 / STRIDE)
        people += len(expected)
    assert people > 20
