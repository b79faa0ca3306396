"""What a folder's INT8 costs, layer by layer, measured and written into calibration.json: `posetrt calibrate --sensitivity`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from posetrt.calib.accuracy.coco import CocoPhotos
from posetrt.calib.int8.calibrate import Calibrated
from posetrt.calib.int8.calibration import Calibration
from posetrt.calib.int8.equalise import equalised
from posetrt.calib.int8.plan import layer_shares
from posetrt.calib.int8.quantize import quantize
from posetrt.calib.int8.scales import Layout
from posetrt.calib.sensitivity.choice import Choice, choose_float
from posetrt.calib.sensitivity.judge import SHIFTS, Judge, runner
from posetrt.calib.sensitivity.measure import LAYOUTS, LEAST_EIGHT_BIT, LayerCost, layer_costs
from posetrt.calib.sensitivity.ranking import MOST_GRAPHS, ranked_by_shares
from posetrt.export.graph.graph import Graph, load_graph
from posetrt.runtime.files import written_whole
from posetrt.runtime.model.folder import ModelFolder
from posetrt.runtime.people import People

DEFAULT_OKS_BUDGET = 5.0
DEFAULT_AP_BUDGET = 0.5
# Photographs on which every layer's noise in the maps is read, and those on which the people of the short list are looked at.
GLANCE, WEIGHING = 3, 16
# Photographs on which whole graphs are compared.
RANKING = 4
# Few annotated photographs are looked at in several positions: AP of 38 moves by .007 either way with another rounding, whatever the method.
ENOUGH_VIEWS = 200
# Sets that are looked at whole in one layout, about as many as there were with any network.
SETS = 25
# Agreement that the noisiest layers in float must bring in ONNX Runtime's layout.
WORTH = 0.01


def fit_budget(
    folder: ModelFolder,
    made: Calibrated,
    judge_by: Sequence[Path],
    *,
    budget: float | None = None,
    annotated: CocoPhotos | None = None,
    least_eight_bit: Sequence[float] = (LEAST_EIGHT_BIT,),
    layouts: Collection[Layout] = LAYOUTS,
    table: bool = True,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    say: Callable[[str], None] = lambda _line: None,
) -> Calibration:
    """Measure each layer's cost, and keep the fewest layers in float that meet the budget. Nothing is written: `write_variants` does, and `chart`.

    Args:
        made: as `calibrate` gave it for this folder.
        judge_by: photographs that calibrated nothing; the first 16 weigh single layers, all of them the sets. Not looked at where
            `annotated` is given, of which the same holds.
        budget: in points: of AP below FP32's where photographs are annotated (default 0.5), else of OKS agreement
            below 100 (default 5).
        annotated: photographs with COCO key points, to judge by their AP; up to 100 of them in several positions each, by the mean.
        least_eight_bit: as `choice.choose_float` takes it.
        layouts: those for which layers are looked for; the others keep theirs.
        table: look at what the costliest layers alone do to people, which the choice does not need.

    Returns:
        The calibration with kept_float, kept_float_ort, and under sensitivity the layers with their costs, and what was measured.
    """
    manifest, found = folder.manifest(), _Layers.of(folder, made)
    paths = list(annotated.paths.values()) if annotated is not None else list(judge_by)
    positions = min(len(SHIFTS), max(1, ENOUGH_VIEWS // len(paths))) if annotated is not None else 1
    judge = Judge(manifest, paths, positions)
    score = _score_by(annotated, judge) if annotated is not None else None
    weighing = Judge(manifest, judge.paths[:WEIGHING])
    weighed_score = _score_by(annotated, weighing) if annotated is not None else None
    glance = Judge(manifest, weighing.paths[:GLANCE])
    say(f"{len(judge)} photographs choose; about {_minutes(found.base, made.calibration, glance, layouts, len(judge)):.0f} minutes at most")
    costs = found.costs(glance, layouts, progress, weighing if table else None, weighed_score)
    reference = judge.people(runner(found.base.model, manifest))
    points = budget if budget is not None else DEFAULT_OKS_BUDGET if annotated is None else DEFAULT_AP_BUDGET
    kept = {layout: made.calibration.kept(layout) for layout in LAYOUTS}
    choice = choose_float(
        found.base,
        made.calibration.ranges,
        costs,
        judge,
        reference,
        points / 100,
        found.shapes,
        score=score,
        weighing=Judge(manifest, weighing.paths[:RANKING]),
        begin_with=kept,
        layouts=layouts,
        corrections={layout: made.calibration.corrections(layout) for layout in layouts},
        least_eight_bit=least_eight_bit,
        say=say,
        progress=progress,
    )
    record = _record(costs, choice, points, judge, len(weighing), annotated is not None) | {"least_eight_bit": least_eight_bit[-1]}
    kept.update(choice.kept_float)
    return made.calibration.keeping(kept["trt"], kept["ort"], record)


def spare_noisiest(
    folder: ModelFolder,
    made: Calibrated,
    judge_by: Sequence[Path],
    layouts: Collection[Layout] = LAYOUTS,
    *,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Calibration:
    """Keep in float the layers that make more of the noise than they take of the multiply-adds, while nine tenths of these stay in INT8.

    A layer in float costs speed, so a layout keeps them where people then agree more by `WORTH`. Nothing is written.

    Args:
        made: as `calibrate` gave it for this folder.
        judge_by: photographs; the noise is read from those of the first `GLANCE` that can be read.
        layouts: that keep more layers.

    Raises:
        PosetrtError: none of the photographs can be read.
    """
    found = _Layers.of(folder, made)
    base, calibration = found.base, made.calibration
    judge = Judge(folder.manifest(), judge_by)
    costs = found.costs(Judge(judge.manifest, judge.paths[:GLANCE]), layouts, progress)
    people = judge.people(runner(base.model, judge.manifest))
    kept = {layout: calibration.kept(layout) for layout in LAYOUTS}
    for layout in layouts:
        noise = {cost.layer: cost.noise_ort if layout == "ort" else cost.noise for cost in costs}
        ranked = set(ranked_by_shares(base, noise, found.shares, layout, LEAST_EIGHT_BIT, kept[layout], least_worth=1.0))
        spared = tuple(layer.name for layer in base.layers if layer.name in ranked)
        if set(spared) != set(kept[layout]) and _gain(found, judge, people, layout, (kept[layout], spared)) >= WORTH:
            kept[layout] = spared
    return calibration.keeping(kept["trt"], kept["ort"])


def _gain(found: _Layers, judge: Judge, people: Sequence[People], layout: Layout, sets: Sequence[Sequence[str]]) -> float:
    """By how much the second set of layers in float agrees more with FP32, which finds `people`, than the first."""
    corrections, ranges = found.calibration.corrections(layout), found.calibration.ranges
    graphs = (quantize(found.base, ranges, layout, one, corrections) for one in sets)
    before, after = (judge.compare(people, runner(graph, judge.manifest, fused=layout == "ort")).oks for graph in graphs)
    return after - before


@dataclass(frozen=True)
class _Layers:
    """The layers of a calibrated folder, as a search begins with them.

    Attributes:
        base: the equalised float graph.
        shapes: of the float tensors, as observed.
        shares: of each layer, of the multiply-adds.
        calibration: of the folder.
    """

    base: Graph
    shapes: Mapping[str, tuple[int, ...]]
    shares: Mapping[str, float]
    calibration: Calibration

    @classmethod
    def of(cls, folder: ModelFolder, made: Calibrated) -> _Layers:
        base = equalised(load_graph(folder.onnx), made.calibration.scales)
        shapes = made.observation.shapes
        return cls(base, shapes, layer_shares(base, shapes), made.calibration)

    def costs(
        self,
        glance: Judge,
        layouts: Collection[Layout],
        progress: Callable[[int, int], None],
        weighing: Judge | None = None,
        score: Callable[[Sequence[People]], float] | None = None,
    ) -> list[LayerCost]:
        """What each layer costs, by the noise on `glance`; with `weighing` the costliest also by the people there."""
        return layer_costs(
            self.base,
            self.calibration.ranges,
            weighing or glance,
            glance=glance,
            weights=self.calibration.weights,
            shares=self.shares,
            score=score,
            layouts=layouts,
            people=weighing is not None,
            progress=progress,
        )


def _minutes(base: Graph, calibration: Calibration, glance: Judge, layouts: Collection[Layout], photographs: int) -> float:
    """What a search takes at most on this computer, from one graph of each layout: each layer and each graph of a ranking on `glance`, and `SETS` on all
    photographs."""
    seconds = 0.0
    for layout in layouts:
        started = time.perf_counter()
        model = quantize(base, calibration.ranges, layout, (), calibration.corrections(layout))
        glance.outputs(runner(model, glance.manifest, fused=layout == "ort"))
        seconds += (time.perf_counter() - started) * (
            len(base.layers) + (MOST_GRAPHS if layout == "ort" else 0) + SETS * photographs / len(glance)
        )
    return max(seconds / 60, 1.0)


def chart(calibration: Calibration, target: Path, most: int = 30) -> None:
    """Draw the costliest layers as bars: kept in float, or in INT8; nothing where no layer's people were looked at."""
    from matplotlib.figure import Figure

    if calibration.sensitivity is None:
        raise ValueError("this calibration holds no sensitivity")
    layers = [layer for layer in calibration.sensitivity["layers"] if layer["oks_cost"] is not None][:most]
    if not layers:
        return
    kept = {*calibration.kept_float, *calibration.kept_float_ort}
    figure = Figure(figsize=(9, 1.5 + 0.22 * len(layers)), layout="constrained")
    axes = figure.subplots()
    colours = ["tab:orange" if layer["name"] in kept else "tab:blue" for layer in layers]
    axes.barh([layer["name"] for layer in layers][::-1], [100 * layer["oks_cost"] for layer in layers][::-1], color=colours[::-1])
    axes.set_xlabel("OKS agreement with FP32 lost by this layer alone in INT8, points (orange: kept in float in a layout)")
    axes.tick_params(axis="y", labelsize=7)
    with written_whole(target) as temporary:
        figure.savefig(str(temporary), dpi=120)


