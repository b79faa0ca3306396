"""`posetrt compare-models` on drawn clips."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from posetrt.calib.accuracy.agreement import agreement
from posetrt.corpus.disagreement import common_skeleton
from posetrt.runtime.errors import UsageError
from posetrt.runtime.model.skeleton import load_skeleton
from posetrt.runtime.people import People
from posetrt.runtime.pose import open_pose
from posetrt.runtime.sources import open_source
from tests.cli.conftest import Posetrt, posetrt  # noqa: F401 a fixture


def test_the_worst_frames_of_two_precisions_are_shown_and_listed(corpus: Path, tmp_path: Path, posetrt: Posetrt) -> None:  # noqa: F811
    out = tmp_path / "out"
    call = ("compare-models", "nano", "nano", "--precision-b", "int8", "--source", corpus, "-o", out, "--worst", 3, "--select", 2)
    said = posetrt(*call, "--workers", 1, "--json")
    assert said.code == 1
    assert "failed: " in said.err
    told = json.loads(said.out)
    # The same by hand, in one piece.
    found: dict[str, list[People]] = {"fp32": [], "int8": []}
    for precision, people in found.items():
        with open_pose("nano", precision=precision, threads=1) as pose:
            for path in sorted(corpus.rglob("clip*.avi")):
                people += [pose(frame.image) for frame in open_source(path)]
    expected = agreement(found["fp32"], found["int8"], load_skeleton("coco18"))
    assert told["frames"] == 20
    assert told["agreement"] == pytest.approx(expected.oks, abs=1e-6)
    assert (told["people_first"], told["people_second"]) == (expected.reference_people, expected.people)
    page = json.loads((out / "compare.json").read_text())
    assert page["worst"][0]["agreement"] == pytest.approx(float(expected.images.min()), abs=1e-6)
    assert (out / "compare.html").read_text().count("<figure>") == min(3, len(page["worst"]))
    rows = list(csv.DictReader((out / "select.csv").read_text().splitlines()))
    assert len(rows) == 2
    # No two within a second of each other, and these clips are shorter.
    assert len({row["source"] for row in rows}) == 2
    assert posetrt("map", "nano", "--source", out / "select.txt", "-o", tmp_path / "map", "--workers", 1).code == 0


def test_skeletons_meet_in_cocos_parts_or_not_at_all() -> None:
    coco18, coco17 = load_skeleton("coco18"), load_skeleton("coco17")
    skeleton, alike = common_skeleton(coco18, coco17)
    points = np.random.default_rng(0).uniform(10, 200, (1, 17, 3)).astype(np.float32)
    wide = np.zeros((1, 18, 3), np.float32)
    wide[:, list(coco18.coco17)] = points
    scores = np.ones(1, np.float32)
    one, other = People(wide, scores, skeleton=coco18), People(points, scores, skeleton=coco17)
    assert agreement([alike(one)], [alike(other)], skeleton).oks == 1.0
    with pytest.raises(UsageError, match="skeletons coco17 and hand21 have no key points in common"):
        common_skeleton(coco17, load_skeleton("hand21"))
