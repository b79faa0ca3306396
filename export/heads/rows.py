"""Networks of rows: people with key points, one row for each candidate."""

from __future__ import annotations

from posetrt.export.graph.graph_ops import GraphOps
from posetrt.export.heads.base import Asked, GraphFacts, NearMiss, Reading
from posetrt.export.heads.candidate_graph import MOST_ROWS, choose_rows
from posetrt.export.heads.candidate_readings import readings_as
from posetrt.export.heads.fuse import Fused
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.rows import RowsHead
from posetrt.runtime.model.manifest import Manifest


def recognise(facts: GraphFacts, asked: Asked) -> list[Reading | NearMiss]:
    """Every reading as candidates with key points."""
    return readings_as(RowsHead, facts, asked)


def fuse(ops: GraphOps, manifest: Manifest, slots: int | None) -> Fused:
    """The best rows by score, with boxes and key points in pixels; NMS stays outside.

    Raises:
        UsageError: the size is dynamic and the coordinates depend on it, or this head cannot be decoded in the graph.
    """
    head = manifest.head
    assert isinstance(head, RowsHead)
    if manifest.input.dynamic and (head.strides or head.unit == "fraction"):
        raise UsageError("candidates of a changing input size cannot be decoded in the graph: leave --dynamic or --decode in-graph out")
    rows, kept, decoded = choose_rows(ops, head, manifest.input.min_wh, MOST_ROWS if slots is None else slots)
    count = sum(number for _, _, number in decoded.values.values())
    return Fused(decoded, {rows: "rows"}, {"rows": [kept, count]})
