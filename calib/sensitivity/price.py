"""What INT8 costs: the people that it finds beside those of FP32, on photographs that calibrated nothing, with a verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from posetrt.calib.int8.photographs import sample
from posetrt.runtime.files import read_json

if TYPE_CHECKING:
    from posetrt.calib.int8.calibration import Calibration
    from posetrt.calib.int8.foreign import Foreign
    from posetrt.calib.int8.scales import Layout
    from posetrt.calib.sensitivity.judge import Judge
    from posetrt.runtime.model.folder import ModelFolder

# What makes a ModelProto, the layout whose arithmetic it gets, and its share of the multiply-adds in INT8.
Candidate = tuple[Callable[[], Any], "Layout", float]
Verdict = Literal["fine", "costly", "unusable", "unknown"]

# OKS agreement with FP32 from which a layout is fine, and below which it is unusable. Between FP32 and itself it is 1.
FINE, USABLE = 0.9, 0.5
# Share of FP32's people by which INT8 may show more or fewer and be fine.
OTHER_PEOPLE = 0.1
# People whom FP32 must find on the photographs before an agreement says anything.
ENOUGH_PEOPLE = 10
# A tenth of the photographs is held back, and at least so many.
LEAST_HELD_BACK = 20
# So many are held back where a limit leaves them over, and looked at where fewer are, each then in several positions: an agreement from 20
# photographs is off by .03 either way, and verdicts hang on .01.
WANTED_VIEWS = 60
# How often each graph is timed for `speed_here`.
SPEED_TURNS = 8
# By layout of the graph; "ranges" is int8-base with a range on each tensor, as TensorRT 8 and 10 build it unless they are given --explicit-qdq.
LAYOUT_NAMES = {"ort": "ONNX Runtime", "trt": "TensorRT (simulated)", "ranges": "TensorRT 8, 10 by ranges", "fp8": "FP8 (simulated)"}


@dataclass(frozen=True)
class LayoutPrice:
    """What one layout costs.

    Attributes:
        agreement: 0 to 1, with FP32.
        people: that `posetrt run` would show of INT8 by default on all photographs together; the mean over the positions in which each is looked at.
        eight_bit_share: of all multiply-adds of the network, 0 to 1.
        verdict: "fine", "costly", "unusable", or "unknown" where FP32 itself finds too few people.
    """

    agreement: float
    people: int
    eight_bit_share: float
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "agreement": round(self.agreement, 4),
            "people": self.people,
            "eight_bit_share": round(self.eight_bit_share, 4),
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Price:
    """What INT8 costs in each layout.

    Attributes:
        photographs: that were looked at, and calibrated nothing.
        measure: of the agreement, as "OKS".
        reference_people: whom FP32 shows there.
        layouts: by layout.
        moved: agreement of FP32 with itself where the photographs are moved by one pixel of the network's input; None where nothing that is run as a
            graph was costly or unusable.
    """

    photographs: int
    measure: str
    reference_people: int
    layouts: Mapping[str, LayoutPrice]
    moved: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; `price_from` reads it back."""
        return {
            "photographs": self.photographs,
            "measure": self.measure,
            "reference_people": self.reference_people,
            "layouts": {name: one.to_dict() for name, one in self.layouts.items()},
            **({} if self.moved is None else {"moved": round(self.moved, 4)}),
        }

    @property
    def unusable(self) -> list[str]:
        """Layouts of ours that nobody should build; ranges are not named, since the graph in TensorRT's layout goes in their place."""
        return [name for name, one in self.layouts.items() if name in LAYOUT_NAMES and name != "ranges" and one.verdict == "unusable"]


def price_from(fields: Mapping[str, Any]) -> Price:
    """The price as calibration.json holds it."""
    layouts = {name: LayoutPrice(**one) for name, one in fields["layouts"].items()}
    return Price(int(fields["photographs"]), str(fields["measure"]), int(fields["reference_people"]), layouts, fields.get("moved"))


def verdict_on(agreement: float, reference_people: int, people: int) -> Verdict:
    """What to think of an agreement with FP32.

    Args:
        reference_people, people: whom FP32 and INT8 find. Where FP32 finds hardly anybody, only an INT8 that finds many can be judged. Two
            standard deviations of such a count say nothing.
    """
    if max(reference_people, people) < ENOUGH_PEOPLE:
        return "unknown"
    apart = abs(people - reference_people)
    as_many = apart <= max(OTHER_PEOPLE * reference_people, 2 * reference_people**0.5)
    return "unusable" if agreement < USABLE else "fine" if agreement >= FINE and as_many else "costly"


