"""Which networks are read as SimCC, coordinates, offsets, embedding and segmentation."""

from __future__ import annotations

import numpy as np
import pytest

from posetrt.export.heads import coordinates, embedding, heatmap, offsets, segmentation, simcc
from posetrt.export.heads.base import Asked, GraphFacts, NearMiss, Reading
from posetrt.export.heads.recognise import recognise
from posetrt.runtime.errors import UsageError
from posetrt.runtime.model.skeleton import Skeleton, load_skeleton
from tests.export.heads.graph_facts import drawn, facts, facts_of

MODULES = (simcc, coordinates, offsets, embedding, segmentation)
NOTHING = Asked()


def _only(found: list[Reading | NearMiss]) -> Reading:
    readings = [each for each in found if isinstance(each, Reading)]
    assert len(readings) == 1, found
    return readings[0]


def _all(given: GraphFacts, asked: Asked = NOTHING) -> list[Reading]:
    found = [each for module in MODULES for each in module.recognise(given, asked)]
    return sorted((each for each in found if isinstance(each, Reading)), key=lambda each: -each.rank)


@pytest.mark.parametrize("names", [("simcc_x", "simcc_y"), ("output", "700"), ("y_first", "x")])
@pytest.mark.parametrize(("parts", "size"), [(17, (192, 256)), (26, (288, 384)), (133, (192, 256)), (21, (256, 256))])
def test_rtmpose_is_read_whatever_its_outputs_are_called(names, parts, size):
    ends = (2 * size[1], 2 * size[0]) if names[0] == "y_first" else (2 * size[0], 2 * size[1])
    reading = _only(simcc.recognise(facts(size, {name: drawn((1, parts, end)) for name, end in zip(names, ends, strict=True)}), NOTHING))
    expected = names[::-1] if names[0] == "y_first" and size[0] != size[1] else names
    assert dict(reading.head.outputs) == dict(zip("xy", expected, strict=True))
    assert reading.head.split_ratio == 2
    assert (reading.parts, reading.fit) == (parts, "crop")
    assert reading.skeletons


def test_a_square_networks_two_outputs_are_told_apart_by_name():
    given = facts((256, 256), {"simcc_y": drawn((1, 21, 512)), "simcc_x": drawn((1, 21, 512))})
    assert dict(_only(simcc.recognise(given, NOTHING)).head.outputs) == {"x": "simcc_x", "y": "simcc_y"}


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_heat_maps_with_short_offsets_are_g_rmis(layout):
    shapes = ((1, 17, 64, 48), (1, 34, 64, 48)) if layout == "NCHW" else ((1, 64, 48, 17), (1, 64, 48, 34))
    outputs = {"heatmaps": drawn(shapes[0], "probability"), "short_offsets": drawn(shapes[1])}
    reading = _only(heatmap.recognise(facts((192, 256), outputs, layout), NOTHING))
    assert dict(reading.head.outputs) == {"heatmaps": "heatmaps", "offsets": "short_offsets"}
    assert (reading.fit, reading.parts, reading.nhwc) == ("crop", 17, () if layout == "NCHW" else ("heatmaps", "short_offsets"))


def test_offsets_of_unknown_names_are_taken_where_the_user_names_them():
    given = facts((256, 256), {"a": drawn((1, 17, 64, 64), "probability"), "b": drawn((1, 34, 64, 64))})
    assert not [one for one in heatmap.recognise(given, NOTHING) if isinstance(one, Reading)]
    reading = _only(heatmap.recognise(given, Asked(outputs={"heatmaps": "a", "offsets": "b"})))
    assert dict(reading.head.outputs) == {"heatmaps": "a", "offsets": "b"}


def test_simcc_of_another_input_size_is_nearly_recognised():
    given = facts((320, 256), {"simcc_x": drawn((1, 17, 384)), "simcc_y": drawn((1, 17, 512))})
    (miss,) = simcc.recognise(given, NOTHING)
    assert isinstance(miss, NearMiss)
    assert "--input-size" in miss.why


@pytest.mark.parametrize("shape", [(1, 1, 17, 3)])
def test_movenet_gives_y_before_x_of_one_person_of_the_frame(shape):
    given = facts((192, 192), {"Identity": drawn(shape, "unit")}, "NHWC", "int32")
    reading = _all(given)[0]
    assert reading.head.columns == ("y", "x", "score")
    assert (reading.head.scope, reading.head.unit, reading.normalise) == ("frame", "input", "movenet")


