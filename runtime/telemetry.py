"""What a benchmark or a page asks of whoever measures watts and temperatures; `posetrt.jetson.telemetry` answers it.

`runtime` knows no sensor: the command line hands one in. None everywhere means "not measured", never zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Usage:
    """What the device drew over one or several stretches of time.

    Attributes:
        seconds: their length together.
        joules: energy, by integration over the samples; None where power was not measured over (nearly) all of the time.
        temperature_start_c, temperature_end_c: hottest sensor at the first and last sample.
        throttled: whether the device was held back by heat, current or power at any sample; None where it does not tell.
        gpu_mhz, gpu_load: mean clock and mean load, 0 to 1.
    """

    seconds: float
    joules: float | None = None
    temperature_start_c: float | None = None
    temperature_end_c: float | None = None
    throttled: bool | None = None
    gpu_mhz: float | None = None
    gpu_load: float | None = None

    @property
    def watts(self) -> float | None:
        """Mean power."""
        return self.joules / self.seconds if self.joules is not None and self.seconds > 0 else None


class Telemetry(Protocol):
    """Samples in the background."""

    @property
    def source(self) -> str:
        """Where power comes from and what it covers, as in "INA3221 VDD_IN: the module"; "not measured" where it does not."""

    def between(self, start_s: float, end_s: float) -> Usage:
        """What was used between two moments of `time.monotonic()`, the second not in the future."""

    def cost(self) -> float | None:
        """Share of one core that sampling itself takes; None before there is anything to tell."""


def together(parts: Sequence[Usage]) -> Usage:
    """Several stretches as one: energies and times add up; one without energy leaves none, since a part is no whole."""
    seconds = sum(part.seconds for part in parts)
    joules = [part.joules for part in parts if part.joules is not None]
    throttled = [part.throttled for part in parts if part.throttled is not None]
    starts = [part.temperature_start_c for part in parts if part.temperature_start_c is not None]
    ends = [part.temperature_end_c for part in parts if part.temperature_end_c is not None]

    def mean(values: Sequence[tuple[float, float | None]]) -> float | None:
        known = [(weight, value) for weight, value in values if value is not None and weight > 0]
        return sum(weight * value for weight, value in known) / sum(weight for weight, _ in known) if known else None

    return Usage(
        seconds=seconds,
        joules=sum(joules) if parts and len(joules) == len(parts) else None,
        temperature_start_c=starts[0] if starts else None,
        temperature_end_c=ends[-1] if ends else None,
        throttled=any(throttled) if throttled else None,
        gpu_mhz=mean([(part.seconds, part.gpu_mhz) for part in parts]),
        gpu_load=mean([(part.seconds, part.gpu_load) for part in parts]),
    )