def table(price: Price, *, speed: Mapping[str, float] | None = None, advise: bool = True) -> str:
    """The price as a small table, with what to do where it is too high if that is asked for.

    Args:
        speed: how many times as fast as FP32 a layout runs on this computer, where it runs here.
    """
    fast = speed or {}
    lines = [
        f"INT8 beside FP32 on {price.photographs} photographs that calibrated nothing (FP32 finds {price.reference_people} people):",
        f"{'layout':<24} {price.measure + ' agreement':>14} {'people':>7} {'in INT8':>8} {'speed':>6}  verdict",
    ]
    for name, one in price.layouts.items():
        agreement = "-" if one.verdict == "unknown" else f"{one.agreement:.3f}"
        times = f"{fast[name]:.1f}x" if name in fast else "-"
        lines.append(
            f"{LAYOUT_NAMES.get(name, name):<24} {agreement:>14} {one.people:>7} {100 * one.eight_bit_share:>6.1f} % {times:>6}  {one.verdict}"
        )
    verdicts = {one.verdict for name, one in price.layouts.items() if name != "ranges"}
    if "unknown" in verdicts:
        lines.append("The price cannot be told: the photographs show too few people. Give photographs of people.")
    if price.moved is not None:
        lines.append(f"FP32 agrees with itself by {price.moved:.3f} where the photographs are moved by one pixel of the network's input.")
    if any(times < 1 for times in fast.values()):
        lines.append("INT8 is slower than FP32 on this computer's processor: run fp32 here. A GPU is another matter.")
    if advise and any(one.verdict == "costly" and one.agreement >= FINE for one in price.layouts.values()):
        lines.append(
            "INT8 shows other numbers of people than FP32: its scores differ near the least one. Use fp16, or choose --min-score by INT8."
        )
    if advise and verdicts & {"costly", "unusable"}:
        lines.append("Keep more layers in float with --sensitivity and a smaller --budget-oks; or use fp16.")
    by_ranges, written = price.layouts.get("ranges"), price.layouts.get("trt")
    if advise and by_ranges and written and (by_ranges.verdict in ("costly", "unusable") and written.verdict == "fine"):
        lines.append("TensorRT 10 does better with the graph than by ranges: posetrt build --explicit-qdq.")
    return "\n".join(lines)


def line(fields: Mapping[str, Any] | None, layout: str, folder: str = "FOLDER") -> str:
    """One line on what INT8 costs in a layout, for `build`, `doctor` and reports.

    Args:
        fields: `price` of calibration.json; None where it was not measured.
        folder: as a command would be given it.
    """
    what = "fp8" if layout == "fp8" else "int8"
    if fields is None or layout not in fields["layouts"]:
        return f"{what}: its price was not measured; posetrt calibrate {folder} --images DIR with 40 photographs or more measures it"
    price = price_from(fields)
    one = price.layouts[layout]
    if one.verdict == "unknown":
        return f"{what}: its price is unknown, because the photographs held back show too few people"
    return (
        f"{what}: {one.verdict} ({price.measure} agreement with fp32 {one.agreement:.3f}, {one.people} people where fp32 finds "
        f"{price.reference_people}, on {price.photographs} photographs; {LAYOUT_NAMES.get(layout, layout)})"
    )


def layout_of(graph: str) -> str:
    """The layout that an engine was priced in, from the graph that it was built from, as "variants/int8-trt-fp16.onnx"."""
    name = graph.rpartition("/")[2].removesuffix(".onnx")
    return {"int8-ort": "ort", "int8-base": "ranges", "model": "ranges", "fp8-trt": "fp8"}.get(name, "trt")


def folder_line(folder: ModelFolder, layout: str) -> str:
    """One line on what a folder's INT8 costs in a layout; read from calibration.json, without onnx.

    Raises:
        PosetrtError: the file cannot be read.
    """
    from posetrt.calib.int8.foreign import ELSEWHERE

    fields = read_json(folder.calibration, "calibration")
    if isinstance(fields, dict) and fields.get("method") == ELSEWHERE:
        return f"int8: as another tool quantised it; posetrt eval {folder.quoted} --images DIR says how far it agrees with fp32"
    return line(fields.get("price") if isinstance(fields, dict) else None, layout, folder.quoted)


