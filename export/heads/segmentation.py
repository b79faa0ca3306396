"""Networks with heat maps and masks of body parts."""

from __future__ import annotations

from posetrt.export.heads.base import Asked, GraphFacts, NearMiss, Reading
from posetrt.export.heads.grids import grids_of, named
from posetrt.export.heads.part_counts import part_counts, skeletons_of
from posetrt.runtime.heads.segmentation import SegmentationHead
from posetrt.runtime.model.skeleton import load_skeleton

HEATMAPS, MASKS = SegmentationHead.roles


def recognise(facts: GraphFacts, asked: Asked) -> list[Reading | NearMiss]:
    """Readings of heat maps beside an output whose name says masks, or that the user named so, with one mask for each limb of a skeleton."""
    if set(asked.outputs) - {HEATMAPS, MASKS}:
        return []
    maps = grids_of(facts)
    masks = [
        each for each in maps if each.name == asked.outputs.get(MASKS) or (MASKS not in asked.outputs and named(each.name, "mask", "seg"))
    ]
    if len(masks) != 1 or masks[0].channels < 2:
        return []
    heat = [each for each in maps if each is not masks[0] and asked.outputs.get(HEATMAPS, each.name) == each.name]
    found: list[Reading | NearMiss] = []
    for each in heat:
        for background in (0, 1):
            parts = each.channels - background
            names = skeletons_of(parts, asked) if parts in part_counts(asked) else None
            if not names:
                continue
            limbs = {name: len((asked.skeleton or load_skeleton(name)).limbs) for name in names}
            fitting = tuple(name for name, count in limbs.items() if count and masks[0].channels in (count, count + 1))
            if not fitting:
                why = f"{parts} heat maps and {masks[0].channels} masks, but {', '.join(f'{name} has {count} limbs' for name, count in limbs.items())}"
                found.append(NearMiss("segmentation", f"{why}; give a skeleton with a limb for each mask with --skeleton FILE.json"))
                continue
            found.append(
                Reading(
                    head=SegmentationHead(
                        outputs={HEATMAPS: each.name, MASKS: masks[0].name},
                        heatmap_logits=not each.output.probability,
                        mask_logits=not masks[0].output.probability,
                    ),
                    skeletons=fitting,
                    parts=parts,
                    normalise="imagenet",
                    fit="top-left",
                    why=f"{parts} heat maps ({each.name}) and a mask for each limb ({masks[0].name})",
                    nhwc=tuple(one.name for one in (each, masks[0]) if one.nhwc),
                    rank=2 if asked.outputs else 1,
                )
            )
    return found
