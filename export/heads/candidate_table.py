"""Outputs as tables of candidates: which axis counts them, which grid they lie on, and what kind of number each column is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.export.heads.base import Asked, GraphFacts, OutputFacts
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.candidates import STRIDES, cells_of

Floats = NDArray[np.float32]
LEVELS = (
    (8, 16, 32),
    (8, 16, 32, 64),
    (16, 32),
    (4, 8, 16, 32),
    (8, 16, 32, 64, 128),
    (16, 32, 64),
    (4, 8, 16),
    (8, 16),
    (32,),
    (16,),
    (8,),
)
"""Strides that networks of candidates have, the usual first: YOLO, YOLO-P6 and NanoDet-Plus, RTMO, YOLO-P2, RetinaNet, …"""
PER_CELL = (1, 3)
"""Candidates per cell: 1 of anchor-free networks, 3 of YOLO v5 and v7."""
DETECTION_OUTPUT = 7
"""Columns of Caffe's and OpenVINO's DetectionOutput: frame (-1 behind the last), class, score, left, top, right, bottom."""
RANKED_AT_MOST = 1000
"""Rows that an end-to-end network gives at most; more are raw candidates."""
_FOLLOWS = 0.7
"""Correlation with the cells' place from which on a column holds places. Trained networks have above .97, others below .5."""
_WIDE = 0.3  # share of the picture that coordinates of many candidates span at least
HUMAN = ("person", "human", "pedestrian", "people")
"""Names of a class that is a person."""
_HUMAN_WORDS = frozenset([
    "adult", "athlete", "baby", "boy", "child", "children", "climber", "dancer", "driver", "female", "girl", "guy", "human", "kid", "lady",
    "male", "man", "men", "passenger", "patient", "pedestrian", "people", "person", "persons", "player", "rider", "runner", "skater", "skier",
    "student", "swimmer", "walker", "woman", "women", "worker",
])  # fmt: skip
"""Words in the name of a class that is a person, if not every person."""
_TELLS_NOTHING = re.compile(r"(class|cls|item|object|obj|label|pose|body|target|skeleton|key ?points?)?[ _-]*\d*")
"""Names of classes that say nothing, as Ultralytics writes where it knows none: class0."""
_COUNTED_PERSON = {1: 0, 20: 14, 21: 15, 80: 0, 90: 0, 91: 1, 92: 1, 365: 0}
"""Number of classes of a known data set → its person: VOC (21 with background), COCO, COCO as TensorFlow and DETR count it, Objects365."""


@dataclass(frozen=True)
class Table:
    """Candidates, one row each.

    Attributes:
        outputs: role → tensor: "rows", or "rows/8" and so on where each level has its own.
        noise, grey: (A, V) float32 of the two pictures. They can differ in A where the graph drops candidates.
        transposed, batched: as in `CandidateHead`.
        size_wh: of the input.
        strides: of the grid that has as many cells; empty where none has.
        per_cell: candidates per cell.
        shape: as the graph has it, for messages.
    """

    outputs: Mapping[str, str]
    noise: Floats
    grey: Floats
    transposed: bool
    batched: bool
    size_wh: tuple[int, int]
    strides: tuple[int, ...]
    per_cell: int
    shape: str

    @property
    def columns(self) -> int:
        """V."""
        return int(self.noise.shape[1])

    @property
    def both(self) -> Floats:
        """Rows of both pictures."""
        return np.concatenate([self.noise, self.grey])

    @cached_property
    def kinds(self) -> str:
        """For each column: "x" or "y", a place that follows the cells; "c", where there is no grid, a number that spans the picture;
        "-", anything else."""
        if not self.strides:
            wide = np.ptp(self.both, 0) > _WIDE * min(self.size_wh) if len(self.both) else np.zeros(self.columns, bool)
            return "".join("c" if each else "-" for each in wide)
        cells = cells_of(self.strides, self.size_wh, grids=self.per_cell)
        follows = np.array([np.minimum(_correlation(self.noise, axis), _correlation(self.grey, axis)) for axis in cells[:2] * cells[2]])
        return "".join("-" if max(column) < _FOLLOWS else "xy"[int(np.argmax(column))] for column in follows.T)

    @cached_property
    def probabilities(self) -> NDArray[np.bool_]:
        """(V,) whether all values of a column lie in 0 to 1."""
        if not len(self.both):
            return np.ones(self.columns, bool)
        found: NDArray[np.bool_] = (self.both.min(0) >= -1e-4) & (self.both.max(0) <= 1.0001)
        return found

    def whole(self, column: int) -> bool:
        """Whether a column holds whole numbers from 0 on, as of classes."""
        values = self.both[:, column]
        return bool(np.all(np.abs(values - np.rint(values)) < 1e-3) and np.all(values > -0.5))

    def falls(self, column: int) -> bool:
        """Whether a column is a score by which the rows are sorted."""
        return bool(self.probabilities[column]) and all(np.all(np.diff(each[:, column]) <= 1e-5) for each in (self.noise, self.grey))

    @property
    def fraction(self) -> bool:
        """Whether coordinates are shares of the picture's size: nothing is much larger than 1."""
        return bool(np.abs(self.both[:, :4]).max(initial=0) <= 2)


