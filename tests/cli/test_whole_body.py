"""`run --hands --face`, `run --boxes` and `--detector` as a user calls them, on the network that ships and a drawn scene."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from posetrt.calib.scenes.scenes import draw_scene
from posetrt.cli import main
from posetrt.runtime.model.shipped import shipped_model
from tests.cli.conftest import Posetrt
from tests.tiny import tiny_network


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn scene with people large in the picture."""
    path = tmp_path_factory.mktemp("scene") / "photo.png"
    cv2.imwrite(str(path), draw_scene(7001, (456, 256)).image)
    return path


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nano, built in fp32 and int8."""
    folder = tmp_path_factory.mktemp("models") / "person"
    shutil.copytree(shipped_model(), folder)
    for precision in ("fp32", "int8"):
        assert main(["build", str(folder), "--precision", precision]) == 0
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model folders of tiny networks with random weights: of hands, of faces, and of one person."""
    base = tmp_path_factory.mktemp("small")
    folders = {name: base / name for name in ("hand", "face", "cpm")}
    for name, skeleton, maps in (("hand", "hand21", 22), ("face", "face70", 71), ("cpm", "mpi14", 15)):
        weights = tiny_network(base / f"{name}.onnx", maps=maps, fields=0)
        command = ["export", "onnx", "--weights", weights, "--input-size", "96x96", "--skeleton", skeleton, "--batch", "8"]
        assert main([str(argument) for argument in [*command, "-o", folders[name]]]) == 0
        assert main(["build", str(folders[name]), "--precision", "fp32"]) == 0
    return folders


