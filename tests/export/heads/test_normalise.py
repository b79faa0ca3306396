"""A user's graph is shown drawn people under each normalisation, because a wrong one finds nobody without an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from posetrt.export.graph.normalisation import NORMALISATIONS
from posetrt.export.heads.normalise import choose, rivals
from posetrt.export.heads.user_graph import GraphOptions, model_from_onnx
from posetrt.looking import judge_on_drawn_scenes
from posetrt.runtime.model.shipped import network_folder


def test_presets_that_feed_the_same_numbers_are_tried_once() -> None:
    names = rivals(["yolo"], lambda one: one)
    assert names[0] == "yolo"
    assert "unit" not in names
    assert "mediapipe" not in names
    assert len({NORMALISATIONS[name].colour for name in names}) == 2


def test_the_usual_normalisation_stays_where_another_is_hardly_better() -> None:
    assert choose("openpose", False, {"openpose": 0.3, "imagenet": 0.4}) == ("openpose", None)


def test_the_usual_normalisation_stays_where_both_find_few() -> None:
    assert choose("posenet", False, {"posenet": 0.021, "imagenet": 0.044}) == ("posenet", None)
    assert choose("posenet", False, {"posenet": 0.001, "imagenet": 0.044})[0] == "imagenet"


def test_another_is_taken_where_the_usual_one_finds_nobody_and_it_is_said() -> None:
    name, line = choose("openpose", False, {"openpose": 0.0, "in-graph": 0.2})
    assert name == "in-graph"
    assert "in-graph 0.200" in (line or "")


def test_what_the_user_gave_stays_with_a_warning() -> None:
    name, line = choose("openpose", True, {"openpose": 0.0, "in-graph": 0.2})
    assert name == "openpose"
    assert "probably wrong" in (line or "")


def test_a_warning_names_what_export_would_take_by_itself() -> None:
    names = rivals(["unit", "yolox"], lambda one: one)
    assert names[:2] == ["unit", "yolox"]
    assert "in-graph" not in names, "it feeds the numbers of yolox"
    _, line = choose("unit", True, {"unit": 0.01, "yolox": 0.4, "movenet": 0.41}, "yolox")
    assert "yolox finds people better (AP on drawn scenes unit 0.010, yolox 0.400)" in (line or "")


def test_a_network_that_finds_nobody_at_all_is_told() -> None:
    name, line = choose("imagenet", False, {"imagenet": 0.0, "in-graph": 0.001})
    assert name == "imagenet"
    assert "finds nobody" in (line or "")


@pytest.mark.parametrize(("given", "taken"), [(None, "openpose"), ("in-graph", "in-graph")])
def test_the_network_that_ships_is_tried_on_drawn_people(given: str | None, taken: str) -> None:
    lines: list[str] = []
    options = GraphOptions(normalise=given, judge=judge_on_drawn_scenes, tell=lines.append)
    _, manifest = model_from_onnx(network_folder("nano") / "model.onnx", options)
    assert manifest.input.mean == NORMALISATIONS[taken].mean
    assert any("openpose finds people better" in line for line in lines) == (given is not None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "size_wh", "taken"),
    [
        ("hpe0001/human-pose-estimation-0001_dequant_fp32.onnx", (456, 256), "in-graph"),
        ("tfpose/mobilenet_v2_1.4_fp32.onnx", (432, 368), "in-graph"),
        ("tfpose/mobilenet_v2_0.5_fp32.onnx", (432, 368), "in-graph"),
        ("heads/yolo11n-pose/*.onnx", None, "yolo"),
        ("heads/pp-tinypose/*.onnx", None, "imagenet"),
        ("heads/yolox-nano/*.onnx", None, "yolox"),
        ("heads/rtmdet-nano-person/*.onnx", None, "rtmdet"),
        ("heads/posenet-mobilenetv1-075/*.onnx", (513, 385), "posenet"),
        ("heads/posenet-mobilenetv1-075/*.onnx", (385, 289), "posenet"),
    ],
)
def test_real_networks_get_their_own_pixels_without_a_flag(
    shared_data: Path, file: str, size_wh: tuple[int, int] | None, taken: str
) -> None:
    (path,) = (shared_data / "weights").glob(file)
    _, manifest = model_from_onnx(path, GraphOptions(size_wh=size_wh, judge=judge_on_drawn_scenes))
    spec, own = manifest.input, NORMALISATIONS[taken]
    assert (spec.colour, spec.mean, spec.scale) == (own.colour, own.mean, own.scale)
