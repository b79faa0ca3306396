"""Networks that give coordinates: MoveNet for one person, BlazePose, MediaPipe's hands and faces, DeepPose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetrt.export.heads.base import Asked, GraphFacts, NearMiss, OutputFacts, Reading
from posetrt.export.heads.grids import named
from posetrt.export.heads.part_counts import part_counts, skeletons_of
from posetrt.runtime.heads.coordinates import Column, CoordinatesHead, Unit

POINTS, SCORES, PRESENCE = CoordinatesHead.roles
BLAZEPOSE_PARTS = 33
MORE_ROWS = {BLAZEPOSE_PARTS: 39, 468: 478}
"""Parts → rows, of networks that give more than that: BlazePose, whose rows 33 and 34 make the next crop, and the face with irises."""


_POINT_WORDS = ("coord", "joint", "keypoint", "kpt", "landmark", "point", "pose")
LARGEST_SHARE = 2.0
"""Coordinates up to that are shares of the input's width and height, or metres; above it pixels."""


_ON_BOTH_SIDES = 0.25
"""Share of negative coordinates from which on they do not count from the picture's corner."""


@dataclass(frozen=True)
class _Table:
    """One way to read an output: K rows of D numbers.

    Attributes:
        output: which.
        rows: K.
        values: (2, K, D): on noise and on grey.
    """

    output: OutputFacts
    rows: int
    values: NDArray[np.float32]

    @property
    def columns(self) -> int:
        """D."""
        return int(self.values.shape[2])


def recognise(facts: GraphFacts, asked: Asked) -> list[Reading | NearMiss]:
    """Readings of one output with a row of 2 to 5 numbers for each part; of several (landmarks and landmarks in metres) the one in pixels."""
    if set(asked.outputs) - {POINTS, SCORES, PRESENCE}:
        return []
    tables = [
        table for output in facts.outputs if asked.outputs.get(POINTS, output.name) == output.name for table in _tables(output, asked)
    ]
    if asked.head != CoordinatesHead.kind:
        tables = [table for table in tables if _in_the_picture(table, facts.size_wh) and not _other_numbers(table, facts, asked)]
    if not tables:
        return _uncounted(facts, asked)
    doubtful = [table for table in tables if _maybe_classes(facts, asked, table)]
    if len(doubtful) == len(tables):
        one = doubtful[0]
        why = f"{one.output.name}: {one.rows * one.columns} numbers below {LARGEST_SHARE:g} are the scores of a classifier, or {one.rows} key points"
        return [NearMiss("coordinates", f"{why} of {one.columns}; if key points, say so with --head coordinates")]
    if asked.head != CoordinatesHead.kind:
        middle = [table for table in tables if _from_the_middle(table)]
        if len(middle) == len(tables):
            one = middle[0]
            why = f"{one.output.name}: {one.rows} rows of {one.columns} numbers on both sides of 0, metres or shares counted from the middle of the input"
            return [
                NearMiss(
                    "coordinates", f"{why}. If they are shares, add 0.5 in the graph, and export it again; no head counts from the middle"
                )
            ]
        tables = [table for table in tables if not _from_the_middle(table)]
    # Coordinates in metres lie about 0; those of the picture reach further.
    tables.sort(key=lambda table: (named(table.output.name, "world"), -min(_reach(table), LARGEST_SHARE)))
    best = tables[0].output
    return [_reading(facts, asked, table) for table in tables if table.output is best]


def _uncounted(facts: GraphFacts, asked: Asked) -> list[Reading | NearMiss]:
    """A near miss for an output of points in the picture of which there are as many as no skeleton has."""
    if asked.skeleton is not None or asked.outputs:
        return []
    for output in facts.outputs:
        shape = output.shape
        if named(output.name, "box", "det"):
            continue
        if len(shape) == 3 and shape[0] == 1 and 5 <= shape[1] <= 600 and 2 <= shape[2] <= 5 and output.grey.shape == shape:
            table = _Table(output, shape[1], np.stack([np.asarray(each, np.float32)[0] for each in (output.noise, output.grey)]))
            if np.isfinite(table.values).all() and _in_the_picture(table, facts.size_wh):
                why = f"{output.name}: {table.rows} rows of {table.columns} numbers, and no built-in skeleton has {table.rows} parts"
                return [NearMiss("coordinates", f"{why}. Give yours with --skeleton FILE.json")]
    return []


