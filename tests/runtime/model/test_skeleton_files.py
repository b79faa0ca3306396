"""The skeletons of public data sets: their order, their sides and COCO's parts in them."""

from __future__ import annotations

import pytest

from posetrt.runtime.model.skeleton import load_skeleton


@pytest.mark.parametrize(("name", "parts"), [("coco17", 17), ("halpe26", 26), ("coco-wholebody133", 133), ("crowdpose14", 14)])
def test_every_part_has_a_side_a_sigma_and_a_limb_of_its_own_size(name: str, parts: int) -> None:
    skeleton = load_skeleton(name)
    assert len(skeleton.parts) == len(skeleton.mirror) == len(skeleton.sigmas) == parts
    assert all(0 < sigma < 0.2 for sigma in skeleton.sigmas)
    for index, part in enumerate(skeleton.parts):
        other = skeleton.parts[skeleton.mirror[index]]
        if part[0] in "LR" and part[1].isupper():
            assert other == {"L": "R", "R": "L"}[part[0]] + part[1:]
        # What is mirrored is as hard to place, but for the face and hands, whose sigmas were measured on each side.
        if index < 17:
            assert skeleton.sigmas[index] == skeleton.sigmas[skeleton.mirror[index]]


@pytest.mark.parametrize("name", ["coco17", "halpe26", "coco-wholebody133"])
def test_cocos_parts_come_first_and_in_cocos_order(name: str) -> None:
    skeleton = load_skeleton(name)
    assert skeleton.coco17 == tuple(range(17))
    assert [skeleton.parts[index] for index in skeleton.coco17] == list(load_skeleton("coco17").parts)
