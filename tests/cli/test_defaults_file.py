"""`posetrt.toml`: the defaults of a robot, what wins over them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from posetrt.cli import main
from tests.cli.conftest import Posetrt


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The options that `posetrt run` and others were called with; nothing is run. The working directory is empty."""
    monkeypatch.chdir(tmp_path)
    seen: dict[str, object] = {}

    def note(args: object) -> int:
        seen.clear()
        seen.update(vars(args))
        return 0

    for command in ("run", "eval", "bench", "calibrate", "triangulate"):
        monkeypatch.setattr(f"posetrt.commands.{command}.run", note)
    return seen


def test_the_file_of_the_working_directory_gives_defaults(posetrt: Posetrt, given: dict[str, object]) -> None:
    Path("posetrt.toml").write_text(
        """
precision = "int8"
threads = 2
[run]
folder = "person/"
source = ["csi://0", "clip.mp4"]
write-json = "out"
smooth = true
cuda-graph = false
max_megapixels = 12.5
[bench]
frames = 7
"""
    )
    said = posetrt("run")
    assert said.code == 0
    assert "defaults of posetrt.toml: cuda-graph, folder, max-megapixels, precision, smooth, source, threads, write-json" in said.err
    expected = {"precision": "int8", "threads": 2, "source": ["csi://0", "clip.mp4"], "smooth": True, "cuda_graph": False}
    assert {name: given[name] for name in expected} == expected
    assert (given["folder"], given["write_json"], given["max_megapixels"]) == (Path("person"), Path("out"), 12.5)
    posetrt("bench", "other/")
    assert (given["folder"], given["frames"], given["precision"]) == (Path("other"), 7, ["int8"])


def test_what_is_typed_wins_over_the_file_and_the_file_over_the_program(posetrt: Posetrt, given: dict[str, object]) -> None:
    Path("posetrt.toml").write_text(
        'precision = "int8"\nthreads = 2\n[run]\nsource = ["a", "b"]\nquiet = true\nno-track = true\n[eval]\ncoco = "truth.json"\n'
    )
    said = posetrt("run", "--precision", "fp32", "--source", "c", "--no-quiet", "--track")
    assert said.code == 0
    names = ("precision", "threads", "source", "quiet", "no_track", "preset")
    assert [given[name] for name in names] == ["fp32", 2, ["c"], False, False, "balanced"]
    assert posetrt("eval", "person/", "--images", "photos", "--annotations", "joints.mat").code == 0
    assert (given["coco"], given["annotations"]) == (None, Path("joints.mat"))
    assert posetrt("eval", "person/", "--images", "photos").code == 0
    assert given["coco"] == Path("truth.json")


def test_quiet_in_the_file_is_quiet(posetrt: Posetrt, given: dict[str, object]) -> None:
    Path("posetrt.toml").write_text('[run]\nquiet = true\nsource = "a"\n')
    assert posetrt("run") == posetrt("run", "--quiet")
    assert posetrt("run").err == ""


def test_config_names_another_file(posetrt: Posetrt, given: dict[str, object], tmp_path: Path) -> None:
    Path("posetrt.toml").write_text("threads = 2\n")
    other = tmp_path / "robot.toml"
    other.write_text('[run]\nsource = "a"\n')
    assert posetrt("run", "--config", other).code == 0
    assert (given["source"], given["threads"]) == (["a"], 0)
    said = posetrt("run", "--config", tmp_path / "missing.toml")
    assert said.code == 2
    assert "there is no file" in said.err


def test_required_options_and_arguments_may_stand_in_the_file(posetrt: Posetrt, given: dict[str, object]) -> None:
    Path("posetrt.toml").write_text(
        '[calibrate]\nfolder = "person/"\nimages = "photos/"\n[triangulate]\nviews = ["a", "b"]\ncameras = "c.toml"\n'
    )
    assert posetrt("calibrate").code == 0
    assert (given["folder"], given["images"]) == (Path("person"), Path("photos"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[run]\nsorce = "a"\n', "posetrt run has no option 'sorce'; did you mean source?\n"),
        ("[rnu]\n", "there is no command [rnu]; did you mean run?\n"),
        ('[run]\nqwxz = "a"\n', "posetrt run has no option 'qwxz'. Known are: appearance, backend, boxes,"),
        ("presicion = 1\n", "no command has an option 'presicion'; did you mean precision?\n"),
        ('precision = "int4"\n', "precision is 'int4'; one of fp32, fp16, fp8, int8 was expected"),
        ('[run]\nthreads = "many"\n', "run.threads is 'many'; a whole number was expected"),
        ('[run]\nsmooth = "yes"\n', "run.smooth is 'yes'; true or false was expected"),
        ("[run]\nprecision = true\n", "run.precision is True; a text or a number was expected"),
        ('[run]\nprecision = ["int8", "fp32"]\n', "run.precision is a list; one value was expected"),
        ('[run]\nscales = "big"\n', "run.scales: 'big' is no list of scales"),
        ("[run]\ntrust = true\n", "posetrt run has no option 'trust'"),
        ("run: source\n", "posetrt.toml is not TOML:"),
    ],
)
def test_what_is_wrong_is_said_with_the_key(posetrt: Posetrt, given: dict[str, object], text: str, said: str) -> None:
    Path("posetrt.toml").write_text(text)
    told = posetrt("run", "--source", "photo.jpg")
    assert told.code == 2 if "not TOML" not in said else told.code == 1
    assert said in told.err
    assert not given


def test_the_example_of_the_page_is_taken(posetrt: Posetrt, given: dict[str, object]) -> None:
    (page,) = (Path(__file__).parents[2] / "docs").rglob("posetrt_toml.md")
    example = page.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    Path("posetrt.toml").write_text(example)
    assert posetrt("run").code == 0
    assert (given["precision"], given["web"], given["smooth"]) == ("int8", "8080", True)


def test_help_and_version_need_no_sound_file(given: dict[str, object]) -> None:
    Path("posetrt.toml").write_text("{")
    for words in (["--version"], ["run", "--help"]):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == 0
