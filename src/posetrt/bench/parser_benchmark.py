"""How fast and how right the parser is, beside two references, on drawn and on recorded maps."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.bench.reference_parser import UpsamplingDecoder, read_once
from posetrt.calib.accuracy.coco import find_people
from posetrt.calib.scenes.drawn import Scene, draw_scene
from posetrt.calib.scenes.held_back import draw_held_back
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.paf.layout import MapLayout
from posetrt.runtime.heads.paf.parser import PafParser
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People, to_coco_results

Maps = tuple[NDArray[np.floating], NDArray[np.floating]]

# COCO's sigmas by part; the parts that COCO has not take a neighbour's.
_SIGMAS = {
    "Nose": 0.026, "Neck": 0.079, "MidHip": 0.107, "Eye": 0.025, "Ear": 0.035, "Shoulder": 0.079, "Elbow": 0.072, "Wrist": 0.062,
    "Hip": 0.107, "Knee": 0.087, "Ankle": 0.089, "BigToe": 0.089, "SmallToe": 0.089, "Heel": 0.089,
}  # fmt: skip
_LEAST_VISIBLE = 3
"""A figure with fewer visible joints is not asked for."""
_FLUSH_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Timing:
    """Medians over frames and repetitions, milliseconds of the one thread's processor time: other programs do not count.

    Attributes:
        parser: whole `parse`, warm.
        peaks, pairs, people: its stages.
        cold: whole `parse` after 64 MiB of other memory were written.
        upsampling: the x8 decoder on the same frames.
        floor: every value of the maps read once.
    """

    parser: float
    peaks: float
    pairs: float
    people: float
    cold: float
    upsampling: float
    floor: float

    @property
    def ratio(self) -> float:
        """How many times faster than the x8 decoder."""
        return self.upsampling / self.parser


@dataclass(frozen=True)
class Accuracy:
    """What was found of drawn people.

    Attributes:
        recall, precision: people with OKS of .5 or more, each drawn figure found once.
        error_px: median distance of the joints of the people found, in pixels of the network's input.
    """

    recall: float
    precision: float
    error_px: float


def time_parsers(parser: PafParser, reference: UpsamplingDecoder | None, frames: Sequence[Maps], repeats: int) -> Timing:
    """Time the parser and the references on the same frames, in turns, so that a busy machine touches all alike."""
    flush = np.zeros(_FLUSH_BYTES, np.uint8)
    runs: dict[str, list[float]] = {name: [] for name in ("parser", "peaks", "pairs", "people", "cold", "upsampling", "floor")}

    def clock(name: str, work: Callable[[], object]) -> None:
        begin = time.thread_time()
        work()
        runs[name].append((time.thread_time() - begin) * 1e3)

    for heatmaps, pafs in frames:
        parser.parse(heatmaps, pafs)
        for _ in range(repeats):
            clock("parser", lambda maps=heatmaps, fields=pafs: parser.parse(maps, fields))  # type: ignore[misc]
            for stage, took in parser.time_stages(heatmaps, pafs).items():
                runs[stage].append(took)
            clock("floor", lambda maps=heatmaps, fields=pafs: read_once(maps, fields))  # type: ignore[misc]
        for _ in range(3):
            flush += 1
            clock("cold", lambda maps=heatmaps, fields=pafs: parser.parse(maps, fields))  # type: ignore[misc]
        if reference is not None:
            clock("upsampling", lambda maps=heatmaps, fields=pafs: reference.parse(maps, fields))  # type: ignore[misc]
    return Timing(**{name: float(np.median(times)) if times else float("nan") for name, times in runs.items()})


def score_people(found: Sequence[People], scenes: Sequence[Scene], skeleton: Skeleton, stride: int = 8) -> Accuracy:
    """Compare people with the figures drawn; best people choose first, each the unclaimed figure of greatest OKS."""
    sigmas = np.array([_SIGMAS.get(part, _SIGMAS.get(re.sub("^[RL]", "", part), 0.079)) for part in skeleton.parts])
    hits = wanted = given = 0
    errors: list[float] = []
    for people, scene in zip(found, scenes, strict=True):
        visible = scene.keypoints[..., 2] > 0
        asked = visible.sum(axis=1) >= _LEAST_VISIBLE
        square = ((people.keypoints[:, None, :, :2] - scene.keypoints[None, :, :, :2]) ** 2).sum(axis=3)
        near = np.exp(-square / (8 * sigmas**2 * scene.areas[None, :, None])) * (people.keypoints[:, None, :, 2] > 0)
        oks = (near * visible).sum(axis=2) / np.maximum(visible.sum(axis=1), 1) * asked
        for person in range(len(people)):
            figure = int(oks[person].argmax())
            if oks[person, figure] < 0.5:
                continue
            oks[:, figure] = 0
            hits += 1
            both = visible[figure] & (people.keypoints[person, :, 2] > 0)
            errors += np.sqrt(square[person, figure, both]).tolist()
        wanted += int(asked.sum())
        given += len(people)
    return Accuracy(hits / max(wanted, 1), hits / max(given, 1), float(np.median(errors)) * stride if errors else float("nan"))


def bench_drawn(
    parser: PafParser,
    layout: MapLayout,
    shape_hw: tuple[int, int],
    people: int,
    noise: float,
    *,
    frames: int,
    repeats: int,
    kind: str = "apart",
) -> dict[str, Any]:
    """One row: drawn frames of `people` figures, the parser beside the x8 decoder.

    Kinds of scene: "apart", where figures keep out of each other's way; "anywhere", where they do not; "no neck", apart, but with
    hubs hidden as often as other joints; "held", the second family of `calib.scenes.held_back`, which chose no setting.
    """
    tries = 1 if kind == "anywhere" else 10
    scenes = [
        draw_held_back(people, layout, shape_hw, seed, noise=noise)
        if kind == "held"
        else draw_scene(people, layout, shape_hw, seed, noise=noise, tries=tries, hide_hubs=kind == "no neck")
        for seed in range(frames)
    ]
    reference = UpsamplingDecoder(layout)
    maps = [(scene.heatmaps, scene.pafs) for scene in scenes]
    timing = time_parsers(parser, reference, maps, repeats)
    ours = score_people([parser.parse(*frame) for frame in maps], scenes, layout.skeleton)
    theirs = score_people([reference.parse(*frame) for frame in maps], scenes, layout.skeleton)
    return {
        "skeleton": layout.skeleton.name,
        "shape_hw": list(shape_hw),
        "people": people,
        "noise": noise,
        "kind": kind,
        "ratio": timing.ratio,
        "timing_ms": vars(timing),
        "parser": vars(ours),
        "upsampling": vars(theirs),
    }


def bench_worst(parser: PafParser, layout: MapLayout, shape_hw: tuple[int, int], repeats: int) -> list[dict[str, Any]]:
    """Maps of networks that have failed: what each costs, and how many people it gives."""
    rng = np.random.default_rng(0)
    shapes = (layout.heatmap_channels, *shape_hw), (layout.paf_channel_count, *shape_hw)

    def filled(value: float) -> Maps:
        return np.full(shapes[0], value, np.float32), np.full(shapes[1], value, np.float32)

    cases: dict[str, Maps] = {
        "all zero": filled(0),
        "all one": filled(1),
        "all NaN": filled(np.nan),
        "all infinite": filled(np.inf),
        "noise, 0 to 1, PAFs -1 to 1": (
            rng.random(shapes[0], dtype=np.float32),
            rng.uniform(-1, 1, shapes[1]).astype(np.float32),
        ),
        "noise, PAFs all one": (rng.random(shapes[0], dtype=np.float32), np.ones(shapes[1], np.float32)),
    }
    return [
        {"case": name, "ms": time_parsers(parser, None, [maps], repeats).parser, "people": len(parser.parse(*maps))}
        for name, maps in cases.items()
    ]


def bench_recorded(
    parser: PafParser, layout: MapLayout, folder: Path, repeats: int, annotations: Path | None = None, ranking: PafParser | None = None
) -> dict[str, Any]:
    """Recorded maps: a folder of .npz files with `heatmaps` and `pafs`, and for AP `scale_xy` and names that end in COCO's image number.

    Args:
        ranking: gives the people that AP ranks, where `parser` leaves out weak ones.

    Raises:
        UsageError: no maps there, or what AP needs is missing.
    """
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise UsageError(f"{folder}: no .npz files; each holds heatmaps (J+1, h, w) and pafs (2C, h, w) of one frame")
    maps: list[Maps] = []
    scales = []
    for path in files:
        with np.load(path) as arrays:
            if not {"heatmaps", "pafs"} <= set(arrays.files):
                raise UsageError(f"{path}: has {sorted(arrays.files)}; a recorded frame holds heatmaps and pafs")
            maps.append((arrays["heatmaps"].astype(np.float32), arrays["pafs"].astype(np.float32)))
            scales.append(arrays["scale_xy"] if "scale_xy" in arrays.files else None)
    reference = UpsamplingDecoder(layout)
    timing = time_parsers(parser, reference, maps, repeats)
    row: dict[str, Any] = {"maps": folder.name, "frames": len(maps), "ratio": timing.ratio, "timing_ms": vars(timing)}
    if annotations is not None:
        for name, decode in (("parser", (ranking or parser).parse), ("upsampling", reference.parse)):
            row[name] = _average_precision([decode(*frame) for frame in maps], files, scales, layout.skeleton, annotations)
    return row


def bench_nobody(pose: Callable[[NDArray[np.uint8]], People], photos: Sequence[Path]) -> dict[str, Any]:
    """False people on photographs without people.

    Args:
        pose: finds people in a picture (h, w, 3) uint8 BGR.
        photos: on which there is nobody.

    Returns:
        `photos`, `people` found in all of them, `per_photo`, and `photos_with_people`: how many have any.
    """
    counts = [len(people) for people in find_people(pose, photos)]
    return {
        "photos": len(counts),
        "people": sum(counts),
        "per_photo": sum(counts) / len(counts),
        "photos_with_people": sum(count > 0 for count in counts),
    }


def together(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All recorded frames of several folders as one row: the mean of the folders' times, each weighed by its frames."""
    frames = sum(row["frames"] for row in rows)
    times = {name: sum(row["frames"] * row["timing_ms"][name] for row in rows) / frames for name in ("parser", "upsampling")}
    return {"maps": "together", "frames": frames, "ratio": times["upsampling"] / times["parser"], "timing_ms": times}