def _tables(output: OutputFacts, asked: Asked) -> list[_Table]:
    """The ways to read an output as rows; none for one that is no such thing."""
    shape = tuple(output.shape)
    if len(shape) < 2 or shape[0] != 1 or output.grey.shape != output.noise.shape or not np.issubdtype(output.noise.dtype, np.floating):
        # What gives another number of rows for another picture is a list of finds.
        return []
    inner = tuple(side for side in shape[1:] if side != 1)
    counts = set(part_counts(asked))
    counts |= {rows for parts, rows in MORE_ROWS.items() if parts in counts}
    if len(inner) == 2:
        ways = [(inner[0], inner[1])] if inner[0] in counts and 2 <= inner[1] <= 5 else []
    elif len(inner) == 1:
        # Visibility and presence stand in BlazePose's rows alone; else 100 classes would be 25 parts of four numbers.
        ways = [
            (rows, inner[0] // rows)
            for rows in sorted(counts)
            if inner[0] % rows == 0 and 2 <= inner[0] // rows <= (5 if rows in (BLAZEPOSE_PARTS, MORE_ROWS[BLAZEPOSE_PARTS]) else 3)
        ]
    else:
        ways = []
    both = np.stack([np.asarray(each, np.float32).reshape(-1) for each in (output.noise, output.grey)])
    if not np.isfinite(both).all():
        return []
    return [_Table(output, rows, both.reshape(2, rows, columns)) for rows, columns in ways]


def _reach(table: _Table) -> float:
    """Greatest coordinate."""
    return float(np.abs(table.values[..., :2]).max())


def _in_the_picture(table: _Table, size_wh: tuple[int, int]) -> bool:
    """Whether the numbers can be places in a picture of noise, and not a classifier's logits or probabilities."""
    flat = table.values.reshape(2, -1)
    if len(table.output.shape) == 2 and _probability(flat) and np.allclose(flat.sum(axis=1), 1, atol=1e-3):
        return False
    places, reach = table.values[..., :2], _reach(table)
    extent = 1.0 if reach <= LARGEST_SHARE else float(max(size_wh))
    inside = (places > -0.5 * extent) & (places < 1.5 * extent)
    return bool(reach > extent / 8 and inside.mean() > 0.9)


def _from_the_middle(table: _Table) -> bool:
    """Whether small numbers lie on both sides of 0: metres, or shares that count from the middle, as AlphaPose's."""
    return bool(_reach(table) <= LARGEST_SHARE and (table.values[..., :2] < -0.02).mean() > _ON_BOTH_SIDES)


def _other_numbers(table: _Table, facts: GraphFacts, asked: Asked) -> bool:
    """Whether rows are something else than points: boxes with class numbers beside them, or how sure other rows are."""
    if asked.outputs.get(POINTS) == table.output.name:
        return False
    corners = table.columns == 4 and len(facts.outputs) > 2 and bool((table.values[..., 2:] >= table.values[..., :2]).all())
    return corners or (len(facts.outputs) > 1 and named(table.output.name, "sigma", "std", "variance", "uncert"))


def _maybe_classes(facts: GraphFacts, asked: Asked, table: _Table) -> bool:
    """Whether nothing but a count tells the numbers from those of an image classifier: one flat output, small values, no name."""
    if asked.head == CoordinatesHead.kind or asked.skeleton is not None or len(facts.outputs) > 1:
        return False
    return len(table.output.shape) == 2 and _reach(table) <= LARGEST_SHARE and not named(table.output.name, *_POINT_WORDS)


def _reading(facts: GraphFacts, asked: Asked, table: _Table) -> Reading | NearMiss:
    """The reading of one table."""
    parts = next((parts for parts, rows in MORE_ROWS.items() if rows == table.rows), table.rows)
    whole = parts == BLAZEPOSE_PARTS != table.rows
    names = skeletons_of(parts, asked)
    if names is None:
        return NearMiss(
            "coordinates", f"{table.rows} rows of {table.columns} numbers, and no skeleton of {parts} parts: give yours with --skeleton"
        )
    unit: Unit = "input" if _reach(table) <= LARGEST_SHARE else "pixels"
    # TensorFlow's key points have y first; of those, MoveNet alone keeps an axis for its one person, and alone takes whole numbers.
    inner, whole_numbers = tuple(table.output.shape[1:]), facts.layout == "NHWC" and facts.dtype != "float32"
    movenet = unit == "input" and (inner == (1, 17, 3) or (inner == (17, 3) and whole_numbers))
    columns = ("y", "x", "score") if movenet else _columns(table)
    score = table.values[..., columns.index("score")] if "score" in columns else None
    outputs = {POINTS: table.output.name}
    others = [output for output in facts.outputs if output is not table.output]
    if score is None:
        own = _chosen(
            [each for each in others if each.noise.size == each.grey.size == table.rows],
            asked.outputs.get(SCORES),
            "score",
            "conf",
            "vis",
            "maxval",
        )
        if own is not None:
            outputs[SCORES] = own.name
            score = np.stack([np.asarray(each, np.float32).reshape(-1) for each in (own.noise, own.grey)])
    presence = _chosen([each for each in others if each.noise.size == 1], asked.outputs.get(PRESENCE), "presence", "flag", "score", "conf")
    if presence is not None:
        outputs[PRESENCE] = presence.name
    head = CoordinatesHead(
        outputs=outputs,
        scope="frame" if movenet else "crop",
        columns=columns,
        rows=table.rows,
        unit=unit,
        # mmpose divides a pixel's number by the size, MediaPipe and MoveNet the distance from the picture's edge.
        origin="edge" if movenet or whole or facts.layout == "NHWC" or "z" in columns else "centre",
        score_logits=score is not None and not _probability(score),
        presence_logits=presence is not None and not presence.probability,
        next_crop_rows=(BLAZEPOSE_PARTS, BLAZEPOSE_PARTS + 1) if whole else None,
    )
    shape, counted = ", ".join(map(str, table.output.shape)), "pixels" if unit == "pixels" else "0 to 1 of the input"
    return Reading(
        head=head,
        skeletons=names,
        parts=parts,
        normalise="movenet"
        if movenet or facts.dtype != "float32"
        else "mediapipe"
        if whole or facts.layout == "NHWC" or "z" in columns
        else "imagenet",
        fit="centre" if movenet else "crop",
        why=f"{table.output.name} ({shape}): {table.rows} rows of {', '.join(columns)} in {counted}",
        rank=2 if movenet or whole else 1 if len(table.output.shape) > 2 or SCORES in outputs or PRESENCE in outputs else 0,
    )


def _columns(table: _Table) -> tuple[Column, ...]:
    """What a row's numbers are, by their values: probabilities are scores, and behind x, y, z there is a score."""
    if table.columns == 2:
        return ("x", "y")
    if table.columns == 3:
        return ("x", "y", "score" if _probability(table.values[..., 2]) else "z")
    if table.columns == 4 and _probability(table.values[..., 2:]):
        # Residual log-likelihood (Li et al. 2021): how far x and y may be wrong.
        return ("x", "y", "-", "-")
    score: tuple[Column, ...] = ("x", "y", "z", "score")
    return score if table.columns == 4 else (*score, "-")


def _probability(values: NDArray[np.float32]) -> bool:
    return bool(values.min() >= -1e-4 and values.max() <= 1 + 1e-4)


def _chosen(outputs: Sequence[OutputFacts], asked: str | None, *words: str) -> OutputFacts | None:
    """The output that the user named, else the first with a word in its name, else the first."""
    if asked is not None:
        return next((output for output in outputs if output.name == asked), None)
    return next((output for output in outputs if named(output.name, *words)), outputs[0] if outputs else None)
