"""A Jetson's sensors by sysfs: INA3221 and INA238 rails, thermal zones, GPU and memory clocks, throttling. No root, no service.

Files of sysfs are opened once and read again from their start: a tenth of the cost of opening them each time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from posetrt.jetson.board import gpu_devfreq, text_of

# The rails that make up the module's power, by the rails that a board has. Orin Nano and NX measure the module's input; AGX Orin and
# Thor sum three (VDDQ_VDD2_1V8AO is taken to be fed from VIN_SYS_5V0: not
# yet checked on a board). NVIDIA's developer guide, "Power consumption".
_TOTALS = (("VDD_IN",), ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"), ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"))


@dataclass(frozen=True)
class Reading:
    """One moment; None for what was not measured.

    Attributes:
        watts: of the rails that make up the total.
        rails: name → watts.
        temperatures: zone → °C.
        gpu_load: 0 to 1.
        gpu_mhz, memory_mhz: clocks.
        throttled: held back by heat, current or power since the reading before.
    """

    watts: float | None = None
    rails: Mapping[str, float] = field(default_factory=dict)
    temperatures: Mapping[str, float] = field(default_factory=dict)
    gpu_load: float | None = None
    gpu_mhz: float | None = None
    memory_mhz: float | None = None
    throttled: bool | None = None

    @property
    def hottest_c(self) -> float | None:
        """The hottest zone."""
        return max(self.temperatures.values(), default=None)


class Sensors(Protocol):
    """Something to read. `source` says where power comes from and what it covers; `read` raises OSError or RuntimeError when it is gone for good."""

    @property
    def source(self) -> str: ...

    def read(self) -> Reading: ...

    def close(self) -> None: ...


def valid_watts(value: float | None) -> float | None:
    """None for what a sensor gives when it has nothing to give: -1, -256, or beyond what a board can draw."""
    return value if value is not None and 0.0 <= value < 1000.0 else None


def valid_temperature(value: float | None) -> float | None:
    """None for -256 (the unit is switched off) and what no running chip can be."""
    return value if value is not None and -50.0 < value < 150.0 else None


def total_rails(names: Mapping[str, object]) -> tuple[str, ...]:
    """The rails of a board that add up to its module's power; () where it is not known which."""
    return next((rails for rails in _TOTALS if all(rail in names for rail in rails)), ())