def _average_precision(
    found: Sequence[People], files: Sequence[Path], scales: Sequence[Any], skeleton: Skeleton, annotations: Path, stride: int = 8
) -> dict[str, float]:
    """COCO's key-point AP of people in cells, on the photographs that the files are named after."""
    import contextlib
    import io

    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    numbers, results = [], []
    for people, path, scale in zip(found, files, scales, strict=True):
        digits = re.search(r"(\d+)$", path.stem)
        if digits is None or scale is None:
            raise UsageError(f"{path}: AP needs scale_xy in the file and a name that ends in the number of the photograph")
        if int(digits.group(1)) in numbers:
            raise UsageError(f"{path}: another file is of photograph {int(digits.group(1))} too; AP needs one of each")
        numbers.append(int(digits.group(1)))
        keypoints = people.keypoints.copy()
        there = keypoints[..., 2] > 0
        keypoints[..., :2] = np.where(there[..., None], (keypoints[..., :2] + 0.5) * stride / np.asarray(scale, np.float32) - 0.5, 0)
        results += to_coco_results(People(keypoints, people.scores), skeleton, numbers[-1])
    if not results:
        return {"ap": 0.0, "ap50": 0.0}
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.params.imgIds = numbers
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {"ap": float(evaluation.stats[0]), "ap50": float(evaluation.stats[1])}