def test_one_command_writes_hands_and_face_of_everybody(
    person: Path, small: dict[str, Path], photo: Path, posetrt: Posetrt, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = posetrt(
        "run", person, "--precision", "int8", "--hands", small["hand"], "--face", small["face"], "--source", photo,
        "--write-json", out, "--write-images", out, "--jsonl", out / "a.jsonl", "--write-csv", out / "a.csv",
    )  # fmt: skip
    assert said.code == 0, said.err
    people = json.loads((out / f"{photo.stem}_keypoints.json").read_text())["people"]
    assert people
    for one in people:
        assert [len(one[f"{name}_keypoints_2d"]) for name in ("face", "hand_left", "hand_right")] == [210, 63, 63]
    assert any(any(one["face_keypoints_2d"]) or any(one["hand_left_keypoints_2d"]) for one in people)
    assert "face: " in said.err
    assert "looked at" in said.err
    assert "hands: hand 96x96, fp32, onnxruntime, up to 8 crops a call" in said.err
    assert cv2.imread(str(out / f"{photo.stem}_rendered.jpg")) is not None


def test_hands_alone_leave_the_face_empty(person: Path, small: dict[str, Path], photo: Path, posetrt: Posetrt, tmp_path: Path) -> None:
    assert posetrt("run", person, "--hands", small["hand"], "--source", photo, "--write-json", tmp_path / "out").code == 0
    one = json.loads((tmp_path / "out" / f"{photo.stem}_keypoints.json").read_text())["people"][0]
    assert one["face_keypoints_2d"] == []
    assert len(one["hand_right_keypoints_2d"]) == 63


def test_a_hand_network_that_takes_bytes_and_decodes_in_its_graph_gives_the_same(
    person: Path, small: dict[str, Path], photo: Path, posetrt: Posetrt, tmp_path: Path
) -> None:
    hand = tmp_path / "hand"
    command = ("export", "onnx", "--weights", small["hand"].parent / "hand.onnx", "--input-size", "96x96", "--skeleton", "hand21")
    assert posetrt(*command, "--batch", "8", "--input", "uint8", "--decode", "in-graph", "-o", hand).code == 0
    assert posetrt("build", hand, "--precision", "fp32").code == 0
    found = []
    for number, network in enumerate((small["hand"], hand)):
        out = tmp_path / str(number)
        said = posetrt("run", person, "--hands", network, "--source", photo, "--write-json", out)
        assert said.code == 0, said.err
        people = json.loads((out / f"{photo.stem}_keypoints.json").read_text())["people"]
        found.append(np.array([one[f"hand_{side}_keypoints_2d"] for one in people for side in ("left", "right")]))
    assert found[0].any()
    assert np.abs(found[0] - found[1]).max() < 0.02


def test_a_network_of_the_wrong_kind_is_refused_with_what_it_is(
    person: Path, small: dict[str, Path], photo: Path, posetrt: Posetrt
) -> None:
    said = posetrt("run", person, "--face", small["hand"], "--source", photo)
    assert said.code == 2
    assert "finds 21 parts (hand21), and a face has 70" in said.err
    said = posetrt("run", person, "--hands", small["face"], "--source", photo)
    assert said.code == 2
    assert "a hand has 21" in said.err
    said = posetrt("run", person, "--hands", person, "--source", photo)
    assert said.code == 2
    assert "finds everybody in a whole picture" in said.err
    said = posetrt("run", small["hand"], "--hands", small["hand"], "--source", photo)
    assert said.code == 2
    assert "looks at one person in a crop" in said.err


def test_a_precision_that_was_not_built_says_of_which_folder(person: Path, small: dict[str, Path], photo: Path, posetrt: Posetrt) -> None:
    said = posetrt("run", person, "--hands", small["hand"], "--hands-precision", "fp16", "--source", photo)
    assert said.code == 3
    assert f"posetrt build {small['hand']} --precision fp16" in said.err


def test_build_builds_what_the_second_look_needs(
    person: Path, small: dict[str, Path], photo: Path, posetrt: Posetrt, tmp_path: Path
) -> None:
    hand = shutil.copytree(small["hand"], tmp_path / "hand")
    shutil.rmtree(hand / "engines")
    said = posetrt("run", person, "--hands", hand, "--source", photo, "--build")
    assert said.code == 0, said.err
    assert list((hand / "engines").iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--scales", "0.7,1"), "--scales: give --boxes too"),
        (("--face-precision", "int8"), "give that too"),
        (("--boxes", "whole", "--hands", "nano"), "need a network that finds everybody"),
        (("--boxes", "whole", "--draw", "heatmaps"), "people in boxes are drawn as people"),
        (("--boxes", "nowhere.txt"), 'boxes come from "whole"'),
        (("--boxes", "."), "give: --detector ."),
        (("--detect-every", "5"), "--detect-every: give --detector too"),
        (("--detector", "nano", "--boxes", "whole"), "both say where the people are"),
        (("--detector", "nano", "--detect-every", "5"), "photographs are not frames of one scene"),
        (("--boxes", "whole", "--scales", "big"), "is no list of scales"),
    ],
)
def test_options_that_do_not_go_together_are_told(
    options: tuple[str, ...], said: str, small: dict[str, Path], photo: Path, posetrt: Posetrt
) -> None:
    given = posetrt("run", small["cpm"], "--source", photo, *options)
    assert given.code == 2
    assert said in given.err


def test_boxes_come_from_the_frame_a_file_and_another_network(
    person: Path, small: dict[str, Path], photo: Path, posetrt: Posetrt, tmp_path: Path
) -> None:
    tracks = tmp_path / "tracks.txt"
    tracks.write_text("1,5,200,50,200,300,1,-1,-1,-1\n1,9,300,80,120,200,1,-1,-1,-1\n")
    for number, (option, boxes, count) in enumerate((("--boxes", "whole", 1), ("--boxes", tracks, 2), ("--detector", person, None))):
        out = tmp_path / str(number)
        said = posetrt("run", small["cpm"], option, boxes, "--scales", "0.8,1.2", "--source", photo, "--write-json", out)
        assert said.code == 0, said.err
        people = json.loads((out / f"{photo.stem}_keypoints.json").read_text())["people"]
        assert len(people) == (count or len(people))
        assert people
        assert len(people[0]["pose_keypoints_2d"]) == 42
        if boxes is tracks:
            assert [one["person_id"] for one in people] == [[5], [9]]