class _File:
    """A number that is read again and again."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def number(self) -> float | None:
        try:
            return float(os.pread(self._descriptor, 64, 0).split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def close(self) -> None:
        os.close(self._descriptor)


class SysfsSensors:
    """The sensors of a Jetson below `root`; `found` is False where there are none of a Jetson's.

    Raises:
        nothing: a file that cannot be read is a value that is None.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._open: list[_File] = []
        self._rails: dict[str, tuple[_File, _File]] = {}
        self._powers: dict[str, _File] = {}
        self._zones: dict[str, _File] = {}
        self._cooling: list[_File] = []
        self._events: list[_File] = []
        self._events_before: float | None = None
        self._hwmon(root / "sys/class/hwmon")
        self._thermal(root / "sys/class/thermal")
        gpu = gpu_devfreq(root)
        self._gpu_clock = self._file(gpu / "cur_freq") if gpu else None
        self._gpu_load = self._file(gpu / "device/load") if gpu else None
        self._memory_clock = self._file(root / "sys/class/devfreq/bwmgr/cur_freq")
        self.total = total_rails({**self._rails, **self._powers})
        self.found = bool(self._rails) or gpu is not None

    @property
    def tells_gpu_load(self) -> bool:
        """Whether sysfs has the GPU's load; Thor's does not."""
        return self._gpu_load is not None

    @property
    def source(self) -> str:
        """As in "INA3221 VDD_IN: the module"."""
        return f"INA3221 {' + '.join(self.total)}: the module" if self.total else "not measured"

    def _file(self, path: Path) -> _File | None:
        try:
            file = _File(path)
        except OSError:
            return None
        self._open.append(file)
        return file

    def _hwmon(self, folder: Path) -> None:
        for chip in sorted(folder.glob("hwmon*")):
            name = text_of(chip / "name") or ""
            if name.startswith("ina3221"):
                for channel in ("1", "2", "3"):
                    self._rail(chip, channel)
            elif name.startswith("ina2") and (file := self._file(chip / "power1_input")) is not None:
                self._powers[text_of(chip / "power1_label") or f"{name} input"] = file
            elif name == "soctherm_oc":
                events = [self._file(path) for path in sorted(chip.glob("oc*_event_cnt"))]
                self._events = [file for file in events if file is not None]

    def _rail(self, chip: Path, channel: str) -> None:
        label = text_of(chip / f"in{channel}_label")
        if not label or label == "NC" or text_of(chip / f"in{channel}_enable") == "0":
            return
        volts, amperes = self._file(chip / f"in{channel}_input"), self._file(chip / f"curr{channel}_input")
        if volts is not None and amperes is not None:
            self._rails[label] = (volts, amperes)

    def _thermal(self, folder: Path) -> None:
        for zone in sorted(folder.glob("thermal_zone*")):
            if (file := self._file(zone / "temp")) is not None:
                self._zones[text_of(zone / "type") or zone.name] = file
        for device in sorted(folder.glob("cooling_device*")):
            # A fan that turns is no throttling.
            if "fan" not in (text_of(device / "type") or "fan") and (file := self._file(device / "cur_state")) is not None:
                self._cooling.append(file)

    def read(self) -> Reading:
        """One moment."""
        rails: dict[str, float] = {}
        for name, (volts, amperes) in self._rails.items():
            millivolts, milliamperes = volts.number(), amperes.number()
            if millivolts is not None and milliamperes is not None and millivolts >= 0 and milliamperes >= 0:
                rails[name] = millivolts * milliamperes / 1e6
        rails |= {name: value / 1e6 for name, file in self._powers.items() if (value := file.number()) is not None}
        rails = {name: watts for name, watts in rails.items() if valid_watts(watts) is not None}
        zones = {name: valid_temperature(value / 1e3) for name, file in self._zones.items() if (value := file.number()) is not None}
        load, clock, memory = (_number(file) for file in (self._gpu_load, self._gpu_clock, self._memory_clock))
        return Reading(
            watts=sum(rails[name] for name in self.total) if self.total and all(name in rails for name in self.total) else None,
            rails=rails,
            temperatures={name: value for name, value in zones.items() if value is not None},
            gpu_load=load / 1000 if load is not None and 0 <= load <= 1000 else None,
            gpu_mhz=clock / 1e6 if clock is not None and clock > 0 else None,
            memory_mhz=memory / 1e6 if memory is not None and memory > 0 else None,
            throttled=self.throttled(),
        )

    def throttled(self) -> bool | None:
        """By a cooling device in action, or an over-current event since the reading before."""
        if not self._cooling and not self._events:
            return None
        states = [file.number() for file in self._cooling]
        counts = [file.number() for file in self._events]
        events = sum(count for count in counts if count is not None)
        grown = self._events_before is not None and events > self._events_before
        self._events_before = events
        return grown or any(state is not None and state > 0 for state in states)

    def close(self) -> None:
        """Close the files."""
        for file in self._open:
            file.close()
        self._open.clear()


def _number(file: _File | None) -> float | None:
    return file.number() if file is not None else None


class Beside:
    """Sensors whose gaps others fill: jetson-stats does not tell of throttling, and Thor's sysfs not of the GPU's load.

    Args:
        sensors: read, named and closed.
        throttled: whether the board was held back since it was asked before; taken where `sensors` do not tell.
        gpu_load: 0 to 1; taken where `sensors` do not tell.
        cost_note: whose cost `Watch.cost` leaves out; "" for nobody's.
    """

    def __init__(
        self,
        sensors: Sensors,
        *,
        throttled: Callable[[], bool | None] | None = None,
        gpu_load: Callable[[], float | None] | None = None,
        cost_note: str = "",
    ) -> None:
        self._sensors, self._throttled, self._gpu_load, self.cost_note = sensors, throttled, gpu_load, cost_note

    @property
    def source(self) -> str:
        """Of the sensors."""
        return self._sensors.source

    def read(self) -> Reading:
        """One moment."""
        reading = self._sensors.read()
        if reading.throttled is None and self._throttled is not None:
            reading = replace(reading, throttled=self._throttled())
        if reading.gpu_load is None and self._gpu_load is not None:
            reading = replace(reading, gpu_load=self._gpu_load())
        return reading

    def close(self) -> None:
        """Close the sensors."""
        self._sensors.close()
