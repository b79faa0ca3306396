"""What a newcomer types first, on the network that ships."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from posetrt.calib.scenes.scenes import draw_scene
from posetrt.export.weights.random_weights import write_random_weights
from posetrt.export.weights.zoo import find_network
from posetrt.runtime.model.shipped import shipped_model
from tests.cli.conftest import Posetrt


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No copy of a shipped network yet."""
    monkeypatch.setenv("POSETRT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A drawn scene with people."""
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), draw_scene(7001, (456, 256)).image)
    return path


def test_one_command_draws_people_with_nothing_built_or_downloaded(posetrt: Posetrt, own_cache: Path, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = posetrt("run", "--source", photo, "--write-images", out)
    assert said.code == 0, said.err
    assert "nano runs as it ships" in said.err
    (picture,) = out.iterdir()
    assert picture.name == "photo_rendered.jpg"
    changed = np.abs(cv2.imread(str(picture)).astype(int) - cv2.imread(str(photo))).max(axis=2) > 60
    assert changed.mean() > 0.002
    assert not own_cache.exists()


@pytest.mark.parametrize("form", ["jpg", "png"])
def test_pictures_have_the_format_that_was_asked_for(posetrt: Posetrt, own_cache: Path, photo: Path, tmp_path: Path, form: str) -> None:
    assert posetrt("run", "nano", "--source", photo, "--write-images", tmp_path / "out", "--image-format", form).code == 0
    (picture,) = (tmp_path / "out").iterdir()
    assert picture.read_bytes()[:4] == {"jpg": b"\xff\xd8\xff\xe0", "png": b"\x89PNG"}[form]


def test_quiet_prints_nothing(posetrt: Posetrt, own_cache: Path, photo: Path, tmp_path: Path) -> None:
    said = posetrt("run", "--source", photo, "--write-json", tmp_path / "out", "--quiet")
    assert (said.code, said.out, said.err) == (0, "", "")


def test_engines_of_the_shipped_network_are_built_in_the_users_copy(posetrt: Posetrt, own_cache: Path, photo: Path) -> None:
    before = sorted(shipped_model().rglob("*"))
    assert posetrt("build", "nano").code == 0
    assert sorted(shipped_model().rglob("*")) == before
    said = posetrt("run", "nano", "--source", photo, "--jsonl", "-")
    assert said.code == 0
    assert "as it ships" not in said.err
    assert posetrt("inspect", "nano").code == 0
    # A build adds what is compared, and takes nothing away.
    assert list(json.loads(posetrt("eval", "nano", "--images", photo.parent, "--json").out)) == ["fp32", "int8"]


def test_calibrating_what_ships_says_what_it_replaces_and_how_to_undo_it(
    posetrt: Posetrt, own_cache: Path, photo: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "few"
    photos.mkdir()
    for seed in range(3):
        cv2.imwrite(str(photos / f"{seed}.png"), draw_scene(seed, (456, 256)).image)
    said = posetrt("calibrate", "nano", "--images", photos, "--no-sensitivity")
    assert said.code == 0, said.err
    (copy,) = (own_cache / "networks").iterdir()
    assert f"these ranges replace those that ship with nano, in your copy of it: {copy}. To have those back, delete that folder" in said.err
    told = posetrt("run", "nano", "--source", photo, "--jsonl", "-").err
    assert "as it ships" not in told
    assert f"nano runs from your copy with its own INT8 ranges ({copy})" in told
    shutil.rmtree(copy)
    assert "nano runs as it ships" in posetrt("run", "nano", "--source", photo, "--jsonl", "-").err


def test_a_precision_that_does_not_ship_is_built_by_the_command_of_the_message(posetrt: Posetrt, own_cache: Path, photo: Path) -> None:
    said = posetrt("run", "nano", "--precision", "fp16", "--source", photo, "--jsonl", "-")
    assert said.code == 3
    command = said.err.partition("Build it with: posetrt ")[2].split()
    assert posetrt(*command).code == 0
    assert posetrt("run", "nano", "--precision", "fp16", "--source", photo, "--jsonl", "-").code == 0


def test_a_precision_that_the_cpu_does_not_have_and_a_network_for_no_crop_are_told_by_the_networks_name(
    posetrt: Posetrt, own_cache: Path, photo: Path
) -> None:
    said = posetrt("run", "nano", "--precision", "fp8", "--source", photo, "--jsonl", "-")
    assert (said.code, said.err.partition(" engine")[0]) == (3, "posetrt run: nano has no fp8")
    assert posetrt("build", "nano", "--precision", "fp8").code == 2
    said = posetrt("run", "nano", "--boxes", "whole", "--source", photo)
    assert (said.code, said.err.partition(" (")[0]) == (2, "posetrt run: nano: nano")


def test_a_zoo_name_says_lines_that_make_its_folder(posetrt: Posetrt, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "lightweight-openpose"
    write_random_weights(name, tmp_path / "published.npz")
    said = posetrt("bench", name, "--source", photo)
    assert said.code == 2
    fetch, export, build = (line.split()[1:] for line in said.err.splitlines()[1:])
    assert fetch == ["fetch", name]
    assert export[export.index("--weights") + 1] == f"weights/{find_network(name).file}"
    export[export.index("--weights") + 1] = "published.npz"
    assert posetrt(*export).code == 0
    assert posetrt(*build).code == 0
    assert posetrt("run", name, "--source", photo, "--jsonl", "-").code == 0


def test_a_folder_of_the_same_name_comes_before_the_network_that_ships(
    posetrt: Posetrt, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nano").mkdir()
    said = posetrt("run", "nano", "--source", photo)
    assert said.code == 1
    assert "no model.onnx" in said.err
    assert "posetrt export onnx --weights FILE.onnx -o nano" in said.err
    assert posetrt("run", "--source", photo, "--jsonl", "-").code == 0


def test_a_window_without_a_display_is_refused_with_what_to_use_instead(
    posetrt: Posetrt, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    said = posetrt("run", "--source", photo, "--show")
    assert said.code == 1
    assert "DISPLAY" in said.err
    assert "--web" in said.err


def test_posetrt_alone_says_where_to_start(posetrt: Posetrt) -> None:
    said = posetrt()
    assert said.code == 0
    assert "posetrt run --source photo.jpg --write-images out/" in said.out


def test_fetching_what_ships_says_how_to_use_it(posetrt: Posetrt) -> None:
    said = posetrt("fetch", "nano")
    assert said.code == 2
    assert "posetrt run nano" in said.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("rnu", "there is no command 'rnu'; did you mean: posetrt run"),
        ("predict", "did you mean: posetrt run"),
        ("version", "posetrt --version"),
        ("help run", "posetrt run --help"),
        ("photo.png", "posetrt run --source photo.png --write-images out/"),
        ("run", "--source is missing: a photograph"),
        ("run photo.png", "people in it are found by: posetrt run --source photo.png"),
        ("run photos --write-images out", "did you mean --source photos?"),
        ("run nano photo.png --source photo.png", "a source is given as: --source photo.png"),
        ("run --source photo.png --writ-images out", "has no option --writ-images; did you mean --write-images?"),
        ("run --source photo.png --conf 0.5", "has no option --conf; did you mean --config?"),
        ("run --source photo.png --json out", "has no option --json; did you mean --jsonl?"),
        ("run --source photo.png --write-images out.jpg", "out.jpg looks like a file; give a folder"),
        ("run --source photo.png --precision int4", "invalid choice: 'int4'"),
        ("run Nano --source photo.png", "did you mean nano?"),
        ("run lightweight_openpose --source photo.png", "did you mean lightweight-openpose?"),
        ("run yolo11n-pose --source photo.png", "posetrt export onnx --weights yolo11n-pose.onnx -o yolo11n-pose/"),
        ("run yolo11n-pose.pt --source photo.png", "yolo11n-pose.pt holds weights"),
        ("run --source photo.png --threads -1", "--threads is 1 or more, or 0 for all cores"),
        ("demo --source phto.png", "there is no photograph, folder or video at phto.png"),
        ("demo --images nowhere", "nowhere"),
        ("run --source phto.png", "there is no photograph, folder or video at phto.png"),
        ("build", "the following arguments are required: FOLDER"),
    ],
)
def test_what_a_newcomer_mistypes_is_answered_in_a_line_or_three(
    posetrt: Posetrt, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    told = posetrt(*words.split())
    assert told.code == 2
    assert said in told.err
    assert len(told.err.splitlines()) <= 3


def test_where_the_results_are_is_said(posetrt: Posetrt, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = posetrt("run", "--source", photo, "--write-images", "out", "--jsonl", "people.jsonl")
    assert "written: out, people.jsonl" in said.err


@pytest.mark.parametrize(("line", "answers"), [("posetrt ru", {"run"}), ("posetrt run --write-v", {"--write-video"})])
def test_a_shell_is_told_how_a_word_goes_on(line: str, answers: set[str], tmp_path: Path) -> None:
    """As the function that `register-python-argcomplete posetrt` prints calls the program: without arguments, answers at descriptor 8."""
    asked = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "|", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_SHELL": "bash"}
    program = "import sys; sys.argv[:] = ['posetrt']; from posetrt.cli import main; main()"
    command = f'exec 8>"$0" 9>/dev/null; exec "{sys.executable}" -c "{program}"'
    environment = {**os.environ, **asked, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    said = subprocess.run(["bash", "-c", command, str(tmp_path / "answers")], env=environment, capture_output=True, text=True)
    assert (said.returncode, said.stdout) == (0, ""), said.stderr
    assert {word.strip() for word in (tmp_path / "answers").read_text().split("|")} == answers
