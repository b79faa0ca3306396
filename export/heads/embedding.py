"""Networks with heat maps and tags: HigherHRNet, EfficientHRNet, OpenVINO's human-pose-estimation-0005 to 0007."""

from __future__ import annotations

import numpy as np

from posetrt.export.heads.base import Asked, GraphFacts, NearMiss, Reading
from posetrt.export.heads.grids import Grid, grids_of, named, tag_grids
from posetrt.export.heads.part_counts import part_counts, skeletons_of
from posetrt.runtime.heads.embedding import EmbeddingHead

HEATMAPS, TAGS, FINE = EmbeddingHead.roles
COCO_ORDER = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)
"""Head, trunk, arms, legs: the order in which HigherHRNet groups COCO's 17 parts."""
_PUBLISHED = (14, 17, 133)
"""Parts of networks with tags that are published: CrowdPose and AI Challenger, COCO, COCO-WholeBody."""


def recognise(facts: GraphFacts, asked: Asked) -> list[Reading | NearMiss]:
    """Readings of K heat maps and K tags in one output or two, with or without K finer heat maps."""
    if set(asked.outputs) - set(EmbeddingHead.roles):
        return []
    maps = grids_of(facts)
    deep = tag_grids(facts)
    found: list[Reading | NearMiss] = []
    for parts in part_counts(asked):
        joint = [each for each in maps if each.channels == 2 * parts]
        plain = [each for each in maps if each.channels == parts]
        of_parts = [each for each in deep if each.channels == parts]
        tags = of_parts or [each for each in plain if named(each.name, "tag", "embed") or each.name == asked.outputs.get(TAGS)]
        heat = [each for each in plain if each not in tags]
        if joint and asked.outputs.get(TAGS, joint[0].name) == joint[0].name:
            fine = [each for each in plain if each.shape_hw[0] == 2 * joint[0].shape_hw[0]]
            # With maps beside it that are not finer it is another kind: short offsets have two channels for each part as well.
            # An upright input is a crop of one person, whose parts need no tags.
            upright = facts.size_wh[1] > facts.size_wh[0]
            likely = len(facts.outputs) == 1 and (asked.skeleton is not None or (not upright and parts in _PUBLISHED))
            if fine or likely or asked.head == EmbeddingHead.kind:
                found.append(_reading(facts, asked, parts, joint[0], joint[0], fine[0] if fine else None, rank=2 if fine else 1))
            elif len(facts.outputs) == 1 and not upright:
                why = f"{2 * parts} maps may be {parts} heat maps and as many tags: if they are, say so with --head embedding"
                found.append(NearMiss(EmbeddingHead.kind, why))
        elif len(tags) == 1 and heat:
            same = [each for each in heat if each.shape_hw == tags[0].shape_hw] or heat
            # OpenVINO's may give the maps a second time, behind their own maximum pooling.
            same.sort(key=lambda each: named(each.name, "nms"))
            finer = [each for each in heat if each.shape_hw[0] == 2 * same[0].shape_hw[0]]
            found.append(_reading(facts, asked, parts, same[0], tags[0], finer[0] if finer else None, rank=2))
        elif len(heat) == 2 and len(maps) == 2 and heat[0].shape_hw == heat[1].shape_hw:
            # Heat maps are probabilities, tags any number.
            sure = [each for each in heat if each.output.probability]
            if len(sure) == 1:
                other = next(each for each in heat if each is not sure[0])
                found.append(_reading(facts, asked, parts, sure[0], other, None, rank=1))
            else:
                found.append(
                    NearMiss(
                        "embedding",
                        f"two outputs of {parts} maps, {heat[0].name} and {heat[1].name}: say which are the tags with --role tags=NAME",
                    )
                )
    return found


def _negated(maps: Grid) -> bool:
    """Whether values are negative wherever a neighbour is greater, as OpenVINO's graphs mark what is no peak."""
    values = maps.channels_first()
    size = np.pad(np.abs(values), ((0, 0), (1, 1), (1, 1)))
    rows, columns = values.shape[1:]
    near = np.max([size[:, y : y + rows, x : x + columns] for y in range(3) for x in range(3)], 0)
    positive = values > 0
    return bool(positive.any() and values.min() < -0.05 and positive.mean() < 0.3 and np.all(values[positive] >= near[positive]))


def _reading(facts: GraphFacts, asked: Asked, parts: int, heat: Grid, tags: Grid, fine: Grid | None, *, rank: int) -> Reading:
    outputs = {HEATMAPS: asked.outputs.get(HEATMAPS, heat.name), TAGS: asked.outputs.get(TAGS, tags.name)}
    if fine is not None:
        outputs[FINE] = asked.outputs.get(FINE, fine.name)
    sure = fine or heat
    joint, negated = heat is tags, _negated(sure)
    logits = sure.output.low < -2 if joint or fine is not None else not sure.output.probability and sure.output.low < -2
    logits = logits and not negated
    # OpenVINO's take 0 to 255, often with mean and scale inside their first convolution, where nothing shows them.
    openvino = negated or len(tags.output.shape) == 5
    where = f"{parts} heat maps and {parts} tags in {heat.name}" if joint else f"{parts} heat maps ({heat.name}) and tags ({tags.name})"
    return Reading(
        head=EmbeddingHead(
            outputs=outputs,
            dimensions=tags.output.shape[4] if len(tags.output.shape) == 5 else 1,
            order=COCO_ORDER if parts == len(COCO_ORDER) else (),
            logits=logits,
            negated=negated,
        ),
        skeletons=skeletons_of(parts, asked) or (),
        parts=parts,
        normalise="in-graph" if openvino or facts.takes == "bytes" else "imagenet",
        fit="top-left",
        why=where + (f", finer heat maps in {fine.name}" if fine is not None else ""),
        nhwc=tuple(dict.fromkeys(each.name for each in (heat, tags, fine) if each is not None and each.nhwc)),
        rank=rank,
    )
