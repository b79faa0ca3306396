"""Small people: a frame is looked at whole and in tiles, and whoever several of these views show comes out once and whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from posetrt.calib.heads.hooks import encode
from posetrt.cli import main
from posetrt.runtime.engines.base import Engine
from posetrt.runtime.errors import UsageError
from posetrt.runtime.find.merge import merged
from posetrt.runtime.find.tiles import Tiles, tiles_from
from posetrt.runtime.find.whole_frame import WholeFrame
from posetrt.runtime.heads.base import Head
from posetrt.runtime.heads.embedding import EmbeddingHead
from posetrt.runtime.heads.offsets import OffsetsHead
from posetrt.runtime.heads.segmentation import SegmentationHead
from posetrt.runtime.model.manifest import InputSpec, Manifest
from posetrt.runtime.model.skeleton import Skeleton, load_skeleton
from posetrt.runtime.people import People
from posetrt.runtime.pipeline import pipeline
from posetrt.runtime.placement import Fit
from posetrt.runtime.pose import Pose
from posetrt.runtime.sources.base import Frame
from tests.heads import maps_head
from tests.runtime.heads.drawn_people import COCO17, people_in_a_frame
from tests.runtime.heads.families import DETECTORS, ROWS

FRAME_WH = (1200, 900)
TILES = Tiles(2, 2)
BOXES = load_skeleton("boxes")
HEADS: dict[str, tuple[Head, Skeleton, tuple[int, int]]] = {
    "rows": (ROWS["yolo11"], COCO17, (640, 480)),
    "boxes": (DETECTORS["rtmdet"], BOXES, (640, 480)),
    "offsets": (OffsetsHead(outputs={role: role for role in OffsetsHead.roles}), COCO17, (641, 481)),
    "embedding": (EmbeddingHead(outputs={"heatmaps": "h", "tags": "t"}), COCO17, (640, 480)),
    "segmentation": (SegmentationHead(outputs={"heatmaps": "h", "masks": "m"}), COCO17, (640, 480)),
}


class Shown(Engine):
    """Gives, picture by picture, exactly what each view of a frame of `FRAME_WH` shows of known people; parts outside it are not there."""

    backend, precision = "stand-in", "fp32"

    def __init__(self, head: Head, skeleton: Skeleton, size_wh: tuple[int, int], people: People, max_batch: int = 0) -> None:
        spec = InputSpec("image", "NHWC", size_wh, size_wh, size_wh, max_batch=max_batch, dtype="uint8", fit=Fit("centre"))
        self.manifest = Manifest("shown", skeleton, spec, head)
        self.calls: list[int] = []
        self._views = [
            _seen_in(people, box, placement)
            for box, placement in zip(TILES.boxes(FRAME_WH), TILES.placements(FRAME_WH, size_wh, "centre"), strict=True)
        ]
        self._at = 0

    def infer(self, inputs):  # type: ignore[no-untyped-def]
        self.calls.append(len(inputs))
        views = [self._views[(self._at + number) % len(self._views)] for number in range(len(inputs))]
        self._at += len(inputs)
        spec = self.manifest.input
        each = [encode(self.manifest.head, self.manifest.skeleton, [view], spec.size_wh) for view in views]
        return {name: np.concatenate([one[name] for one in each]) for name in each[0]}

    def close(self) -> None:
        pass


def _seen_in(people: People, box: Sequence[int], placement) -> People:  # type: ignore[no-untyped-def]
    low, high = np.array(box[:2]), np.array(box[:2]) + box[2:]
    points = people.keypoints.copy()
    inside = ((points[..., :2] >= low) & (points[..., :2] < high)).all(axis=2)
    points[~inside] = 0
    corners = np.concatenate([people.boxes[:, :2], people.boxes[:, :2] + people.boxes[:, 2:]], axis=1)
    corners = np.clip(corners, [*low, *low], [*high, *high])
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).astype(np.float32)
    seen = (boxes[:, 2:].min(axis=1) > 12) & ((inside.sum(axis=1) > 3) if points.shape[1] else True)
    return replace(
        people, keypoints=placement.to_network(points[seen]), scores=people.scores[seen], boxes=placement.boxes_to_network(boxes[seen])
    )


def crowd(skeleton: Skeleton, height: float, count: int = 9) -> People:
    people = people_in_a_frame(count, FRAME_WH, height, seed=3)
    # In each row whoever is nearest to it stands right on the seam.
    middles = people.keypoints[..., 0].mean(axis=1)
    for row in (people.keypoints[:, 0, 1] < FRAME_WH[1] / 2, people.keypoints[:, 0, 1] >= FRAME_WH[1] / 2):
        person = np.flatnonzero(row)[np.abs(middles[row] - FRAME_WH[0] / 2).argmin()]
        people.keypoints[person, :, 0] += FRAME_WH[0] / 2 - middles[person]
    low, high = people.keypoints[..., :2].min(axis=1) - 4, people.keypoints[..., :2].max(axis=1) + 4
    boxes = np.concatenate([low, high - low], axis=1).astype(np.float32)
    keypoints = people.keypoints if skeleton.parts else people.keypoints[:, :0]
    return People(keypoints, people.scores, boxes=boxes, skeleton=skeleton)


@pytest.mark.parametrize("height", [120, 300])
@pytest.mark.parametrize("name", HEADS)
def test_everybody_comes_out_once_and_whole_whatever_the_head(name: str, height: float) -> None:
    head, skeleton, size = HEADS[name]
    truth = crowd(skeleton, height)
    with WholeFrame(Shown(head, skeleton, size, truth), tiles=TILES) as finder:
        found = finder.find(np.zeros((FRAME_WH[1], FRAME_WH[0], 3), np.uint8))
    assert len(found) == len(truth)
    assert (np.diff(found.scores) <= 0).all()
    for person in range(len(truth)):
        if skeleton.parts:
            apart = np.abs(found.keypoints[:, :, :2] - truth.keypoints[person, :, :2]).max(axis=(1, 2))
            assert apart.min() < 8
        else:
            assert np.abs(found.boxes - truth.boxes[person]).max(axis=1).min() < 2


def test_people_of_maps_with_affinity_fields_come_out_once_and_whole() -> None:
    from posetrt.runtime.heads.paf.layout import load_layout
    from tests.moving import walkers

    layout = load_layout("coco18")
    skeleton = load_skeleton("coco18")
    _, people, _ = next(iter(walkers(4, 1, noise_px=0, lose_part=0, seed=2)))
    keypoints = people.keypoints.copy()
    for person, x in enumerate((150, 600, 900, 1100)):
        feet = keypoints[person, :, :2].max(axis=0)
        keypoints[person, :, :2] = (keypoints[person, :, :2] - feet) * (160 / np.ptp(keypoints[person, :, 1])) + (x, 530)
    low, high = keypoints[..., :2].min(axis=1), keypoints[..., :2].max(axis=1)
    truth = People(keypoints, people.scores, boxes=np.concatenate([low, high - low], axis=1), skeleton=skeleton)
    with WholeFrame(Shown(maps_head(layout), skeleton, (640, 480), truth), tiles=TILES) as finder:
        found = finder.find(np.zeros((FRAME_WH[1], FRAME_WH[0], 3), np.uint8))
    assert len(found) == 4
    assert (found.keypoints[..., 2] > 0).all()


def test_who_is_cut_in_each_view_is_put_together_from_all() -> None:
    truth = people_in_a_frame(1, (400, 800), 700, seed=1)
    truth = replace(truth, keypoints=truth.keypoints + np.float32([400, 50, 0]))
    nobody = truth.chosen(np.zeros(0, np.intp))
    placements = TILES.placements(FRAME_WH, (640, 480), "centre")
    views = [nobody]
    for box in TILES.boxes(FRAME_WH)[1:]:
        seen = truth.keypoints.copy()
        inside = ((seen[..., :2] >= box[:2]) & (seen[..., :2] < np.array(box[:2]) + box[2:])).all(axis=2)
        # A network that always gives every part puts those that it does not see somewhere, without being sure of them.
        seen[~inside] = [*(np.array(box[:2]) + 5), 0.05]
        views.append(replace(truth, keypoints=seen))
    found = merged(views, placements, COCO17)
    assert len(found) == 1
    np.testing.assert_allclose(found.keypoints[0], truth.keypoints[0])


def test_neighbours_stay_two_and_pieces_of_a_person_are_not_people() -> None:
    placements = TILES.placements(FRAME_WH, (640, 480), "centre")
    left, right = np.float32([560, 400, 40, 110]), np.float32([590, 402, 40, 110])
    none = People(np.zeros((0, 0, 3), np.float32), np.zeros(0, np.float32), boxes=np.zeros((0, 4), np.float32))

    def of(*boxes):  # type: ignore[no-untyped-def]
        return People(np.zeros((len(boxes), 0, 3), np.float32), np.linspace(0.9, 0.8, len(boxes), dtype=np.float32), boxes=np.stack(boxes))

    both = merged([of(left, right), of(left, right), of(right, left), none, none], placements, BOXES)
    assert len(both) == 2
    whole = np.float32([580, 420, 60, 400])
    tile = TILES.boxes(FRAME_WH)[1]
    piece = np.float32([582, 422, 50, tile[3] - 422])
    found = merged([of(whole), of(piece), none, none, none], placements, BOXES)
    np.testing.assert_array_equal(found.boxes, [whole])


def test_tiles_cover_the_frame_and_overlap() -> None:
    whole, *tiles = Tiles(3, 2, 0.25).boxes((1920, 1080))
    assert whole == (0, 0, 1920, 1080)
    assert len(tiles) == 6
    assert len({tile[2:] for tile in tiles}) == 1
    seen = np.zeros((1080, 1920), int)
    for left, top, width, height in tiles:
        seen[top : top + height, left : left + width] += 1
    assert seen.min() == 1
    width = tiles[0][2]
    assert abs((tiles[0][0] + width - tiles[1][0]) / width - 0.25) < 0.01


@pytest.mark.parametrize(("most", "calls"), [(0, [5]), (8, [5]), (2, [2, 2, 1]), (1, [1] * 5)])
def test_the_engine_gets_as_many_pictures_at_once_as_it_takes(most: int, calls: list[int]) -> None:
    truth = crowd(COCO17, 120)
    engine = Shown(ROWS["yolo11"], COCO17, (640, 480), truth, most)
    with Pose(WholeFrame(engine, tiles=TILES)) as pose:
        image = np.zeros((FRAME_WH[1], FRAME_WH[0], 3), np.uint8)
        assert len(pose(image)) == len(truth)
        assert engine.calls == calls
        # The pipeline, with ids as ever.
        engine.calls.clear()
        frames = [Frame(image, "drone", index, index / 10) for index in range(3)]
        results = list(pipeline.results(pose, frames, options=pipeline.Options(track=True)))
    assert engine.calls == calls * 3
    assert [sorted(result.people.ids.tolist()) for result in results] == [list(range(len(truth)))] * 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2", "COLUMNSxROWS"),
        ("two", "COLUMNSxROWS"),
        ("2x2x2", "COLUMNSxROWS"),
        ("1x1", "two tiles at least"),
        ("9x1", "1 to 8"),
        ("0x2", "1 to 8"),
    ],
)
def test_tiles_that_are_none_are_told(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        tiles_from(text)


def test_a_frame_too_small_for_its_tiles_is_told() -> None:
    with pytest.raises(UsageError, match="fewer tiles"):
        Tiles(8, 8).boxes((160, 120))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tile-overlap", "0.3"], "--tiles"),
        (["--tiles", "2x2", "--boxes", "whole"], "--boxes"),
        (["--tiles", "2x2", "--tile-overlap", "0.95"], "0 to 0.9"),
    ],
)
def test_options_that_do_not_go_together_are_told(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "nano", "--source", "none.jpg", *options]) == 2
    assert said in capsys.readouterr().err