def growth(rows: Sequence[dict[str, Any]], few: int = 10, many: int = 100) -> float | None:
    """Exponent k of time ~ people^k between two rows of one kind; None where either is missing."""
    times = {row["people"]: row["timing_ms"]["parser"] for row in rows}
    if few not in times or many not in times:
        return None
    return float(np.log(times[many] / times[few]) / np.log(many / few))


def draw_chart(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write a PNG: time over people for the parser, the x8 decoder and the memory floor; recall beside it."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    people = [row["people"] for row in rows]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for name, label in (("upsampling", "x8 upsampling"), ("parser", "posetrt"), ("floor", "each map read once")):
        left.loglog(people, [row["timing_ms"][name] for row in rows], marker="o", label=label)
    left.set(xlabel="people drawn", ylabel="ms a frame, one thread")
    for name, label in (("upsampling", "x8 upsampling"), ("parser", "posetrt")):
        right.semilogx(people, [row[name]["recall"] for row in rows], marker="o", label=f"{label}: recall")
        right.semilogx(people, [row[name]["precision"] for row in rows], marker="x", linestyle="--", label=f"{label}: precision")
    right.set(xlabel="people drawn", ylabel="share of people (OKS .5)", ylim=(0, 1.03))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, format="png", dpi=110)
    plt.close(figure)
