"""Skeletons: built in, from JSON, and refused where they contradict themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.paf.layout import load_layout
from posetrt.runtime.model.skeleton import built_in_skeletons, load_skeleton

FACTS = Path(__file__).parents[2] / "facts" / "skeletons.json"


@pytest.mark.parametrize(
    "name", [name for name in built_in_skeletons() if name in ("coco18", "body25", "mpi15", "car12", "hand21", "face70")]
)
def test_a_built_in_skeleton_is_the_published_one(name: str) -> None:
    published = json.loads(FACTS.read_text(encoding="utf-8"))[name]
    layout = load_layout(name)
    ours = layout.skeleton
    assert list(ours.parts) == published["parts"]
    assert [list(limb) for limb in ours.limbs] == published["limbs"]
    assert [list(pair) for pair in layout.paf_channels] == published["paf_channels"]
    assert layout.background == published["background"]


@pytest.mark.parametrize("name", ["coco18", "body25"])
def test_coco_order_is_the_published_one(name: str) -> None:
    published = json.loads(FACTS.read_text(encoding="utf-8"))["coco17"]
    assert list(load_skeleton(name).coco17) == published[f"from_{name}"]


def test_a_skeleton_of_ones_own_needs_no_code(tmp_path: Path) -> None:
    path = tmp_path / "fish.json"
    path.write_text(json.dumps({"name": "fish", "parts": ["head", "tail"], "limbs": [[0, 1]], "paf_channels": [[0, 1]]}))
    fish = load_layout(path)
    assert fish.heatmap_channels == 3
    assert fish.paf_channel_count == 2


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"name": "x", "parts": ["a", "b"]}, "missing fields"),
        ({"name": "x", "parts": ["a", "b"], "limbs": [[0, 2]]}, "limbs"),
        ({"name": "x", "parts": ["a", "b"], "limbs": [[0, 1]], "paf_channels": [[0, 2]]}, "paf_channels"),
        ({"name": "x", "parts": ["a", "b"], "limbs": [[0, 1, 2]]}, "two whole numbers"),
        ({"name": "x", "parts": ["a", "a"], "limbs": []}, "different names"),
        ({"name": "x\x1b[2J", "parts": ["a"], "limbs": []}, "printable"),
        ({"name": "x", "parts": ["a\nb"], "limbs": []}, "printable"),
        (["a"], "JSON object"),
    ],
)
def test_a_skeleton_that_contradicts_itself_is_refused(tmp_path: Path, fields: object, complaint: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(fields))
    with pytest.raises(UsageError, match=complaint):
        load_layout(path)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="coco18"):
        load_skeleton("coco19")
