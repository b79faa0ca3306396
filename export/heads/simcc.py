"""Networks with two distributions for each part: RTMPose and its family."""

from __future__ import annotations

import numpy as np

from posetrt.export.graph.graph_ops import GraphOps, axes
from posetrt.export.heads.base import Asked, GraphFacts, NearMiss, OutputFacts, Reading
from posetrt.export.heads.fuse import Fused
from posetrt.export.heads.part_counts import skeletons_of
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.coordinates import CoordinatesHead
from posetrt.runtime.heads.simcc import FLATTEST, STEP, SimccHead
from posetrt.runtime.model.manifest import Manifest

X, Y = SimccHead.roles
_FLOAT, _INT64 = 1, 7  # onnx.TensorProto
_INFINITE = 3.4e38
_AP10K = 17
_ANIMALS = "; with a square input these may be an animal's (AP-10K): then give --skeleton"
"""What to say of 17 parts: RTMPose's networks of people are upright, those of animals square."""
MOST_RATIO = 8
"""Most bins per pixel that a network is taken to have; the published ones have 2 to 4."""


def recognise(facts: GraphFacts, asked: Asked) -> list[Reading | NearMiss]:
    """A reading of two outputs (1, K, W * ratio) and (1, K, H * ratio)."""
    if asked.outputs and set(asked.outputs) != {X, Y}:
        return []
    pairs = [
        (one, other)
        for place, one in enumerate(facts.outputs)
        for other in facts.outputs[place + 1 :]
        if len(one.shape) == 3 and len(other.shape) == 3 and one.shape[:2] == other.shape[:2] and one.shape[0] == 1
    ]
    if asked.outputs:
        pairs = [pair for pair in pairs if {each.name for each in pair} == set(asked.outputs.values())]
    found: list[Reading | NearMiss] = []
    for pair in pairs:
        ordered = _along(pair, facts.size_wh, asked)
        parts = pair[0].shape[1]
        names = skeletons_of(parts, asked)
        if ordered is None:
            if names and all("simcc" in each.name.lower() for each in pair):
                lengths = " and ".join(str(each.shape[2]) for each in pair)
                size = "x".join(map(str, facts.size_wh))
                why = f"{lengths} bins are no equal multiples of the input {size}; give its size with --input-size"
                found.append(NearMiss("simcc", why))
            continue
        if names is None:
            if parts > 4:
                wanted = (
                    f"; skeleton {asked.skeleton.name!r} has {len(asked.skeleton.parts)}"
                    if asked.skeleton
                    else "; give yours with --skeleton FILE.json"
                )
                found.append(NearMiss("simcc", f"two distributions for each of {parts} parts{wanted}"))
            continue
        x, y, ratio = ordered
        found.append(
            Reading(
                head=SimccHead(outputs={X: x.name, Y: y.name}, split_ratio=ratio),
                skeletons=names,
                parts=parts,
                normalise="imagenet",
                fit="crop",
                why=f"(1, {parts}, {x.shape[2]}) and (1, {parts}, {y.shape[2]}): {ratio:g} bins per pixel along x and y for each of {parts} parts"
                + (_ANIMALS if parts == _AP10K and facts.size_wh[0] == facts.size_wh[1] and asked.skeleton is None else ""),
                rank=2 if any("simcc" in each.name.lower() for each in pair) else 1,
            )
        )
    readings = [one for one in found if isinstance(one, Reading)]
    if len({one.parts for one in readings}) == 1:
        # Of three distributions the last is along z, as RTMW3D's.
        return [min(readings, key=lambda one: [name.lower().endswith("z") for name in one.head.outputs.values()].count(True))]
    return found


def _along(pair: tuple[OutputFacts, OutputFacts], size_wh: tuple[int, int], asked: Asked) -> tuple[OutputFacts, OutputFacts, float] | None:
    """The output along x, the one along y, and the bins per pixel. Of a square input's two the first is along x, unless names differ."""
    one, other = pair
    if asked.outputs:
        one, other = (one, other) if one.name == asked.outputs[X] else (other, one)
        ways = [(one, other)]
    elif size_wh[0] == size_wh[1] and one.name.lower().endswith("y") and other.name.lower().endswith("x"):
        ways = [(other, one)]
    else:
        ways = [(one, other), (other, one)]
    for x, y in ways:
        across, down = x.shape[2] / size_wh[0], y.shape[2] / size_wh[1]
        if across == down and 1 <= across <= MOST_RATIO:
            return x, y, float(across)
    return None


def fuse(ops: GraphOps, manifest: Manifest, slots: int | None) -> Fused:
    """One tensor (N, K, 3) float32 of x, y in pixels of the network's input, and score, as `SimccDecoder` gives them.

    Raises:
        UsageError: slots were asked for: each part has one place.
    """
    if slots is not None:
        raise UsageError("--slots says how many candidates are kept, and a network for crops keeps the best of each part; leave it out")
    head, size_wh = manifest.head, manifest.input.size_wh
    assert isinstance(head, SimccHead)
    places, values = zip(*(_best_bin(ops, head, role, size) for role, size in zip((X, Y), size_wh, strict=True)), strict=True)
    score = ops("Min", *values)
    # An infinite maximum is no score.
    found = ops("And", ops("Greater", score, 0.0), ops("Less", ops("Max", *values), _INFINITE))
    kept = [ops("Where", found, each, 0.0) for each in (*places, ops("Min", score, 1.0))]
    points = ops("Concat", *kept, axis=2)
    parts = len(manifest.skeleton.parts)
    decoded = CoordinatesHead(
        outputs={"points": "points"},
        scope=head.scope,
        columns=("x", "y", "score"),
        rows=parts,
        unit="pixels",
        origin="centre",
        in_graph=True,
    )
    return Fused(decoded, {points: "points"}, {"points": [parts, 3]})


def _best_bin(ops: GraphOps, head: SimccHead, role: str, size: int) -> tuple[str, str]:
    """Pixel of the best bin, to a fraction of a bin, and its value; each (N, K, 1) float32."""
    bins, width = head.outputs[role], round(size * head.split_ratio)
    value, index = ops.several("TopK", 2, bins, axes(1), axis=2, largest=1, sorted=1)
    place = ops("Cast", index, to=_FLOAT)
    if head.refine and width > 2 * STEP:
        ends = [ops("Min", ops("Max", ops("Add", place, float(step)), 0.0), width - 1.0) for step in (-STEP, STEP)]
        before, after = (ops("GatherElements", bins, ops("Cast", end, to=_INT64), axis=2) for end in ends)
        bend = ops("Max", ops("Sub", ops("Sub", ops("Add", value, value), before), after), FLATTEST)
        offset = ops("Mul", ops("Div", ops("Sub", after, before), bend), STEP / 2)
        offset = ops("Min", ops("Max", offset, -STEP / 2), STEP / 2)
        inner = ops("And", ops("Greater", place, STEP - 0.5), ops("Less", place, width - STEP - 0.5))
        place = ops("Add", place, ops("Where", inner, offset, 0.0))
    return ops("Mul", place, float(np.float32(1 / head.split_ratio))), value
