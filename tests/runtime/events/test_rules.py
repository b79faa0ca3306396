"""Rules files: what is read, and what a mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from posetrt.runtime.errors import UsageError
from posetrt.runtime.events.places import Line
from posetrt.runtime.events.postures import Angle
from posetrt.runtime.events.rules import KINDS, load_rules, rules_from
from posetrt.runtime.model.skeleton import load_skeleton

ALL = """
least_score = 0.3
[[event]]
kind = "raised-hand"
side = "both"
[[event]]
kind = "wave"
turns = 3
[[event]]
kind = "lying"
min_s = 1
[[event]]
kind = "fallen"
[[event]]
kind = "sitting"
[[event]]
kind = "angle"
name = "arm bent"
joint = "elbow"
side = "left"
below = 90
[[event]]
kind = "line"
name = "door"
from = [0.1, 0.5]
to = [0.9, 0.5]
direction = "to-left"
[[event]]
kind = "zone"
name = "stairs"
units = "pixels"
point = "hips"
polygon = [[0, 0], [200, 0], [200, 300.5]]
"""
BODIES = (
    "aic14", "blazepose33", "body25", "coco-wholebody133", "coco17", "coco18", "crowdpose14", "halpe26", "lsp14", "mpi14", "mpi15", "mpii16",
    "trtpose18",
)  # fmt: skip


@pytest.fixture
def rules_file(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(ALL)
    return path


def test_a_file_with_every_kind_is_read(rules_file: Path) -> None:
    rules = load_rules(rules_file)
    assert [rule.kind for rule in rules.rules] == ["raised-hand", "wave", "lying", "fallen", "sitting", "angle", "line", "zone"]
    assert set(KINDS) == {rule.kind for rule in rules.rules}
    assert rules.least_score == 0.3
    angle, line = rules.rules[5], rules.rules[6]
    assert angle == Angle(name="arm bent", joint="elbow", side="left", below=90.0)
    assert line == Line(name="door", start=(0.1, 0.5), end=(0.9, 0.5), direction="to-left")


@pytest.mark.parametrize("name", BODIES)
def test_every_body_skeleton_shows_every_event(name: str, rules_file: Path) -> None:
    load_rules(rules_file).check(load_skeleton(name))


@pytest.mark.parametrize("name", ["boxes", "hand21", "face70", "car12"])
def test_a_skeleton_that_lacks_the_parts_is_told_with_the_rules_that_need_them(name: str, rules_file: Path) -> None:
    with pytest.raises(UsageError, match="does not show what these events need") as told:
        load_rules(rules_file).check(load_skeleton(name))
    lines = str(told.value)
    assert "arm bent (angle) needs LShoulder and LElbow and LWrist" in lines
    # Lines and zones need no parts: a detector's boxes do.
    assert "door" not in lines


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[event]]\nkind = "dance"', "kinds of event are"),
        ("[[event]]\nname = 'x'", "has no kind"),
        (
            '[[event]]\nkind = "wave"\nturn = 3',
            "a wave has the keys name, min_s, gap_s, side, turns, within_s, swing; it does not have turn",
        ),
        ('[[event]]\nkind = "angle"\nbelow = 90', "needs joint"),
        ('[[event]]\nkind = "angle"\nbelow = 90\njoint = "wrist"', "joint is elbow, shoulder, hip, knee; got 'wrist'"),
        ('[[event]]\nkind = "angle"\njoint = "knee"', "give one of both"),
        ('[[event]]\nkind = "raised-hand"\nside = "top"', "side is left, right, either, both; got 'top'"),
        ('[[event]]\nkind = "raised-hand"\non = 0.1\noff = 0.5', "no higher"),
        ('[[event]]\nkind = "raised-hand"\non = "high"', "on is a number; got 'high'"),
        ('[[event]]\nkind = "wave"\nturns = 2.5', "turns is a whole number"),
        ('[[event]]\nkind = "lying"\nmin_s = -1', "min_s lies between 0 and 3600"),
        ('[[event]]\nkind = "lying"\nmin_s = true', "min_s is a number"),
        ('[[event]]\nkind = "line"\nfrom = [0, 0]', "needs to"),
        ('[[event]]\nkind = "line"\nfrom = [0, 0]\nto = [0, 0]', "differ"),
        ('[[event]]\nkind = "line"\nfrom = [0, 0]\nto = [640, 0]', 'units = "pixels"'),
        ('[[event]]\nkind = "line"\nfrom = [0, 0, 0]\nto = [1, 0]', r"a place is \[x, y\]"),
        ('[[event]]\nkind = "line"\nfrom = [0, nan]\nto = [1, 0]', "numbers"),
        ('[[event]]\nkind = "zone"\npolygon = [[0, 0], [1, 1]]', "three corners"),
        ('[[event]]\nkind = "zone"\npolygon = 3', "list of places"),
        ('[[event]]\nkind = "wave"\n[[event]]\nkind = "wave"', "two events are called wave"),
        ('[event]\nkind = "wave"', "double brackets"),
        ("[[events]]\nkind = 'wave'", "does not have events"),
        ("least_score = 2\n[[event]]\nkind = 'wave'", "least_score lies between 0 and 1"),
        ("", "there is no rule"),
        ("[[event", "is not TOML"),
    ],
)
def test_a_mistake_is_told_with_what_there_is(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said) as told:
        load_rules(path)
    assert str(path) in str(told.value)


def test_an_unknown_kind_names_all_that_there_are() -> None:
    with pytest.raises(UsageError) as told:
        rules_from({"event": [{"kind": "dance"}]}, "rules.toml")
    assert all(kind in str(told.value) for kind in KINDS)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml"):
        load_rules(tmp_path / "none.toml")
