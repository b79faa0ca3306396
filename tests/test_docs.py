"""The README and the pages for newcomers: short lines, links that lead somewhere, commands and names that exist."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import posetrt
from posetrt.cli import build_parser
from posetrt.export.graph.normalisation import NORMALISATIONS
from posetrt.runtime.model.skeleton import built_in_skeletons, skeleton_from_dict
from posetrt.runtime.placement import HOWS

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *(ROOT / "docs" / f"{name}.md" for name in ("add_a_head", "api", "bring_your_own_network", "events", "foxglove", "mqtt", "rerun", "skeletons_and_normalisation", "small_people")),
]


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_lines_are_at_most_100_characters_but_for_tables(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 100 and not line.startswith("|")] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_is_one_that_the_program_takes(page: Path) -> None:
    parser = build_parser()
    for line in "\n".join(_blocks(page, "sh")).replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["posetrt"]:
            parser.parse_args(words[1:])


def test_the_skeletons_page_has_every_skeleton_normalisation_and_placement() -> None:
    text = (ROOT / "docs" / "skeletons_and_normalisation.md").read_text(encoding="utf-8")
    assert [name for name in (*built_in_skeletons(), *NORMALISATIONS, *HOWS) if f"`{name}`" not in text] == []
    (example,) = _blocks(ROOT / "docs" / "skeletons_and_normalisation.md", "json")
    assert skeleton_from_dict(json.loads(example)).parts == ("Shoulder", "Elbow", "Wrist")
    for name, colour, pad in re.findall(r"^\| `(\S+)` \| (BGR|RGB) \|.*?\| (\d+) \|", text, re.M):
        assert (NORMALISATIONS[name].colour, NORMALISATIONS[name].pad) == (colour, int(pad)), name


def test_the_api_page_has_every_public_name() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert [name for name in posetrt.__all__ if not re.search(rf"`[^`]*\b{name}\b[^`]*`", text)] == []


def test_the_head_of_the_page_about_heads_decodes() -> None:
    (code,) = _blocks(ROOT / "docs" / "add_a_head.md", "python")
    names: dict[str, object] = {"__name__": __name__}
    exec(compile(code, "add_a_head.md", "exec"), names)
    head = names["CentreHead"](outputs={"points": "out"})  # type: ignore[operator]
    (people,) = head.decoder(posetrt.load_skeleton("coco17")).decode({"out": np.full((1, 17, 2), 0.5, np.float32)}, (192, 256))
    assert people.keypoints[0, 0].tolist() == [95.5, 127.5, 1.0]
