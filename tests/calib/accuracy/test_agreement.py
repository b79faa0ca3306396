"""Agreement between two sets of people: COCO's similarity, as pycocotools computes it."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval

from posetrt.calib.accuracy.agreement import agreement, part_similarities
from posetrt.runtime.model.skeleton import Skeleton, load_skeleton
from posetrt.runtime.people import People, nobody, to_coco17

COCO18 = load_skeleton("coco18")


def crowd(seed: int, count: int = 4) -> People:
    random = np.random.default_rng(seed)
    points = np.empty((count, 18, 3), np.float32)
    points[..., :2] = random.uniform(0, 120, (count, 18, 2)) + random.uniform(0, 900, (count, 1, 2))
    points[..., 2] = random.uniform(0.3, 1, (count, 18))
    return People(points, points[..., 2].mean(axis=1))


def test_the_similarity_is_pycocotools() -> None:
    reference = crowd(1)
    noise = np.random.default_rng(2).normal(0, 4, reference.keypoints.shape).astype(np.float32)
    noise[..., 2] = 0
    moved = People(reference.keypoints + noise, reference.scores)
    extent = reference.keypoints[..., :2].max(axis=1) - reference.keypoints[..., :2].min(axis=1)
    areas = extent.prod(axis=1) * 0.53
    evaluation = COCOeval(iouType="keypoints")
    evaluation.params.imgIds, evaluation.params.catIds = [1], [1]
    truths, found = to_coco17(reference, COCO18), to_coco17(moved, COCO18)
    evaluation._gts[1, 1] = [
        {"keypoints": [v for x, y, _ in person.tolist() for v in (x, y, 2)], "area": area, "bbox": [0, 0, 1, 1]}
        for person, area in zip(truths, areas.tolist(), strict=True)
    ]
    evaluation._dts[1, 1] = [{"keypoints": person.ravel().tolist(), "score": 1 - i / 10} for i, person in enumerate(found)]
    theirs = evaluation.computeOks(1, 1).T
    order = list(COCO18.coco17)
    ours = part_similarities(reference.keypoints, moved.keypoints, COCO18.tolerances())[..., order].mean(axis=2)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_same_people_agree_wholly_and_strangers_not_at_all() -> None:
    people = crowd(3)
    assert agreement([people], [people], COCO18).oks == 1
    assert agreement([people], [nobody(18)], COCO18).oks == 0
    assert agreement([nobody(18)], [nobody(18)], COCO18).oks == 1
    far = People(people.keypoints + np.float32([5000, 0, 0]), people.scores)
    assert agreement([people], [far], COCO18).oks == 0


def test_a_lost_person_and_a_lost_part_both_cost() -> None:
    people = crowd(4)
    fewer = People(people.keypoints[1:], people.scores[1:])
    assert agreement([people], [fewer], COCO18).oks == pytest.approx(2 * 3 / 7)
    limbless = people.keypoints.copy()
    limbless[:, 4] = 0
    found = agreement([people], [People(limbless, people.scores)], COCO18)
    assert found.oks == pytest.approx(17 / 18)
    assert found.parts[4] == 0
    assert found.parts[5] == 1


def test_a_detectors_doubtful_people_are_counted_and_not_compared() -> None:
    def boxes(*scores: float) -> People:
        places = [[100.0 * index, 0, 50, 50] for index in range(len(scores))]
        return People(np.zeros((len(scores), 0, 3), np.float32), np.array(scores, np.float32), boxes=np.array(places, np.float32))

    found = agreement([boxes(0.9, 0.28, 0.27)], [boxes(0.9, 0.28)], Skeleton("boxes", (), ()))
    assert (found.oks, found.reference_people, found.people) == (1.0, 3, 2)