def _score_by(annotated: CocoPhotos, judge: Judge) -> Callable[[Sequence[People]], float]:
    """AP of the judge's photographs, mean over the positions in which it looks at them."""
    ids = {path: image_id for image_id, path in annotated.paths.items()}
    judged = replace(annotated, paths={ids[path]: path for path in judge.paths})

    def score(people: Sequence[People]) -> float:
        count = len(judge)
        return sum(
            judged.judge(people[first : first + count], judge.manifest.skeleton).figures["ap"] or 0.0
            for first in range(0, len(people), count)
        ) / (len(people) // count)

    return score


def _record(costs: Sequence[LayerCost], choice: Choice, points: float, judge: Judge, weighed: int, annotated: bool) -> dict[str, Any]:
    """The JSON form, in a stable order, rounded to what means anything."""
    record = {
        "measure": "ap" if annotated else "oks agreement with fp32",
        "images": len(judge),
        "positions": judge.positions,
        "images_for_layers": weighed,
        "budget_points": points,
        "met": dict(choice.met),
        "float_score": round(choice.float_score, 5),
        "all_int8": {name: round(value, 5) for name, value in choice.all_int8.items()},
        "chosen": {name: round(value, 5) for name, value in choice.chosen.items()},
        "eight_bit_share": {name: round(value, 5) for name, value in choice.eight_bit.items()},
        "layers": [
            {
                "name": cost.layer,
                "oks_cost": None if cost.oks_cost is None else round(cost.oks_cost, 5),
                "ap_cost": None if cost.ap_cost is None else round(cost.ap_cost, 5),
                "noise": round(cost.noise, 5),
                "noise_ort": round(cost.noise_ort, 5),
            }
            for cost in costs
        ],
    }
    return dict(json.loads(json.dumps(record)))
