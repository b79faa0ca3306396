"""Skeletons of the data sets that single-person networks are trained on."""

from __future__ import annotations

import pytest

from posetrt.runtime.model.skeleton import load_skeleton

PARTS = {"aic14": 14, "lsp14": 14, "mpii16": 16, "blazepose33": 33, "face468": 468}


@pytest.mark.parametrize("name", PARTS)
def test_a_mirror_image_swaps_left_and_right(name):
    skeleton = load_skeleton(name)
    assert len(skeleton.parts) == PARTS[name]
    for part, other in enumerate(skeleton.mirror):
        a, b = skeleton.parts[part], skeleton.parts[other]
        if a[0] in "LR" and a[1].isupper():
            assert {a[0], b[0]} == {"L", "R"}
            assert a[1:] == b[1:]


@pytest.mark.parametrize("name", PARTS)
def test_limbs_of_one_side_have_their_mirror_image_on_the_other(name):
    skeleton = load_skeleton(name)
    limbs = {frozenset(limb) for limb in skeleton.limbs}
    assert {frozenset(skeleton.mirror[end] for end in limb) for limb in limbs} == limbs


def test_blazepose_has_all_of_cocos_parts():
    skeleton = load_skeleton("blazepose33")
    coco = load_skeleton("coco17")
    assert [skeleton.parts[index] for index in skeleton.coco17] == list(coco.parts)


def test_the_faces_middle_is_its_own_mirror_image_and_the_eyes_corners_are_each_others():
    mirror = load_skeleton("face468").mirror
    assert [mirror[point] for point in (1, 4, 10, 13, 152)] == [1, 4, 10, 13, 152]
    assert [mirror[point] for point in (33, 133, 61, 234)] == [263, 362, 291, 454]
