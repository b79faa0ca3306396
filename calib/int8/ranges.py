"""From what a tensor held to the range that INT8 gives it: min-max, percentile, entropy (KL) and mean squared error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.int8.curves import Curve
from posetrt.calib.int8.histogram import BINS, Distribution
from posetrt.runtime.errors import UsageError

METHODS = ("minmax", "percentile", "entropy", "mse")
DEFAULT_PERCENTILE = 99.99


@dataclass(frozen=True)
class Range:
    """What INT8 can express of one tensor.

    Attributes:
        low, high: for unsigned activations (ONNX Runtime's layout): 256 levels between them; 0 is one of them.
        amax: for signed activations (TensorRT's layout, dynamic ranges): 255 levels from -amax to amax.
        method: how it was found.
        seen_low, seen_high: smallest and largest value on the calibration images.
        lows, highs: ends of a range for each channel, where the tensor is one that can have them (`channels.by_channel`); else none.
    """

    low: float
    high: float
    amax: float
    method: str
    seen_low: float
    seen_high: float
    lows: tuple[float, ...] = ()
    highs: tuple[float, ...] = ()

    def widened(self, other: Range) -> Range:
        """One range that holds both."""
        return Range(
            min(self.low, other.low),
            max(self.high, other.high),
            max(self.amax, other.amax),
            self.method,
            self.seen_low,
            self.seen_high,
        )


def check_method(method: str) -> tuple[str, float]:
    """Name and percentile of a method such as "mse", "percentile" or "percentile-99.9".

    Raises:
        UsageError: no such method, or a percentile that is none.
    """
    name, _, number = method.partition("-")
    try:
        percentile = float(number) if number else DEFAULT_PERCENTILE
    except ValueError:
        percentile = -1.0
    if name not in METHODS or (number and name != "percentile") or not 50 < percentile <= 100:
        raise UsageError(
            f"no calibration method {method!r}: there are {', '.join(METHODS)}; a percentile may be given, as in percentile-99.9"
        )
    return name, percentile


def find_range(held: Distribution, method: str, curve: Curve | None = None) -> Range:
    """The range of one tensor.

    Args:
        held: what the tensor held.
        method: as `check_method` takes it.
        curve: through which alone it is seen, if so: with "mse" the ends of the unsigned range are then those that keep what comes of it.
    """
    name, percentile = check_method(method)
    ends = (min(held.low, 0.0), max(held.high, 0.0))
    widest = max(-ends[0], ends[1])
    if name == "minmax" or widest == 0:
        low, high, amax = *ends, widest
    elif name == "percentile":
        share = percentile / 100
        low, high = min(held.lower_quantile(share), 0.0), max(held.upper_quantile(share), 0.0)
        amax = held.peak_quantile(share)
    elif name == "entropy":
        amax = entropy_range(held)
        low, high = max(ends[0], -amax), min(ends[1], amax)
    else:
        amax = mse_range(held, levels_above=127, levels_below=127) * widest
        if curve is not None and ends[0] < 0 < ends[1]:
            low, high = _mse_behind(held, curve)
        else:
            cut = mse_range(held, levels_above=255, levels_below=0) if ends[0] == 0 else _mse_both(held)
            low, high = ends[0] * cut, ends[1] * cut
    if high - low <= 0:
        low, high = ends
    return Range(_short(low), _short(high), _short(amax or widest), method if name != "percentile" else f"percentile-{percentile:g}", *ends)


def mse_range(held: Distribution, levels_above: int, levels_below: int) -> float:
    """The share of the widest range whose rounding and clipping together cost the least squared error.

    Args:
        levels_above, levels_below: quantisation steps on either side of 0, as 127 and 127, or 255 and 0.
    """
    values, counts = _filled(held)
    widest = float(np.abs(values).max()) if len(values) else 0.0
    widest = max(widest, held.high, -held.low)
    errors = []
    shares = np.linspace(0.2, 1.0, 161)
    for share in shares:
        step = widest * share / levels_above
        errors.append(_squared_error(values, counts, step, -levels_below, levels_above))
    return float(shares[_widest_best(errors)])


def _mse_both(held: Distribution) -> float:
    """As `mse_range` with 256 levels between both ends, which shrink together."""
    values, counts = _filled(held)
    low, high = min(held.low, 0.0), max(held.high, 0.0)
    errors = []
    shares = np.linspace(0.2, 1.0, 161)
    for share in shares:
        step = (high - low) * share / 255
        zero = round(-low * share / step)
        errors.append(_squared_error(values, counts, step, -zero, 255 - zero))
    return float(shares[_widest_best(errors)])


def _mse_behind(held: Distribution, curve: Curve) -> tuple[float, float]:
    """Ends whose rounding and clipping cost the least squared error in what a curve makes of the values; each end moves by itself."""
    values, counts = _filled(held)
    wanted = curve(values)
    shares = np.linspace(0.02, 1.0, 50)

    def error(low: float, high: float) -> float:
        step = (high - low) / 255
        zero = np.rint(-low / step)
        made = curve((np.arange(256) - zero) * step)
        level = np.clip(np.rint(values / step) + zero, 0, 255).astype(np.intp)
        return float(((made[:, level] - wanted) ** 2 @ counts).sum())

    low, high = held.low, held.high
    for _ in range(3):
        low = held.low * float(shares[_widest_best([error(held.low * one, high) for one in shares])])
        high = held.high * float(shares[_widest_best([error(low, held.high * one) for one in shares])])
    return low, high


def _widest_best(errors: list[float]) -> int:
    """Index of the smallest error; of equal ones the widest range."""
    return len(errors) - 1 - int(np.argmin(errors[::-1]))


def _filled(held: Distribution) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values and counts of the bins that hold anything."""
    filled = np.nonzero(held.counts)[0]
    return held.centres()[filled], held.counts[filled]


def _squared_error(values: NDArray[np.float64], counts: NDArray[np.float64], step: float, lowest: int, highest: int) -> float:
    """Sum of squared differences that a grid of `step` between two whole numbers makes."""
    rounded = np.clip(np.rint(values / step), lowest, highest) * step
    return float(np.dot(counts, (values - rounded) ** 2))


def entropy_range(held: Distribution, levels: int = 128) -> float:
    """The clip whose 128 levels lose the least information (Kullback-Leibler), over 2048 bins of magnitudes.

    Source: S. Migacz, "8-bit Inference with TensorRT", GTC 2017: reference P holds the clipped values in its last bin;
    Q is the unclipped part in `levels` levels, spread over the bins that were not empty.
    """
    folded = held.counts[BINS:] + held.counts[:BINS][::-1]
    folded[0] = folded[1]  # nearly all of the first bin are zeros of ReLU, which every range expresses exactly
    best, best_edge = np.inf, BINS
    top = int(np.nonzero(folded)[0].max(initial=0)) + 1
    for edge in range(levels, max(top, levels) + 1):
        reference = folded[:edge].copy()
        reference[-1] += folded[edge:].sum()
        divergence = _divergence(reference, folded[:edge], levels)
        if divergence < best:
            best, best_edge = divergence, edge
    return min(best_edge * held.width, max(-held.low, held.high))


def _divergence(reference: NDArray[np.float64], inside: NDArray[np.float64], levels: int) -> float:
    """KL divergence of P from its quantised form."""
    starts = (np.arange(levels) * len(inside)) // levels
    totals = np.add.reduceat(inside, starts)
    alive = (inside > 0).astype(np.float64)
    shared = np.add.reduceat(alive, starts)
    sizes = np.diff(np.append(starts, len(inside)))
    spread = np.repeat(np.divide(totals, shared, out=np.zeros_like(totals), where=shared > 0), sizes) * alive
    p, q = reference / max(reference.sum(), 1e-300), spread / max(spread.sum(), 1e-300)
    here = p > 0
    return float(np.sum(p[here] * np.log(p[here] / np.maximum(q[here], 1e-12))))


def _short(value: float) -> float:
    """The value as float32 keeps it, so that a file of ranges and the graph made from it agree to the last digit."""
    return float(np.float32(value))