@pytest.mark.parametrize(("rows", "skeleton"), [(21, "hand21"), (468, "face468"), (478, "face468")])
def test_mediapipes_flat_landmarks_are_read_beside_those_in_metres(rows, skeleton):
    given = facts(
        (224, 224),
        {
            "Identity_3": drawn((1, 3 * rows), "unit") - 0.5,
            "Identity": drawn((1, 3 * rows), "pixels") - 3,
            "Identity_1": drawn((1, 1), "probability"),
        },
        "NHWC",
    )
    reading = _only(coordinates.recognise(given, NOTHING))
    assert dict(reading.head.outputs) == {"points": "Identity", "presence": "Identity_1"}
    assert reading.head.columns == ("x", "y", "z")
    assert reading.skeletons == (skeleton,)


def test_deeppose_of_two_numbers_and_scores_apart():
    given = facts((192, 256), {"keypoints": drawn((1, 17, 2), "unit"), "scores": drawn((1, 17), "probability")})
    reading = _only(coordinates.recognise(given, NOTHING))
    assert dict(reading.head.outputs) == {"points": "keypoints", "scores": "scores"}
    assert (reading.head.columns, reading.head.unit, reading.head.scope) == (("x", "y"), "input", "crop")
    assert reading.skeletons[0] == "coco17"


def test_the_spread_that_residual_log_likelihood_gives_is_no_score():
    reading = _only(coordinates.recognise(facts((192, 256), {"output": drawn((1, 17, 4), "unit")}), NOTHING))
    assert reading.head.columns == ("x", "y", "-", "-")


def test_a_flat_output_of_two_meanings_is_read_both_ways_at_the_same_rank():
    found = [
        each for each in coordinates.recognise(facts((256, 256), {"fc": drawn((1, 42), "pixels")}), NOTHING) if isinstance(each, Reading)
    ]
    assert {(each.parts, len(each.head.columns)) for each in found} == {(21, 2), (14, 3)}
    assert len({each.rank for each in found}) == 1


def test_an_own_skeleton_says_how_many_parts_there_are():
    own = Skeleton("own", tuple("abcdefg"), ())
    reading = _only(coordinates.recognise(facts((256, 256), {"fc": drawn((1, 14), "pixels")}), Asked(skeleton=own)))
    assert (reading.parts, reading.skeletons) == (7, ("own",))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("size", "stride"), [((257, 257), 16), ((513, 353), 8), ((801, 513), 32)])
def test_posenet_of_any_stride_and_layout(last, size, stride):
    rows, columns = (size[1] - 1) // stride + 1, (size[0] - 1) // stride + 1

    def maps(channels: int) -> np.ndarray:
        return drawn((1, rows, columns, channels) if last else (1, channels, rows, columns))

    given = facts(
        size,
        {"displacement_bwd_2": maps(32), "displacement_fwd_2": maps(32), "float_short_offsets": maps(34), "heatmap": maps(17)},
        "NHWC" if last else "NCHW",
    )
    reading = _all(given)[0]
    assert reading.head.kind == "offsets"
    assert dict(reading.head.outputs) == {
        "heatmaps": "heatmap",
        "offsets": "float_short_offsets",
        "forward": "displacement_fwd_2",
        "backward": "displacement_bwd_2",
    }
    assert (reading.head.stride, reading.head.logits, reading.head.channels) == (stride, True, "last" if last else "first")
    assert reading.skeletons == ("coco17",)


def test_posenet_at_a_size_without_whole_cells_says_which_sizes_there_are():
    maps = {name: drawn((1, channels, 16, 29)) for name, channels in (("a", 17), ("b", 34), ("c", 32), ("d", 32))}
    (miss,) = offsets.recognise(facts((456, 256), maps), NOTHING)
    assert isinstance(miss, NearMiss)
    assert "16 n + 1, as in --input-size 449x257" in miss.why
    with pytest.raises(UsageError, match=r"^drawn\.onnx has PoseNet's maps") as said:
        recognise(facts((456, 256), maps), NOTHING)
    assert "Nearly" not in str(said.value)


def test_higherhrnet_has_tags_behind_its_coarser_heat_maps():
    given = facts((512, 512), {"output_0": drawn((1, 34, 128, 128), "tags"), "output_1": drawn((1, 17, 256, 256), "probability")})
    reading = _all(given)[0]
    assert reading.head.kind == "embedding"
    assert dict(reading.head.outputs) == {"heatmaps": "output_0", "tags": "output_0", "fine": "output_1"}
    assert reading.head.order[:8] == (0, 1, 2, 3, 4, 5, 6, 11)


