"""Whether a network finds people at all: on drawn scenes at export, and what to say where it finds nobody."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from posetrt.runtime.model.manifest import Manifest

SCENES = range(5000, 5008)
"""Seeds of the scenes. No network was trained on them: recipes draw theirs from 10,000,000 on."""
BUDGET_S = 40.0
"""Seconds that the looking may take about; a slow network sees fewer scenes."""
FEWEST = 3


def judge_on_drawn_scenes(model: Any, manifests: Sequence[Manifest]) -> list[float] | None:
    """AP of a graph on drawn scenes under each manifest.

    Args:
        model: an onnx ModelProto; its metadata is replaced, and put back.
        manifests: which differ in how pixels are fed.

    Returns:
        An AP of 0 to 1 each; None for a network of other things than people's bodies.
    """
    skeleton = manifests[0].skeleton
    if skeleton.parts and not skeleton.coco17:
        return None
    from posetrt.calib.accuracy.people_of import people_of
    from posetrt.calib.datasets.choose import open_dataset
    from posetrt.calib.scenes.scenes import draw_scene
    from posetrt.calib.scenes.truth import write_scenes
    from posetrt.export.graph.onnx_file import describe
    from posetrt.runtime.engines.choose import open_engine

    before = manifests[0]
    figures: list[float] = []
    with tempfile.TemporaryDirectory(prefix="posetrt-look-") as name:
        folder = Path(name)
        write_scenes([draw_scene(seed) for seed in SCENES], folder)
        annotations, images = folder / "person_keypoints.json", folder / "images"
        dataset = open_dataset(annotations, images, limit=1)
        try:
            for number, manifest in enumerate(manifests):
                graph = folder / f"{number}.onnx"
                graph.write_bytes(describe(model, manifest.to_json()).SerializeToString())
                with open_engine(graph) as engine:
                    if number == 0:
                        began = time.perf_counter()
                        people_of(engine, dataset.photographs, dataset)
                        each_s = time.perf_counter() - began
                        dataset = open_dataset(annotations, images, limit=max(FEWEST, int(BUDGET_S / (each_s * len(manifests)))))
                    found = people_of(engine, dataset.photographs, dataset)
                    first = next(iter(dataset.judge(found, skeleton).figures.values()))
                    figures.append(max(0.0, first or 0.0))
                graph.unlink()
        finally:
            describe(model, before.to_json())
    return figures


def why_nobody(manifest: Manifest, frames: int) -> str:
    """A line for someone whose network finds nobody in many frames: the likely causes, with what this network is fed."""
    spec = manifest.input
    pixels = "0 to 255, normalised in the graph" if spec.in_graph else f"mean {_numbers(spec.mean)}, scale {_numbers(spec.scale)}"
    return (
        f"nobody was found in {frames} frames. If people were in view, the likely causes are, the commonest first: "
        f"another normalisation (it is fed {spec.colour}, {pixels}; set at export with --normalise), "
        f"another placement of the picture ({spec.fit.how}; --placement), people too small in its {'x'.join(map(str, spec.size_wh))} pixels, "
        "weights that are not trained"
    )


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4g}" for value in dict.fromkeys(values))