def _correlation(values: Floats, place: Floats) -> Floats:
    spread = values - values.mean(0)
    along = place - place.mean()
    found: Floats = (spread * along[:, None]).sum(0) / (np.linalg.norm(spread, axis=0) * np.linalg.norm(along) + 1e-6)
    return found


def grid_of(count: int, facts: GraphFacts) -> tuple[tuple[int, ...], int]:
    """Strides and candidates per cell of the grid that has so many, of those that the user said or that are usual; ((), 1) where none has."""
    for strides in (facts.strides,) if facts.strides else LEVELS:
        for per_cell in PER_CELL:
            if sum(-(-facts.size_wh[0] // stride) * -(-facts.size_wh[1] // stride) for stride in strides) * per_cell == count:
                return strides, per_cell
    return (), 1


def single_tables(facts: GraphFacts) -> Iterator[Table]:
    """Each output that can be a table, in the orientation that fits: candidates on a grid first, else the longer axis, else both."""
    sizes = [size for output in facts.outputs if output.noise.ndim == 3 for size in set(output.shape[1:])]
    shared = {size for size in sizes if sizes.count(size) > 1 and grid_of(size, facts)[0]}
    for output in facts.outputs:
        if output.noise.ndim == 3 and output.shape[0] == 1 and len(output.grey) == 1 and not shared & set(output.shape):
            # One of several outputs of a grid is not all of a candidate.
            yield from _oriented(facts, output)
        elif output.shape[:2] == (1, 1) and len(output.shape) == 4 and output.shape[3] == DETECTION_OUTPUT:
            noise, grey = (_floats(each).reshape(-1, DETECTION_OUTPUT) for each in (output.noise, output.grey))
            yield Table({"rows": output.name}, noise, grey, False, False, facts.size_wh, (), 1, f"(1, 1, N, {DETECTION_OUTPUT})")
        elif output.noise.ndim == 2 and output.grey.ndim == 2 and output.shape[1] >= 5 and not _one_row(output):
            shape = f"(N, {output.shape[1]})"
            yield Table({"rows": output.name}, _floats(output.noise), _floats(output.grey), False, False, facts.size_wh, (), 1, shape)


def _one_row(output: OutputFacts) -> bool:
    """Whether an output is one row whatever the picture, as a classifier's; of a detector that finds nothing PaddleDetection's is one row too."""
    return {len(output.noise), len(output.grey)} == {1} and "multiclass_nms" not in output.name and bool((output.noise[:, 0] >= 0).all())


def _oriented(facts: GraphFacts, output: OutputFacts) -> Iterator[Table]:
    noise, grey = _floats(output.noise[0]), _floats(output.grey[0])
    grids = [grid_of(count, facts) for count in noise.shape]
    if grids[0][0] and not (grids[1][0] and noise.shape[1] > noise.shape[0]):
        ways = [False]
    elif grids[1][0]:
        ways = [True]
    elif max(noise.shape) > RANKED_AT_MOST:
        ways = [noise.shape[1] > noise.shape[0]]
    else:
        ways = [False, True]
    for transposed in ways:
        a, b = (noise.T, grey.T) if transposed else (noise, grey)
        strides, per_cell = grids[int(transposed)]
        shape = f"({', '.join(map(str, output.shape))})"
        if a.shape[1] == b.shape[1] and a.shape[1] >= 5:
            yield Table({"rows": output.name}, a, b, transposed, True, facts.size_wh, strides, per_cell, shape)


@dataclass(frozen=True)
class Level:
    """An output of one level.

    Attributes:
        output: of the graph.
        stride: of the level.
        channels: values per cell.
        transposed: whether the channels come before the cells.
    """

    output: OutputFacts
    stride: int
    channels: int
    transposed: bool

    def rows(self, values: NDArray[Any]) -> Floats:
        """(cells, channels)."""
        one = _floats(values[0])
        return one.reshape(self.channels, -1).T if self.transposed else one.reshape(-1, self.channels)


def levels_of(facts: GraphFacts) -> dict[int, list[Level]]:
    """Stride → its outputs, of a graph that has the same outputs for each of two or more strides; else empty."""
    found: dict[int, list[Level]] = {}
    for output in facts.outputs:
        level = _level(facts, output)
        if level is not None:
            found.setdefault(level.stride, []).append(level)
    channels = {tuple(sorted((each.channels, each.transposed) for each in levels)) for levels in found.values()}
    return dict(sorted(found.items())) if len(found) > 1 and len(channels) == 1 else {}


def _level(facts: GraphFacts, output: OutputFacts) -> Level | None:
    shape = output.shape
    if shape[:1] != (1,) or output.grey.shape != shape or len(shape) not in (3, 4):
        return None
    for stride in STRIDES:
        width, height = (-(-side // stride) for side in facts.size_wh)
        cells = (height, width) if len(shape) == 4 else (height * width,)
        first, last = shape[1:-1] == cells, shape[2:] == cells
        if first or last:
            transposed = last and not (first and facts.layout == "NHWC")
            return Level(output, stride, shape[1] if transposed else shape[-1], transposed)
    return None


def anchors_missing(facts: GraphFacts, output: OutputFacts) -> bool:
    """Whether an output is a level of YOLO v5 or v7 before its last layer: (1, 3, h, w, values)."""
    cells = [tuple(-(-side // stride) for side in facts.size_wh[::-1]) for stride in STRIDES]
    return len(output.shape) == 5 and output.shape[:2] == (1, PER_CELL[-1]) and output.shape[2:4] in cells and output.shape[4] > 5


def level_table(facts: GraphFacts) -> Table | None:
    """The levels of a graph that has one output for each, as one table."""
    levels = levels_of(facts)
    if not levels or any(len(each) != 1 for each in levels.values()):
        return None
    ones = [each[0] for each in levels.values()]
    noise, grey = (np.concatenate([one.rows(getattr(one.output, which)) for one in ones]) for which in ("noise", "grey"))
    outputs = {f"rows/{one.stride}": one.output.name for one in ones}
    shape = ", ".join(f"({', '.join(map(str, one.output.shape))})" for one in ones)
    return Table(outputs, noise, grey, ones[0].transposed, True, facts.size_wh, tuple(levels), 1, shape)


def class_names(facts: GraphFacts) -> tuple[str, ...]:
    """Names of the classes, from Ultralytics' metadata; empty where there are none."""
    try:
        names = ast.literal_eval(facts.metadata.get("names", "()"))
    except (ValueError, SyntaxError):
        return ()
    listed = [names[key] for key in sorted(names)] if isinstance(names, dict) else list(names)
    return tuple(str(name).lower() for name in listed)


def is_human(name: str) -> bool:
    """Whether a class of that name may be a person: the name says so, or says nothing."""
    return bool(_HUMAN_WORDS & set(re.split(r"[^a-z]+", name))) or _TELLS_NOTHING.fullmatch(name) is not None


def point_shape(facts: GraphFacts) -> tuple[int, int] | None:
    """Number of key points and of values of each, from Ultralytics' metadata."""
    try:
        parts, values = ast.literal_eval(facts.metadata.get("kpt_shape", ""))
        return int(parts), int(values)
    except (ValueError, SyntaxError, TypeError):
        return None


def person_of(facts: GraphFacts, asked: Asked, count: int | None) -> int | None:
    """Number of the class that is a person; None where nothing tells. `count` is None where the graph gives class numbers alone.

    Raises:
        UsageError: the user said a class that there is not.
    """
    names = class_names(facts)
    if asked.person_class is not None:
        known = count or len(names)
        if asked.person_class < 0 or (known and asked.person_class >= known):
            of = f", {', '.join(names)}" if names and len(names) < 10 else ""
            raise UsageError(f"--class {asked.person_class}: its {known} classes are 0 to {known - 1}{of}")
        return int(asked.person_class)
    for index, name in enumerate(names):
        if name in HUMAN:
            return index
    if names and len(names) > 1:
        return None
    return 0 if count is None else _COUNTED_PERSON.get(count)


def _floats(values: NDArray[Any]) -> Floats:
    return np.asarray(values, np.float32)
