"""The documents: where pages stand, short lines, links, names that exist, and commands that run as they are printed.

In a page, a block after `<!-- not run: REASON -->` is not run. Everything else is.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import posetrt
from posetrt.cli import build_parser
from posetrt.defaults_file import NAME, read_defaults, use_defaults
from posetrt.export.graph.normalisation import NORMALISATIONS
from posetrt.runtime.heads.registry import head_class, kinds
from posetrt.runtime.model.manifest import manifest_of_onnx
from posetrt.runtime.model.shipped import shipped_model
from posetrt.runtime.model.skeleton import built_in_skeletons, skeleton_from_dict
from posetrt.runtime.placement import HOWS
from tests.docs_stage import make_stage

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())

_BLOCK = re.compile(
    r"^(?P<indent> *)(?P<mark><!-- not run: [^\n]+ -->\n *)?```(?P<language>\w+)\n(?P<text>.*?)^(?P=indent)```", re.S | re.M
)


def _blocks(page: Path, *languages: str, run: bool = False) -> list[tuple[str, str]]:
    """Language and text of each block of these languages; with `run` only of those that are to be run."""
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [
        (one["language"], re.sub(rf"^{one['indent']}", "", one["text"], flags=re.M))
        for one in found
        if one["language"] in languages and not (run and one["mark"])
    ]


def _commands(page: Path) -> Iterator[list[str]]:
    """The arguments of every `posetrt ...` in a block of shell lines."""
    for line in "\n".join(text for _, text in _blocks(page, "sh")).replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words[:1] == ["sudo"] or (words and re.fullmatch(r"[A-Z_]+=.*", words[0])):
            words = words[1:]
        if words[:1] == ["posetrt"]:
            ends = (words.index(one) for one in ("|", "&&") if one in words)
            yield words[1 : min(ends, default=len(words))]


def _mentions(page: Path) -> Iterator[list[str]]:
    """The words of every `posetrt ...` in code within the text, which may leave things open."""
    for span in re.findall(r"`(posetrt [a-z][^`]*)`", page.read_text(encoding="utf-8")):
        yield span.replace("\\|", "|").partition(" | ")[0].split()[1:]


def _generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_page_stands_in_the_folder_of_its_kind() -> None:
    folders = {page.relative_to(DOCS).parts[0] for page in DOCS.rglob("*.md")}
    assert folders == {"index.md", *_generate().FOLDERS}


@each_page
def test_lines_are_at_most_100_characters_but_for_tables_and_links(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    long = [line for line in lines if len(re.sub(r"\]\([^)]*\)", "]", line)) > 100]
    assert [line for line in long if not line.lstrip().startswith("|")] == []


@each_page
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@each_page
def test_paths_of_the_project_that_a_page_names_are_there(page: Path) -> None:
    """`tests/...`, `runtime/...` and the like in code; KIND stands for any kind of head."""
    named = re.findall(r"`((?:calib|docs|examples|export|jetson|recipes|runtime|src|tests)/[\w./-]+)`", page.read_text(encoding="utf-8"))
    assert [path for path in named if "KIND" not in path and not (ROOT / path).exists()] == []


def test_documents_that_the_code_names_are_there() -> None:
    named = subprocess.run(
        ["git", "grep", "-hoE", r"docs/[A-Za-z0-9_/-]+\.(md|png|webp)", "--", ":!*.json"], cwd=ROOT, capture_output=True, text=True
    )
    if named.returncode:
        pytest.skip("no git checkout")
    assert [path for path in sorted(set(named.stdout.split())) if not (ROOT / path).exists()] == []


@each_page
def test_every_command_of_a_page_is_one_that_the_program_takes(page: Path) -> None:
    parser = build_parser()
    for words in _commands(page):
        parser.parse_args(words)


@each_page
def test_every_command_and_option_that_a_page_mentions_is_there(page: Path) -> None:
    (commands,) = (action.choices for action in build_parser()._actions if isinstance(action.choices, dict))
    for name, *words in _mentions(page):
        assert name in commands, name
        options = {option for action in commands[name]._actions for option in action.option_strings}
        assert [word for word in words if word.startswith("--") and word.partition("=")[0] not in options] == [], name


@each_page
def test_python_of_a_page_compiles(page: Path) -> None:
    for _, text in _blocks(page, "python"):
        compile(text, str(page), "exec")


def test_the_site_has_every_option_of_every_command() -> None:
    text = "\n".join(_generate().command_line())
    sections = dict(part.split("\n", 1) for part in text.split("## ")[1:])
    (commands,) = (action.choices for action in build_parser()._actions if isinstance(action.choices, dict))
    assert sections.keys() == commands.keys()
    for name, command in commands.items():
        options = [option for action in command._actions if action.dest != "help" for option in action.option_strings]
        assert [option for option in options if not re.search(rf"^\| `.*{re.escape(option)}\b", sections[name], re.M)] == [], name


def test_the_site_has_every_public_name() -> None:
    assert [line.split(".")[1].strip() for line in _generate().python_names()] == [one for one in posetrt.__all__ if one != "__version__"]


def test_the_python_page_has_every_keyword_of_open() -> None:
    from dataclasses import fields

    page = (DOCS / "reference" / "python.md").read_text()
    for kind in (posetrt.PoseOptions, posetrt.EngineOptions):
        for each in fields(kind):
            assert re.search(rf"^\|[^|\n]*`{each.name}`[^|\n]*\|", page, re.M), each.name


def test_the_python_page_has_every_public_name() -> None:
    text = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    assert [name for name in posetrt.__all__ if not re.search(rf"`[^`]*\b{name}\b[^`]*`", text)] == []


def test_the_page_of_heads_has_every_kind_and_output() -> None:
    text = (DOCS / "reference" / "heads.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\S+)` \| (.*)", text, re.M))
    assert rows.keys() == set(kinds())
    for kind in set(kinds()) - {"rows", "boxes"}:  # whose values may lie in any tensors
        assert [role for role in head_class(kind).roles if f"`{role}`" not in rows[kind]] == [], kind


def test_the_page_of_the_manifest_has_every_field() -> None:
    fields = manifest_of_onnx(shipped_model() / "model.onnx").to_dict()
    text = (DOCS / "reference" / "manifest.md").read_text(encoding="utf-8")
    assert [name for name in (*fields, *fields["input"], *fields["input"]["fit"]) if f"`{name}`" not in text] == []


def test_the_skeletons_page_has_every_skeleton_and_an_example_that_reads() -> None:
    page = DOCS / "reference" / "skeletons.md"
    assert [name for name in built_in_skeletons() if f"`{name}`" not in page.read_text(encoding="utf-8")] == []
    ((_, example),) = _blocks(page, "json")
    assert skeleton_from_dict(json.loads(example)).parts == ("Shoulder", "Elbow", "Wrist")


def test_the_normalisations_page_has_every_normalisation_and_placement() -> None:
    text = (DOCS / "reference" / "normalisations.md").read_text(encoding="utf-8")
    assert [name for name in (*NORMALISATIONS, *HOWS) if f"`{name}`" not in text] == []
    for name, colour, pad in re.findall(r"^\| `(\S+)` \| (BGR|RGB) \|.*?\| (\d+) \|", text, re.M):
        assert (NORMALISATIONS[name].colour, NORMALISATIONS[name].pad) == (colour, int(pad)), name


def test_the_file_of_defaults_that_the_page_shows_is_taken(tmp_path: Path) -> None:
    ((_, example),) = _blocks(DOCS / "reference" / "posetrt_toml.md", "toml")
    (tmp_path / NAME).write_text(example, encoding="utf-8")
    read = read_defaults(tmp_path / NAME)
    assert read is not None
    (commands,) = (action.choices for action in build_parser()._actions if isinstance(action.choices, dict))
    assert use_defaults(commands, "run", *read) == ["folder", "precision", "smooth", "source", "web"]


def test_the_head_of_the_page_about_heads_decodes() -> None:
    ((_, code),) = _blocks(DOCS / "how-to" / "add_a_head.md", "python")
    names: dict[str, object] = {"__name__": __name__}
    exec(compile(code, "add_a_head.md", "exec"), names)
    head = names["CentreHead"](outputs={"points": "out"})  # type: ignore[operator]
    (people,) = head.decoder(posetrt.load_skeleton("coco17")).decode({"out": np.full((1, 17, 2), 0.5, np.float32)}, (192, 256))
    assert people.keypoints[0, 0].tolist() == [95.5, 127.5, 1.0]


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """`make docs`: every link and anchor, and every docstring that mkdocstrings reads."""
    pytest.importorskip("mkdocs")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    page = (tmp_path / "site" / "reference" / "command_line" / "index.html").read_text(encoding="utf-8")
    assert "--detect-every" in page


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stage")
    make_stage(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if _blocks(page, "sh", "python", run=True)], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_what_a_page_says_runs(page: Path, stage: Path, tmp_path: Path) -> None:
    """Shell and Python of a page in their order, as a reader would run them, in a folder with photographs, clips and networks."""
    work = tmp_path / "work"
    blocks = _blocks(page, "sh", "python", run=True)
    makes_its_own = any("-o person/" in text for _, text in blocks)
    shutil.copytree(stage, work, ignore=shutil.ignore_patterns("person") if makes_its_own else None)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, target in (("posetrt", f"{sys.executable} -m posetrt"), ("python", sys.executable)):
        (programs / name).write_text(f'#!/bin/sh\nexec {target} "$@"\n', encoding="utf-8")
        (programs / name).chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("POSETRT")}
    env = {**clean, "PATH": f"{programs}:{clean['PATH']}", "PYTHONPATH": str(ROOT / "src"), "POSETRT_CACHE": str(tmp_path / "cache")}
    for language, text in blocks:
        start = ["bash", "-euo", "pipefail", "-c", text] if language == "sh" else [sys.executable, "-c", text]
        ran = subprocess.run(start, cwd=work, env=env, capture_output=True, text=True)
        assert ran.returncode == 0, f"{text}\n{ran.stdout}\n{ran.stderr}"
