"""The whole of `posetrt calibrate`: ranges, what INT8 costs on photographs held back, and a search for layers to keep in float where it costs much."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from posetrt.calib.accuracy.coco import CocoPhotos
from posetrt.calib.int8.calibrate import DEFAULT_METHOD, Calibrated, calibrate, write_variants
from posetrt.calib.int8.calibration import Calibration
from posetrt.calib.int8.foreign import Foreign, refuse_adopted
from posetrt.calib.int8.photographs import sample
from posetrt.calib.int8.scales import Layout
from posetrt.calib.int8.selection import select
from posetrt.calib.sensitivity.budget import chart, fit_budget, spare_noisiest
from posetrt.calib.sensitivity.measure import LAYOUTS, LEAST_EIGHT_BIT
from posetrt.calib.sensitivity.price import LEAST_HELD_BACK, Price, hold_back, price_from, priced, speed_here, table
from posetrt.runtime.errors import UsageError
from posetrt.runtime.model.folder import ModelFolder

AUTOMATIC_TARGET, MOST_AIMED_AT = 0.95, 0.99
"""Agreement at which a search aims that nobody asked for: more than "fine" asks for, because what does best on the photographs that choose does less well
on those held back. A second one aims higher by as much as a layout fell short there of being `SAFELY_FINE`."""
SAFELY_FINE = 0.92
AUTOMATIC_FLOORS = ((LEAST_EIGHT_BIT, 0.85), (0.6,))
"""Share of the multiply-adds that then stays in INT8: less where the budget cannot be met with more, and least for layouts that are not fine even
so on the photographs held back."""
CLOSE = 0.95
"""Agreement from which nothing more is kept in float."""

Move = Callable[[int, int], None]


@dataclass(frozen=True)
class CalibrationOptions:
    """What a user may choose of a calibration.

    Attributes:
        method, equalise, trained, all_int8: as `int8.calibrate.calibrate` takes them.
        limit: at most so many of the images calibrate, drawn at random; None for all but those held back.
        select: so many images that cover what the network can see, out of eight times as many.
        seed: of the draws.
        sensitivity: True measures each layer and keeps the costliest in float; False never does; None where INT8 is not fine without.
        judge: photographs by which layers are judged.
        budget: points that INT8 may lose with `sensitivity`, as `budget.fit_budget` takes them.
        annotated: photographs with COCO key points to judge layers by.
        beside: graphs that other tools quantised, by name, to be priced beside ours.
        fp8: make and price a graph in float8 too.
        replace_foreign: replace INT8 graphs that came from another tool.
    """

    method: str = DEFAULT_METHOD
    equalise: bool = True
    trained: Path | None = None
    all_int8: bool = False
    limit: int | None = None
    select: int | None = None
    seed: int = 0
    sensitivity: bool | None = None
    judge: int = 48
    budget: float | None = None
    annotated: CocoPhotos | None = None
    beside: Mapping[str, Foreign] = field(default_factory=dict)
    fp8: bool = False
    replace_foreign: bool = False


def calibrate_judged(
    folder: ModelFolder,
    images: Sequence[Path],
    options: CalibrationOptions | None = None,
    *,
    say: Callable[[str], None] = lambda _line: None,
    bar: Callable[[str, str], AbstractContextManager[Move]] = lambda _what, _unit: nullcontext(lambda _done, _all: None),
) -> Calibrated:
    """Calibrate a folder and measure what INT8 costs; writes calibration.json and the graphs once, at the end.

    Args:
        folder: with model.onnx.
        images: photographs; a tenth, at least 20, is held back to judge, none where there are fewer than 40.
        options: None for the defaults.
        say: called with each line of progress or warning.
        bar: makes a progress bar for a step, by what it does and what it counts.

    Returns:
        As `calibrate`, with what INT8 costs under `calibration.price` (None where it was not measured).

    Raises:
        UsageError, PosetrtError: as `calibrate`.
    """
    wish = options or CalibrationOptions()
    if not wish.replace_foreign:
        refuse_adopted(folder)
    judge_by: list[Path] = []
    images = list(images)
    if wish.sensitivity and wish.annotated is None:
        judge_by = sample(images, min(wish.judge, len(images) // 2), wish.seed)
        images = [path for path in images if path not in set(judge_by)]
        if not judge_by:
            raise UsageError("--sensitivity judges by photographs that calibrate nothing: give --images with two or more")
    drawn, held_back = hold_back(images, wish.limit, wish.seed)
    chosen = "all" if len(drawn) == len(images) else f"random, seed {wish.seed}"
    if wish.select is not None:
        with bar("select", "image") as progress:
            drawn = select(folder, drawn, wish.select, seed=wish.seed, progress=progress)
        chosen = f"selected for coverage, seed {wish.seed}"
    with bar("calibrate", "image") as progress:
        made = calibrate(
            folder,
            drawn,
            method=wish.method,
            equalise=wish.equalise,
            chosen=chosen,
            trained=wish.trained,
            all_int8=wish.all_int8,
            write=False,
            progress=progress,
        )
    for warning in made.warnings:
        say(f"warning: {warning}")
    shapes = made.observation.shapes
    if wish.sensitivity:
        with bar("layers", "layer") as progress:
            fitted = fit_budget(folder, made, judge_by, budget=wish.budget, annotated=wish.annotated, progress=progress, say=say)
        made = replace(made, calibration=fitted)

    def with_price(calibration: Calibration) -> Calibrated:
        return replace(made, calibration=priced(folder, calibration, held_back, shapes, say, wish.beside, fp8=wish.fp8))

    if held_back:
        made = with_price(made.calibration)
        if wish.sensitivity is None and not wish.all_int8:
            # On photographs that calibrated, so that those held back still judge the result alone.
            unreadable = set(made.skipped)
            judge_by = sample([path for path in drawn if path not in unreadable], wish.judge, wish.seed)
            price = price_from(made.calibration.price or {})
            noisy = [name for name in LAYOUTS if price.layouts[name].verdict == "fine" and price.layouts[name].agreement < CLOSE]
            unpriced = False
            if noisy:
                say(table(price, advise=False))
                say("Keeping the layers that make the most noise in float; --no-sensitivity leaves this out")
                with bar("layers", "layer") as progress:
                    spared = spare_noisiest(folder, made, judge_by, noisy, progress=progress)
                unpriced = any(set(spared.kept(layout)) != set(made.calibration.kept(layout)) for layout in LAYOUTS)
                made = replace(made, calibration=spared)
            target = AUTOMATIC_TARGET
            for floors in AUTOMATIC_FLOORS:
                costly = _costly(price)
                if not costly:
                    break
                say(table(price, advise=False))
                say(
                    f"Looking for the layers to keep in float, until {target:.2f} of agreement is reached, with {100 * floors[-1]:.0f} % of the "
                    "multiply-adds in INT8 at the least; --no-sensitivity leaves this out"
                )
                with bar("layers", "layer") as progress:
                    fitted = fit_budget(
                        folder,
                        made,
                        judge_by,
                        budget=100 * (1 - target),
                        least_eight_bit=floors,
                        layouts=costly,
                        table=False,
                        progress=progress,
                        say=say,
                    )
                made, unpriced = with_price(fitted), False
                price = price_from(made.calibration.price or {})
                reached = (fitted.sensitivity or {}).get("chosen", {})
                short = [reached.get(layout, target) + SAFELY_FINE - price.layouts[layout].agreement for layout in costly]
                target = min(max(target, *short), MOST_AIMED_AT)
            if unpriced:
                made = with_price(made.calibration)
        made = replace(made, speed=speed_here(folder, made.calibration, held_back))
    else:
        needed = 2 * LEAST_HELD_BACK + (min(wish.judge, 2 * LEAST_HELD_BACK) if judge_by else 0)
        say(
            f"warning: of {len(drawn)} photograph{'s' * (len(drawn) != 1)} that calibrate none can be held back, so what INT8 costs is not "
            f"measured. Give {needed}" + (f", since half of them, up to {wish.judge}, judge layers" if judge_by else "")
        )
    for warning in write_variants(folder, made.calibration, fp8=wish.fp8):
        say(f"warning: {warning}")
    if made.calibration.sensitivity is not None:
        chart(made.calibration, folder.path / "sensitivity.png")
    return made


def _costly(price: Price) -> list[Layout]:
    """The layouts for whose layers a search is worth its minutes."""
    return [name for name in LAYOUTS if price.layouts[name].verdict in ("costly", "unusable")]