def hold_back(images: Sequence[Path], limit: int | None, seed: int) -> tuple[list[Path], list[Path]]:
    """Photographs that calibrate, and those that are held back to judge INT8 by: a tenth, at least 20, none where fewer than 40 are given; up to 60
    where a limit leaves them over.

    Args:
        limit: how many may calibrate at most; those beyond it are held back first, so that they cost no range a photograph.
        seed: of the draw.
    """
    calibrating = min(limit, len(images)) if limit is not None else len(images)
    count = max(LEAST_HELD_BACK, calibrating // 10)
    if len(images) < 2 * LEAST_HELD_BACK:
        return sample(images, calibrating, seed), []
    drawn = sample(images, min(calibrating, len(images) - count), seed)
    rest = [path for path in images if path not in set(drawn)]
    return drawn, sample(rest, max(count, WANTED_VIEWS) if limit is not None else count, seed)


def measured(
    reference: Any,
    candidates: Mapping[str, Candidate],
    judge: Judge,
    say: Callable[[str], None] = lambda _line: None,
    moved: float | None = None,
) -> Price:
    """Compare graphs with a float one on the judge's photographs: ours, or one that another tool quantised, beside them.

    Args:
        reference: the float ModelProto.
        candidates: by name: what makes the ModelProto, the layout whose arithmetic it gets, and the share of the multiply-adds in INT8.
        say: called with a line before each graph is looked at.
        moved: of the price, where it is known already.
    """
    from posetrt.calib.sensitivity.judge import Judge, runner

    about = f"measuring what INT8 costs on {len(judge)} photographs held back"
    say(f"{about}: fp32")
    run = runner(reference, judge.manifest)
    people = judge.people(run)
    layouts: dict[str, LayoutPrice] = {}
    seen = round(sum(map(len, people)) / judge.positions)
    for name, (make, layout, share) in candidates.items():
        say(f"{about}: {LAYOUT_NAMES.get(name, name)}")
        found = judge.compare(people, runner(make(), judge.manifest, fused=layout == "ort"))
        count = round(found.people / judge.positions)
        layouts[name] = LayoutPrice(found.oks, count, share, verdict_on(found.oks, seen, count))
    if moved is None and any(one.verdict in ("costly", "unusable") for name, one in layouts.items() if name != "ranges"):
        say(f"{about}: fp32, moved by a pixel")
        moved = Judge(judge.manifest, judge.paths, judge.positions, aside=True).compare(people, run).oks
    return Price(len(judge), "OKS", seen, layouts, moved)


def speed_here(folder: ModelFolder, calibration: Calibration, photographs: Sequence[Path]) -> dict[str, float]:
    """How many times as fast as FP32 ONNX Runtime's layout runs on this computer: the best of a few turns, network alone.

    It is told and not kept: calibration.json is the same to the last byte whoever calibrates.

    Raises:
        PosetrtError: none of the photographs can be read.
    """
    from posetrt.calib.int8.equalise import equalised
    from posetrt.calib.int8.quantize import quantize
    from posetrt.calib.sensitivity.judge import Judge, runner
    from posetrt.export.graph.graph import load_graph

    manifest = folder.manifest()
    base = equalised(load_graph(folder.onnx), calibration.scales)
    fed = Judge(manifest, photographs).one_input()
    models = [base.model, quantize(base, calibration.ranges, "ort", calibration.kept_float_ort, calibration.corrections("ort"))]
    runs = [runner(model, manifest) for model in models]
    took = [float("inf")] * len(runs)
    for _ in range(SPEED_TURNS):
        for place, run in enumerate(runs):
            started = time.perf_counter()
            run(fed)
            took[place] = min(took[place], time.perf_counter() - started)
    return {"ort": took[0] / took[1]}


def priced(
    folder: ModelFolder,
    calibration: Calibration,
    held_back: Sequence[Path],
    shapes: Mapping[str, tuple[int, ...]],
    say: Callable[[str], None] = lambda _line: None,
    beside: Mapping[str, Foreign] | None = None,
    *,
    fp8: bool = False,
) -> Calibration:
    """The calibration with what its graphs cost, measured on photographs that calibrated nothing.

    Args:
        folder: with model.onnx.
        calibration: one that has a price has that of the same photographs.
        shapes: of the float tensors, as observed.
        say: called with a line before each graph is looked at.
        beside: graphs of the same network that other tools quantised, by name, to be judged as ours are.
        fp8: price TensorRT's layout in float8 too.

    Raises:
        PosetrtError: none of the photographs can be read.
    """
    from posetrt.calib.int8.equalise import equalised
    from posetrt.calib.int8.fp8 import quantize_fp8
    from posetrt.calib.int8.plan import eight_bit_share
    from posetrt.calib.int8.quantize import quantize
    from posetrt.calib.sensitivity.judge import SHIFTS, Judge
    from posetrt.calib.sensitivity.measure import LAYOUTS
    from posetrt.export.graph.graph import load_graph

    base = equalised(load_graph(folder.onnx), calibration.scales)
    candidates: dict[str, Candidate] = {
        name: (
            partial(quantize, base, calibration.ranges, name, calibration.kept(name), calibration.corrections(name)),
            name,
            eight_bit_share(base, name, calibration.kept(name), shapes),
        )
        for name in LAYOUTS
    }
    by_ranges = partial(quantize, base, calibration.ranges, "trt", calibration.kept_float, move=False)
    candidates["ranges"] = (by_ranges, "trt", candidates["trt"][2])
    if fp8:
        candidates["fp8"] = (partial(quantize_fp8, base, calibration.ranges, calibration.kept_float), "trt", candidates["trt"][2])
    for name, one in (beside or {}).items():
        candidates[name] = (partial(_model_of, one), one.layout, one.share(dict(shapes)))
    positions = min(len(SHIFTS), -(-WANTED_VIEWS // len(held_back)))
    known = (calibration.price or {}).get("moved")
    price = measured(base.model, candidates, Judge(folder.manifest(), held_back, positions), say, known)
    return replace(calibration, price=price.to_dict())


def _model_of(one: Foreign) -> Any:
    return one.graph.model