@pytest.mark.parametrize("names", [("heatmaps", "embeddings"), ("Identity", "Identity_1")])
def test_openvinos_tags_are_told_from_heat_maps_by_name_or_by_value(names):
    given = facts((288, 288), {names[0]: drawn((1, 17, 144, 144), "probability"), names[1]: drawn((1, 17, 144, 144), "tags")})
    reading = _all(given)[0]
    assert dict(reading.head.outputs) == {"heatmaps": names[0], "tags": names[1]}
    assert not reading.head.logits


def test_masks_need_a_limb_each():
    masks = len(load_skeleton("mpii16").limbs)
    given = facts((384, 384), {"scores": drawn((1, 16, 96, 96), "probability"), "masks": drawn((1, masks, 96, 96), "probability")})
    assert _all(given)[0].skeletons == ("mpii16",)
    few = facts((384, 384), {"scores": drawn((1, 16, 96, 96), "probability"), "masks": drawn((1, 6, 96, 96), "probability")})
    misses = segmentation.recognise(few, NOTHING)
    assert misses
    assert all(isinstance(miss, NearMiss) and "6 masks" in miss.why for miss in misses)


@pytest.mark.parametrize(
    "outputs",
    [
        {"logits": (1, 1000)},
        {"logits": (1, 100)},
        {"logits": (1, 34)},
        {"mask": (1, 21, 256, 256)},
        {"output0": (1, 56, 8400)},
        {"dets": (1, 300, 5), "keypoints": (1, 300, 17, 3)},
        {"boxes": (1, 300, 4), "scores": (1, 300)},
        {"heatmaps": (1, 17, 64, 64)},
        {"heatmaps": (1, 19, 32, 32), "pafs": (1, 38, 32, 32)},
    ],
)
def test_classifiers_detectors_and_other_heads_are_none_of_these(outputs):
    given = facts((256, 256), {name: drawn(shape) for name, shape in outputs.items()})
    assert not _all(given)


def test_probabilities_of_classes_are_no_coordinates():
    classes = np.exp(drawn((1, 51)))
    assert not _all(facts((224, 224), {"probabilities": classes / classes.sum()}))


@pytest.mark.parametrize(
    ("file", "size", "kind", "skeleton"),
    [
        ("standin-simcc/standin_simcc_256x192.onnx", (192, 256), "simcc", "coco17"),
        ("movenet-lightning/movenet_lightning.onnx", (192, 192), "coordinates", "coco17"),
        ("blazepose-lite/blazepose_lite_landmarks.onnx", (256, 256), "coordinates", "blazepose33"),
        ("mediapipe-hand/hand_landmark_lite.onnx", (224, 224), "coordinates", "hand21"),
        ("posenet-mobilenetv1-075/posenet.onnx", (257, 257), "offsets", "coco17"),
    ],
)
def test_real_networks_are_recognised(shared_data, file, size, kind, skeleton):
    best, *others = _all(facts_of(shared_data / "weights" / "heads" / file, size))
    assert best.head.kind == kind
    assert best.skeletons[0] == skeleton
    assert all(other.rank < best.rank for other in others)


def test_blazepose_tells_visibility_and_the_next_crop(shared_data):
    given = facts_of(shared_data / "weights" / "heads" / "blazepose-lite" / "blazepose_lite_landmarks.onnx", (256, 256))
    head = _all(given)[0].head
    assert dict(head.outputs) == {"points": "ld_3d", "presence": "output_poseflag"}
    assert (head.columns, head.rows, head.score_logits) == (("x", "y", "z", "score", "-"), 39, True)
    assert head.next_crop_rows == (33, 34)


@pytest.mark.parametrize(
    "file", ["yolo11n-pose/yolo11n-pose-640.onnx", "yolox-nano/yolox_nano_416.onnx", "pp-tinypose/pp_tinypose_256x192.onnx"]
)
def test_real_networks_of_other_kinds_are_left_to_those(shared_data, file):
    size = {"yolo11n": (640, 640), "yolox_n": (416, 416), "pp_tiny": (192, 256)}[file.split("/")[1][:7]]
    assert not _all(facts_of(shared_data / "weights" / "heads" / file, size))
