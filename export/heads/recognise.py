"""The door: which kind of head a graph has, of all that are known."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from posetrt.export.graph.normalisation import NORMALISATIONS
from posetrt.export.heads.base import Asked, GraphFacts, NearMiss, Reading
from posetrt.export.heads.part_counts import skeletons_of
from posetrt.export.heads.refused import family_of
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.heads.registry import head_class, kinds
from posetrt.runtime.model.skeleton import Skeleton, load_skeleton

Recogniser = Callable[[GraphFacts, Asked], list[Reading | NearMiss]]


def recogniser_of(kind: str) -> Recogniser | None:
    """What recognises a kind: `recognise` of its module here, or of its class where another package adds it; None where nothing does.

    Raises:
        PosetrtError: the package that adds it fails on import.
    """
    module = f"posetrt.export.heads.{kind.replace('-', '_')}"
    if importlib.util.find_spec(module) is not None:
        ours: Recogniser | None = getattr(importlib.import_module(module), "recognise", None)
        return ours
    found: Recogniser | None = getattr(head_class(kind), "recognise", None)
    return found


def recognise(facts: GraphFacts, asked: Asked, tell: Callable[[str], None] = lambda _line: None) -> tuple[Reading, Skeleton]:
    """The one reading of a graph that is likelier than all others, and its skeleton.

    Args:
        facts: of the graph.
        asked: what the user said of it.
        tell: takes a line where a package that adds a kind cannot be used.

    Raises:
        UsageError: no kind fits, or several do as well: says which option decides.
    """
    if asked.head is not None and asked.head not in kinds():
        raise UsageError(f"--head {asked.head}: this posetrt knows {', '.join(kinds())}")
    floats = [output for output in facts.outputs if output.noise.dtype.kind == "f" and output.noise.size]
    lost = [output.name for output in floats if np.isnan(output.noise).all() and np.isnan(output.grey).all()]
    if lost:
        raise UsageError(
            f"{facts.file} gives no numbers (NaN) in {', '.join(lost)}, for noise and for a grey picture: its weights are broken, or float16 was too "
            "narrow for them. Export it again in float32"
        )
    found: list[Reading] = []
    near: list[NearMiss] = []
    for kind in kinds() if asked.head is None else (asked.head,):
        try:
            look = recogniser_of(kind)
        except PosetrtError as error:
            if asked.head is not None:
                raise
            tell(f"warning: {error}")
            continue
        try:
            given = look(facts, asked) if look is not None else []
        except UsageError as error:
            # What one kind cannot read another may.
            given = [NearMiss(kind, str(error))]
        for one in given:
            (found if isinstance(one, Reading) else near).append(one)  # type: ignore[arg-type]
    if not found:
        raise UsageError(_nothing(facts, asked, near, _otherwise(facts, asked)))
    best = [one for one in found if one.rank == max(each.rank for each in found)]
    if len({one.head.kind for one in best}) > 1:
        ways = "; ".join(f"--head {one.head.kind} ({one.why})" for one in best)
        raise UsageError(f"{facts.file} can be read in several ways, so say which: {ways}. Its outputs are {facts.listing()}")
    if len(best) > 1 and len({one.skeletons for one in best}) == 1:
        ways = "; ".join(one.why for one in best)
        raise UsageError(f"{facts.file} can be read in several ways ({ways}): name its outputs with --role ROLE=NAME")
    reading, skeleton = _with_skeleton(facts, best, asked)
    return _as_fed(facts, reading), skeleton


def _as_fed(facts: GraphFacts, reading: Reading) -> Reading:
    """With plain pixels where the graph normalises them itself."""
    usual = NORMALISATIONS[reading.normalise]
    if facts.dtype != "float32" or not facts.takes or usual.in_graph:
        return reading
    if facts.takes == "bytes" and usual.scale != (1.0, 1.0, 1.0):
        name, why = ("movenet" if usual.colour == "RGB" else "in-graph"), "0 to 255"
    elif facts.takes == "shares" and any(usual.mean):
        name, why = ("unit" if usual.colour == "RGB" else "yolo-nas"), "0 to 1"
    else:
        return reading
    return replace(reading, normalise=name, why=f"{reading.why}; the graph takes {why} and normalises it")


def _with_skeleton(facts: GraphFacts, best: list[Reading], asked: Asked) -> tuple[Reading, Skeleton]:
    names = tuple(dict.fromkeys(name for one in best for name in one.skeletons))
    if asked.skeleton is not None:
        reading = best[0]
        if reading.parts != len(asked.skeleton.parts):
            raise UsageError(
                f"{facts.file} finds {reading.parts} parts ({reading.why}), and skeleton {asked.skeleton.name!r} has {len(asked.skeleton.parts)}"
            )
        return replace(reading, skeletons=(asked.skeleton.name,)), asked.skeleton
    if len(names) == 1:
        return best[0], load_skeleton(names[0])
    if names:
        raise UsageError(
            f"{facts.file} fits several skeletons ({', '.join(names)}), which differ in what the parts are and not in how many: choose one with "
            "--skeleton NAME, or give your own with --skeleton FILE.json"
        )
    parts, why = best[0].parts, best[0].why
    alike = skeletons_of(parts, asked)
    if alike:
        raise UsageError(
            f"{facts.file} finds {parts} parts ({why}). Its class is not a person, so nothing tells which part is which: give its skeleton with "
            f"--skeleton FILE.json, or name a built-in one that has the same parts: {' or '.join(f'--skeleton {name}' for name in alike)}"
        )
    raise UsageError(
        f"{facts.file} finds {parts} parts ({why}), and no built-in skeleton has as many: give yours with --skeleton FILE.json"
    )


def _otherwise(facts: GraphFacts, asked: Asked) -> str:
    """What a graph is that is not of the kind that the user said; empty where nothing is known."""
    if asked.head is None:
        return ""
    try:
        reading, _ = recognise(facts, replace(asked, head=None))
    except UsageError:
        return ""
    return f". It is one of --head {reading.head.kind}: {reading.why}"


def _nothing(facts: GraphFacts, asked: Asked, near: list[NearMiss], otherwise: str) -> str:
    sure = next((one for one in near if one.sure), None)
    if sure is not None:
        return f"{facts.file} {sure.why}. Its outputs are {facts.listing()}"
    told = f"{facts.file} is no network that posetrt knows: its outputs are {facts.listing()}"
    if asked.head is not None:
        told = f"{facts.file} cannot be read as --head {asked.head}: its outputs are {facts.listing()}"
    if otherwise:
        return told + otherwise
    family = family_of(facts) if asked.head is None else None
    if family:
        return f"{told}. {family}"
    if near:
        near = sorted(near, key=lambda one: not one.likely)
        whys = {one.why: [each.kind for each in near if each.why == one.why] for one in near}
        return f"{told}. Nearly: " + "; ".join(f"{' or '.join(dict.fromkeys(same))}: {why}" for why, same in whys.items())
    last = facts.outputs[-1] if facts.outputs else None
    if last is not None and len(last.shape) > 1 and last.noise.size == last.shape[1] > 1 and len(facts.outputs) == 1:
        return (
            f"{told}. One row of {last.noise.size} numbers looks like an image classifier, and posetrt finds people's key points and boxes. If "
            "they are x, y of points, say so with --head coordinates --skeleton FILE.json"
        )
    return f"{told}. Kinds that can be recognised: {', '.join(kinds())}; docs/reference/heads.md shows their outputs"
