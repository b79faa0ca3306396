"""Detectors: boxes, one for each candidate."""

from __future__ import annotations

from posetrt.export.heads.base import Asked, GraphFacts, NearMiss, Reading
from posetrt.export.heads.candidate_readings import readings_as
from posetrt.runtime.heads.boxes import BoxesHead


def recognise(facts: GraphFacts, asked: Asked) -> list[Reading | NearMiss]:
    """Every reading as candidates without key points."""
    return readings_as(BoxesHead, facts, asked)
