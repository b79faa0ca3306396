"""Networks of rows: people with key points, one row for each candidate."""

from __future__ import annotations

from posetrt.export.heads.base import Asked, GraphFacts, NearMiss, Reading
from posetrt.export.heads.candidate_readings import readings_as
from posetrt.runtime.heads.rows import RowsHead


def recognise(facts: GraphFacts, asked: Asked) -> list[Reading | NearMiss]:
    """Every reading as candidates with key points."""
    return readings_as(RowsHead, facts, asked)
