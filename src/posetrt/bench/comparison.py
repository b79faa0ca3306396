"""Two benchmark reports against each other: ratios with 95 % intervals, and a refusal where they cannot be compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from posetrt.bench.benchmark_report import Report, Result, machine_name
from posetrt.runtime.errors import PosetrtError

# Student's t at 97.5 %, for 1 to 30 degrees of freedom.
_T975 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
    *(2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)  # fmt: skip
LEAST_ROUNDS = 3
_LESS_IS_BETTER = frozenset({"latency_p50_ms", "watts"})


@dataclass(frozen=True)
class Ratio:
    """The second report's figure by the first's.

    Attributes:
        precision: of the row.
        figure: field of `Result`.
        first, second: the rounds' geometric means where both reports have rounds of it, else the reports' figures.
        ratio: second by first.
        low, high: 95 % interval of that by Welch's t on logarithms; None where a report has fewer than three rounds.
        rounds: of the report that has fewer.
    """

    precision: str
    figure: str
    first: float
    second: float
    ratio: float
    low: float | None
    high: float | None
    rounds: int

    @property
    def verdict(self) -> str:
        """In words: better, worse, or no difference shown."""
        if self.low is None or self.high is None:
            counted = {0: "no rounds", 1: "one round"}.get(self.rounds, f"{self.rounds} rounds")
            return f"{counted}: too few for an interval, measure with bench --rounds 5"
        if self.low <= 1.0 <= self.high:
            return "no difference shown"
        return "better" if (self.ratio > 1) != (self.figure in _LESS_IS_BETTER) else "worse"


def differences(first: Report, second: Report) -> list[str]:
    """What makes a comparison misleading, a sentence each; empty where nothing does."""
    found = []
    for what, a, b in (
        ("network", first.network, second.network),
        ("input size", "x".join(map(str, first.input_wh)), "x".join(map(str, second.input_wh))),
        ("frames of", first.source, second.source),
        ("power mode", _modes(first), _modes(second)),
    ):
        if a != b:
            found.append(f"{what}: {a} against {b}")
    return found


def compare(first: Report, second: Report, *, anyway: bool = False) -> list[Ratio]:
    """Ratios of each figure for the rows that both reports have.

    Args:
        first, second: reports; where the power modes are the same, or one mode each, rows are paired by precision.
        anyway: compare although `differences` are found.

    Raises:
        PosetrtError: sizes, modes, networks or sources differ, or no precision is in both.
    """
    differing = differences(first, second)
    if differing and not anyway:
        raise PosetrtError(
            f"these reports do not compare: {'; '.join(differing)}. Measure both in the same way, or give --anyway to print it all the same"
        )
    # Watts of other rails are other watts: they have no ratio.
    figures = ("network_fps", "end_to_end_fps", "latency_p50_ms", *(("watts",) if first.power_source == second.power_source else ()))
    ratios = [
        _ratio(a, b, figure)
        for a, b in _pairs(first, second)
        for figure in figures
        # Of nothing there is no ratio.
        if (getattr(a, figure) or 0) > 0 and getattr(b, figure) is not None
    ]
    if not ratios:
        told = (", ".join(row.label for row in report.results) or "none" for report in (first, second))
        raise PosetrtError(f"no row is in both reports: the first has {next(told)}, the second {next(told)}")
    return ratios


def comparison_table(first: Report, second: Report, ratios: Sequence[Ratio]) -> str:
    """The comparison for people."""
    lines = [
        f"first:  {first.model} on {machine_name(first)}",
        f"second: {second.model} on {machine_name(second)}",
        f"{'precision':<16} {'figure':<16} {'first':>9} {'second':>9} {'ratio':>7}  95 % interval",
    ]
    for one in ratios:
        interval = f"{one.low:.3f} to {one.high:.3f}" if one.low is not None and one.high is not None else "-"
        lines.append(
            f"{one.precision:<16} {one.figure:<16} {one.first:9.2f} {one.second:9.2f} {one.ratio:7.3f}  {interval:<16} {one.verdict}"
        )
    lines.append(
        "The intervals tell how the rounds of each run scatter, not how a machine changes between two runs: repeat both runs to know that."
    )
    accuracies = [(a, b) for a, b in _pairs(first, second) if a.ap is not None and b.ap is not None]
    lines += [
        f"{a.label}: AP {a.ap:.3f} against {b.ap:.3f}; differences under 2 to 3 points are noise on few photographs" for a, b in accuracies
    ]
    return "\n".join(lines)


def _modes(report: Report) -> str:
    return ", ".join(sorted({row.power_mode or "not known" for row in report.results}))


def _pairs(first: Report, second: Report) -> list[tuple[Result, Result]]:
    """Rows of one precision in one power mode; by precision alone where each report has one mode."""
    single = all(len({row.power_mode for row in report.results}) == 1 for report in (first, second))
    by_key = {(row.precision, None if single else row.power_mode): row for row in second.results}
    return [(row, by_key[key]) for row in first.results if (key := (row.precision, None if single else row.power_mode)) in by_key]


def _ratio(a: Result, b: Result, figure: str) -> Ratio:
    first, second = float(getattr(a, figure)), float(getattr(b, figure))
    rounds = [row.rounds.get(figure, ()) for row in (a, b)]
    if all(each and min(each) > 0 for each in rounds):
        # What the interval is of; a run's own figure may be its median, or of other frames.
        first, second = (math.exp(sum(map(math.log, each)) / len(each)) for each in rounds)
    low, high = welch_ratio(*rounds) or (None, None)
    name = a.label if a.label == b.label else a.precision
    return Ratio(name, figure, first, second, second / first, low, high, min(map(len, rounds)))


def welch_ratio(first: Sequence[float], second: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of the ratio of means, second by first, by Welch's t-test on logarithms; None for fewer than three values each.

    Two values have one degree of freedom and a t of 12.7: their interval holds nearly everything.
    """
    if min(len(first), len(second)) < LEAST_ROUNDS or min(*first, *second) <= 0:
        return None
    logs = [[math.log(value) for value in values] for values in (first, second)]
    means = [sum(values) / len(values) for values in logs]
    errors = [
        sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values) for values, mean in zip(logs, means, strict=True)
    ]
    whole = sum(errors)
    if whole == 0:
        return math.exp(means[1] - means[0]), math.exp(means[1] - means[0])
    freedom = whole**2 / sum(error**2 / (len(values) - 1) for error, values in zip(errors, logs, strict=True))
    # Rounded down: an interval is never made narrower than it is.
    t = _T975[min(int(freedom), len(_T975)) - 1]
    half = t * math.sqrt(whole)
    return math.exp(means[1] - means[0] - half), math.exp(means[1] - means[0] + half)
