"""Heads that find everybody in a frame: offsets, embedding and segmentation, on people drawn exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from posetrt.calib.heads import embedding, offsets, segmentation
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.base import DecodeOptions, Head
from posetrt.runtime.heads.embedding import EmbeddingHead
from posetrt.runtime.heads.offsets import OffsetsHead
from posetrt.runtime.heads.registry import head_from_dict
from posetrt.runtime.heads.segmentation import SegmentationHead
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People, nobody
from tests.runtime.heads.drawn_people import COCO17, people_in_a_frame, recall_and_error

FOUR = {role: role for role in OffsetsHead.roles}
CASES: dict[str, tuple[Head, Any, tuple[int, int]]] = {
    "offsets": (OffsetsHead(outputs=FOUR), offsets.encode, (801, 513)),
    "offsets, channels last, x first": (
        OffsetsHead(outputs=FOUR, channels="last", y_first=False, logits=False, stride=8),
        offsets.encode,
        (801, 513),
    ),
    "embedding": (EmbeddingHead(outputs={"heatmaps": "h", "tags": "t"}), embedding.encode, (800, 512)),
    "embedding, both in one, and finer maps": (
        EmbeddingHead(outputs={"heatmaps": "h", "tags": "h", "fine": "f"}, logits=True),
        embedding.encode,
        (800, 512),
    ),
    "embedding, all but peaks negated": (
        EmbeddingHead(outputs={"heatmaps": "h", "tags": "t"}, negated=True),
        embedding.encode,
        (800, 512),
    ),
    "embedding, tags of two dimensions": (
        EmbeddingHead(outputs={"heatmaps": "h", "tags": "t"}, dimensions=2, tag_order="dimension", tag_threshold=8.0),
        embedding.encode,
        (800, 512),
    ),
    "segmentation": (SegmentationHead(outputs={"heatmaps": "h", "masks": "m"}), segmentation.encode, (800, 512)),
    "segmentation, few masks of logits": (
        SegmentationHead(
            outputs={"heatmaps": "h", "masks": "m"},
            limb_masks=(0, 0, 0, 0, 1, 1, 2, 3, 2, 3, 1, 1, 4, 5, 4, 5),
            heatmap_logits=True,
            mask_logits=True,
        ),
        segmentation.encode,
        (800, 512),
    ),
}


@pytest.mark.parametrize("count", [1, 10, 20])
@pytest.mark.parametrize("name", CASES)
def test_people_survive_encoding_and_decoding(name, count):
    head, encode, size = CASES[name]
    for seed in range(3 if count == 1 else 1):
        truth = people_in_a_frame(count, size, 240, seed)
        found = head.decoder(COCO17).decode(encode(head, COCO17, [truth], size), size)[0]
        recall, error = recall_and_error(found, truth)
        assert recall >= 0.98
        assert error <= 0.3
        assert len(found) == count
        assert found.scores.max() <= 1
        assert (np.diff(found.scores) <= 0).all()


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("segmentation")])
@pytest.mark.parametrize("apart", [(40, 14), (24, -30), (32, 22)])
def test_people_who_overlap_keep_their_own_parts(name, apart):
    head, encode, size = CASES[name]
    one = people_in_a_frame(1, size, 240).keypoints
    two = one + np.array([*apart, 0], np.float32)
    truth = People(np.concatenate([one, two]), np.ones(2, np.float32))
    recall, _ = recall_and_error(head.decoder(COCO17).decode(encode(head, COCO17, [truth], size), size)[0], truth)
    assert recall == 1


@pytest.mark.parametrize("name", CASES)
def test_frames_of_a_batch_are_decoded_each_for_itself(name):
    head, encode, size = CASES[name]
    frames = [people_in_a_frame(3, size, 240, 1), nobody(17), people_in_a_frame(2, size, 240, 2)]
    found = head.decoder(COCO17).decode(encode(head, COCO17, frames, size), size)
    assert [len(each) for each in found] == [3, 0, 2]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("value", [np.nan, np.inf, 0.5])
def test_maps_of_nonsense_end_in_bounded_work_and_finite_people(name, value):
    head, encode, size = CASES[name]
    tensors = encode(head, COCO17, [people_in_a_frame(2, size, 240)], size)
    noise = np.random.default_rng(0)
    for tensor in tensors.values():
        tensor[...] = noise.uniform(-1, 1, tensor.shape) if value == 0.5 else value
    for preset in ("balanced", "all", "evaluate"):
        found = head.decoder(COCO17, DecodeOptions(preset)).decode(tensors, size)[0]
        assert np.isfinite(found.keypoints).all()
        assert len(found) <= 1700


@pytest.mark.parametrize("name", CASES)
def test_a_least_score_leaves_out_the_doubtful(name):
    head, encode, size = CASES[name]
    truth = people_in_a_frame(4, size, 240)
    tensors = encode(head, COCO17, [truth], size)
    scores = head.decoder(COCO17).decode(tensors, size)[0].scores
    least = float((scores[1] + scores[2]) / 2)
    assert len(head.decoder(COCO17, DecodeOptions(min_score=least)).decode(tensors, size)[0]) == int((scores >= least).sum()) < 4


@pytest.mark.parametrize("name", CASES)
def test_the_head_travels_in_a_manifest_and_other_maps_are_refused(name):
    head, encode, size = CASES[name]
    assert head_from_dict(head.to_dict(), "manifest") == head
    tensors = encode(head, COCO17, [nobody(17)], size)
    axis = 3 if "last" in name else 1
    with pytest.raises(UsageError, match="got"):
        head.decoder(COCO17).decode({each: np.delete(tensor, 0, axis=axis) for each, tensor in tensors.items()}, size)


def test_edges_that_do_not_join_all_parts_are_refused():
    with pytest.raises(UsageError, match="one tree"):
        OffsetsHead(outputs=FOUR).decoder(Skeleton("two", ("a", "b"), ()))


def test_two_people_whose_tags_are_alike_become_one_and_apart_two():
    head = EmbeddingHead(outputs={"heatmaps": "h", "tags": "t"})
    truth = people_in_a_frame(2, (800, 512), 240)
    tensors = embedding.encode(head, COCO17, [truth], (800, 512))
    assert len(head.decoder(COCO17).decode(tensors, (800, 512))[0]) == 2
    tensors["t"][:] = 0.2
    first = head.decoder(COCO17).decode(tensors, (800, 512))[0]
    assert not np.allclose(first.keypoints[0, :, :2], truth.keypoints[0, :, :2], atol=2)