def test_a_network_for_crops_is_no_detector(small: dict[str, Path], photo: Path, posetrt: Posetrt) -> None:
    said = posetrt("run", small["cpm"], "--detector", small["cpm"], "--source", photo)
    assert said.code == 2
    assert "cannot say where people are" in said.err


def test_a_box_outside_the_frame_is_counted_as_not_in_view(small: dict[str, Path], photo: Path, posetrt: Posetrt, tmp_path: Path) -> None:
    tracks = tmp_path / "tracks.txt"
    tracks.write_text("1,5,20000,50,200,300,1\n1,6,10,10,200,300,1\n")
    said = posetrt("run", small["cpm"], "--boxes", tracks, "--source", photo, "--write-json", tmp_path / "out")
    assert said.code == 0
    assert "people: 1 looked at, 0 too small, 1 not in view" in said.err


def test_a_graph_of_a_fixed_batch_is_not_exported_for_more(posetrt: Posetrt, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(str(tiny_network(tmp_path / "fixed.onnx", maps=22, fields=0)))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, str(tmp_path / "fixed.onnx"))
    command = ("export", "onnx", "--weights", tmp_path / "fixed.onnx", "--input-size", "96x96", "--skeleton", "hand21")
    said = posetrt(*command, "--batch", "4", "-o", tmp_path / "hand")
    assert said.code == 2
    assert "fixed at batch 1: leave --batch out" in said.err
    assert posetrt(*command, "-o", tmp_path / "hand").code == 0


def test_a_network_exported_for_a_batch_gives_each_crop_what_it_gives_it_alone(small: dict[str, Path]) -> None:
    from posetrt.runtime.engines.choose import open_engine

    with open_engine(small["face"]) as engine:
        (name,) = engine.manifest.head.outputs.values()
        crops = np.random.default_rng(0).normal(0, 0.3, (5, 3, 96, 96)).astype(np.float32)
        together = engine.infer(crops)[name]
        assert together is not None
        together = together.copy()
        for crop, maps in zip(crops, together, strict=True):
            alone = engine.infer(crop[None])[name]
            assert alone is not None
            assert np.allclose(alone[0], maps, atol=1e-5)


def test_bench_measures_hands_and_face_as_people_grow_in_number(person: Path, small: dict[str, Path], posetrt: Posetrt) -> None:
    said = posetrt("bench", person, "--hands", small["hand"], "--face", small["face"], "--people", "0,3", "--rounds", "1", "--json")
    assert said.code == 0, said.err
    nobody, three = json.loads(said.out)["people"]
    assert (nobody["crops"], three["crops"], three["calls"]) == (0, 9, 2)
    assert nobody["total_ms"] < three["total_ms"]
    said = posetrt("bench", person, "--people", "0,3")
    assert said.code == 2
    assert "give --hands FOLDER" in said.err
    assert posetrt("bench", person).code == 2
    said = posetrt("bench", person, "--hands", small["hand"], "--people", "0,3", "--source", "clip.mp4", "--precision", "int8")
    assert said.code == 2
    assert "without --source and --precision" in said.err


def test_bench_tells_the_second_look_as_a_stage(person: Path, small: dict[str, Path], photo: Path, posetrt: Posetrt) -> None:
    said = posetrt(
        "bench", person, "--precision", "int8", "--hands", small["hand"], "--source", photo, "--frames", "1", "--rounds", "1", "--json"
    )
    assert said.code == 0, said.err
    (row,) = json.loads(said.out)["results"]
    assert row["crops_ms"] > 0
    said = posetrt("bench", person, "--precision", "int8", "--source", photo, "--frames", "1", "--rounds", "1")
    assert "hands, face" not in said.out
