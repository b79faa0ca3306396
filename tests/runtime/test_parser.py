"""The parser: what a robot reads from a network's maps."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from posetrt.runtime.engines.base import Outputs
from posetrt.runtime.errors import UsageError
from posetrt.runtime.parser import PafParser
from posetrt.runtime.skeleton import Skeleton, load_skeleton

COCO18 = load_skeleton("coco18")
Maps = tuple[NDArray[np.float32], NDArray[np.float32]]


def garbage(kind: str) -> Maps:
    """Maps of a frame on which a network has failed."""
    rng = np.random.default_rng(0)
    heatmaps = {
        "ones": np.ones((19, 46, 82), np.float32),
        "zeros": np.zeros((19, 46, 82), np.float32),
        "nan": np.full((19, 46, 82), np.nan, np.float32),
        "infinity": np.full((19, 46, 82), np.inf, np.float32),
        "half infinity": np.where(rng.random((19, 46, 82)) < 0.5, np.inf, 0.5).astype(np.float32),
    }[kind]
    return heatmaps, np.repeat(heatmaps[:1], 38, axis=0)


@pytest.mark.parametrize("kind", ["ones", "zeros", "nan", "infinity", "half infinity"])
def test_a_failed_network_gives_nobody_and_no_warning(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(PafParser(COCO18).parse(*garbage(kind))) == 0


def test_maps_of_another_skeleton_are_refused_with_the_shapes() -> None:
    parser = PafParser(COCO18)
    with pytest.raises(UsageError, match=r"\(18 or 19, h, w\), not \(26, 46, 82\)"):
        parser.parse(np.zeros((26, 46, 82), np.float32), np.zeros((52, 46, 82), np.float32))
    with pytest.raises(UsageError, match="38 PAF channels"):
        parser.parse(np.zeros((19, 46, 82), np.float32))


def test_an_unknown_setting_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="peak_threshold"):
        PafParser(COCO18, peek_threshold=0.2)


def test_a_network_of_heat_maps_only_gives_one_person_to_a_fraction_of_a_cell() -> None:
    hand = Skeleton("three", ("a", "b", "c"), ((0, 1), (1, 2)), background=True)
    rows, columns = np.mgrid[:46, :46]
    places = np.array([[10.3, 20.2], [30.75, 8.4], [0.2, 45.0]])
    maps = [np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 1.5**2) for x, y in places]
    people = PafParser(hand).parse(np.stack([*maps, np.ones((46, 46))]).astype(np.float32))
    assert len(people) == 1
    np.testing.assert_allclose(people.keypoints[0, :2, :2], places[:2], atol=0.01)
    np.testing.assert_allclose(people.keypoints[0, 2, :2], places[2], atol=0.5)


def test_tensors_that_the_graph_decoded_become_people() -> None:
    peaks = np.zeros((1, 18, 4, 3), np.float32)
    pairs = np.zeros((1, 19, 4, 4), np.float32)
    peaks[0, :, 0] = np.stack([np.arange(18), np.arange(18) * 2, np.full(18, 0.9)], axis=1)
    pairs[0, :, 0, 0] = 0.8
    (people,) = PafParser(COCO18).parse_outputs(Outputs(peaks=peaks, pairs=pairs))
    np.testing.assert_array_equal(people.keypoints, peaks[:, :, 0])
