"""What hands and faces cost as people grow in number: measured on people who stand in known places, so that random weights will do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.find.boxes import find_part
from posetrt.runtime.find.refine import Refiner
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People
from posetrt.runtime.sources.base import Frame

# One person in shares of a place's height, about its middle: arms held out, both hands and the face in view.
_PLACES = {
    "Nose": (0.0, -0.20),
    "Neck": (0.0, -0.05),
    "Head": (0.0, -0.25),
    "LEye": (0.05, -0.24),
    "REye": (-0.05, -0.24),
    "LEar": (0.10, -0.22),
    "REar": (-0.10, -0.22),
    "LShoulder": (0.15, -0.03),
    "RShoulder": (-0.15, -0.03),
    "LElbow": (0.32, 0.10),
    "RElbow": (-0.32, 0.10),
    "LWrist": (0.32, 0.32),
    "RWrist": (-0.32, 0.32),
}


@dataclass(frozen=True)
class Cost:
    """What one frame with so many people takes. Times in ms, medians of the rounds.

    Attributes:
        people: in view, each with both hands and face.
        total_ms: of the second look.
        stages_ms: "hands crops", "hands network", "hands points" and the same of the face: cutting and normalising, the network, and
            peaks with the way back to the frame.
        crops: that were looked at.
        calls: of the networks.
    """

    people: int
    total_ms: float
    stages_ms: dict[str, float]
    crops: int
    calls: int

    @property
    def per_person_ms(self) -> float | None:
        """The total by the people; None for nobody."""
        return self.total_ms / self.people if self.people else None

    def to_dict(self) -> dict[str, Any]:
        """For machines."""
        return {**asdict(self), "per_person_ms": self.per_person_ms}


def standing_people(skeleton: Skeleton, count: int, frame_wh: tuple[int, int]) -> People:
    """So many people, side by side in rows that fill a frame."""
    width, height = frame_wh
    columns = max(1, int(np.ceil(np.sqrt(count * width / height))))
    rows = max(1, -(-count // columns))
    unit = min(width / columns, height / rows)
    keypoints = np.zeros((count, len(skeleton.parts), 3), np.float32)
    for index in range(count):
        middle = np.array([(index % columns + 0.5) * width / columns, (index // columns + 0.5) * height / rows])
        for name, place in _PLACES.items():
            part = find_part(skeleton, name)
            if part is not None:
                keypoints[index, part] = (*(middle + np.array(place) * unit), 0.9)
    return People(keypoints, np.ones(count, np.float32))


def measure_people(
    refiner: Refiner,
    skeleton: Skeleton,
    counts: Sequence[int],
    *,
    frame_wh: tuple[int, int] = (1920, 1080),
    rounds: int = 3,
    progress: Callable[[str], None] | None = None,
) -> list[Cost]:
    """Time the second look at frames with these numbers of people, in interleaved rounds, after one look that does not count.

    Args:
        refiner: hands, face or both.
        skeleton: of the body that places them.
        counts: people in view.
        frame_wh: of the frames, whose pixels are noise.
        rounds: at least 1.
        progress: takes a line a round.
    """
    image: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (frame_wh[1], frame_wh[0], 3)).astype(np.uint8)
    frame = Frame(image, "people", 0, 0.0)
    crowds = {count: standing_people(skeleton, count, frame_wh) for count in counts}
    refiner(frame, standing_people(skeleton, 1, frame_wh))
    totals: dict[int, list[float]] = {count: [] for count in counts}
    stages: dict[int, list[dict[str, float]]] = {count: [] for count in counts}
    seen: dict[int, tuple[int, int]] = {}
    for number in range(rounds):
        if progress is not None:
            progress(f"people, round {number + 1} of {rounds}")
        for count, people in crowds.items():
            before, looked = _spent(refiner), _looked(refiner)
            began = time.perf_counter()
            refiner(frame, people)
            totals[count].append(time.perf_counter() - began)
            stages[count].append({name: seconds - before[name] for name, seconds in _spent(refiner).items()})
            now = _looked(refiner)
            seen[count] = (now[0] - looked[0], now[1] - looked[1])
    return [
        Cost(
            count,
            1000 * float(np.median(totals[count])),
            {name: 1000 * float(np.median([one[name] for one in stages[count]])) for name in stages[count][0]},
            *seen[count],
        )
        for count in counts
    ]


def cost_table(costs: Sequence[Cost]) -> str:
    """A row a number of people, for people."""
    names = list(costs[0].stages_ms) if costs else []
    head = ["people", "total ms", "ms a person", *(f"{name} ms" for name in names), "crops", "calls"]
    rows = [
        [
            str(cost.people),
            f"{cost.total_ms:.2f}",
            "-" if cost.per_person_ms is None else f"{cost.per_person_ms:.2f}",
            *(f"{cost.stages_ms[name]:.2f}" for name in names),
            str(cost.crops),
            str(cost.calls),
        ]
        for cost in costs
    ]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    return "\n".join("  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in [head, *rows])


def _spent(refiner: Refiner) -> dict[str, float]:
    return {f"{what} {stage}": seconds for what, network in refiner.networks.items() for stage, seconds in network.spent_s.items()}


def _looked(refiner: Refiner) -> tuple[int, int]:
    networks = refiner.networks.values()
    return sum(network.looked for network in networks), sum(network.calls for network in networks)
