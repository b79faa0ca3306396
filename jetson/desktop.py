"""Power on a computer that is no Jetson: NVML for the GPU's board, RAPL for the CPU's package; what cannot be read is not measured."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from posetrt.jetson.board import number_of, text_of
from posetrt.jetson.sensors import Reading, valid_temperature, valid_watts

# nvml.h: NVML_TEMPERATURE_GPU, NVML_CLOCK_GRAPHICS, and the clock-event reasons that mean "held back" (software power cap, hardware slowdown,
# software and hardware thermal slowdown, hardware power brake). "Idle" and "application clocks" are none of them.
_TEMPERATURE_GPU = 0
_CLOCK_GRAPHICS = 0
_HELD_BACK = 0x4 | 0x8 | 0x20 | 0x40 | 0x80


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class Nvml:
    """One GPU by NVIDIA's management library, which comes with the driver.

    Args:
        library: libnvidia-ml, opened.
        index: of the GPU, in NVML's order.

    Raises:
        OSError: the library does not start, or has no such GPU.
    """

    def __init__(self, library: Any, index: int = 0) -> None:
        self._library = library
        self._device = ctypes.c_void_p()
        for code in (library.nvmlInit_v2(), library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(self._device))):
            if code != 0:
                raise OSError(f"NVML gives error {code}")

    def _value(self, function: str, kind: Any, *before: Any) -> Any:
        """A value by reference; None where this GPU or driver does not give it."""
        value = kind()
        call = getattr(self._library, function, None)
        return value if call is not None and call(self._device, *before, ctypes.byref(value)) == 0 else None

    def read(self) -> Reading:
        """One moment."""
        milliwatts = self._value("nvmlDeviceGetPowerUsage", ctypes.c_uint)
        celsius = self._value("nvmlDeviceGetTemperature", ctypes.c_uint, _TEMPERATURE_GPU)
        clock = self._value("nvmlDeviceGetClockInfo", ctypes.c_uint, _CLOCK_GRAPHICS)
        load = self._value("nvmlDeviceGetUtilizationRates", _Utilization)
        reasons = self._value("nvmlDeviceGetCurrentClocksThrottleReasons", ctypes.c_ulonglong)
        watts = valid_watts(milliwatts.value / 1e3) if milliwatts is not None else None
        temperature = valid_temperature(float(celsius.value)) if celsius is not None else None
        return Reading(
            watts=watts,
            rails={"GPU board": watts} if watts is not None else {},
            temperatures={"GPU": temperature} if temperature is not None else {},
            gpu_load=load.gpu / 100 if load is not None else None,
            gpu_mhz=float(clock.value) if clock is not None else None,
            throttled=bool(reasons.value & _HELD_BACK) if reasons is not None else None,
        )


class Rapl:
    """CPU packages by their energy counters; the kernel lets root alone read them since 2020 (CVE-2020-8694)."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._packages: dict[str, tuple[Path, int]] = {}
        for folder in sorted((root / "sys/class/powercap").glob("intel-rapl:[0-9]*")):
            name, limit = text_of(folder / "name") or "", number_of(folder / "max_energy_range_uj")
            if name.startswith("package") and limit and number_of(folder / "energy_uj") is not None:
                self._packages[name] = (folder / "energy_uj", limit)
        self._before: tuple[float, dict[str, int]] | None = None

    @property
    def found(self) -> bool:
        """Whether any package can be read."""
        return bool(self._packages)

    def read(self, now_s: float | None = None) -> Reading:
        """Mean power since the reading before; none at the first."""
        now_s = time.monotonic() if now_s is None else now_s
        counts = {name: value for name, (path, _) in self._packages.items() if (value := number_of(path)) is not None}
        before, self._before = self._before, (now_s, counts)
        if before is None or len(counts) < len(self._packages) or now_s <= before[0] or set(before[1]) != set(counts):
            return Reading()
        rails = {}
        for name, count in counts.items():
            # The counter starts again from zero when it is full.
            microjoules = (count - before[1][name]) % (self._packages[name][1] + 1)
            rails[name] = microjoules / 1e6 / (now_s - before[0])
        if any(valid_watts(watts) is None for watts in rails.values()):
            return Reading()
        return Reading(watts=sum(rails.values()), rails=rails)


class DesktopSensors:
    """What of NVML and RAPL is here. Powers are summed where both are, and `source` says so."""

    def __init__(self, nvml: Nvml | None, rapl: Rapl | None, zones: Path) -> None:
        self._nvml = nvml
        self._rapl = rapl if rapl is not None and rapl.found else None
        self._zones = {
            text_of(zone / "type") or zone.name: zone / "temp" for zone in sorted(zones.glob("thermal_zone*")) if (zone / "temp").is_file()
        }

    @property
    def source(self) -> str:
        """As in "NVML: the GPU's board + RAPL: the CPU's package"."""
        told = [text for part, text in ((self._nvml, "NVML: the GPU's board"), (self._rapl, "RAPL: the CPU's package")) if part]
        return " + ".join(told) or "not measured"

    def read(self) -> Reading:
        """One moment."""
        gpu = self._nvml.read() if self._nvml else None
        cpu = self._rapl.read() if self._rapl else None
        powers = [part.watts for part in (gpu, cpu) if part is not None]
        temperatures = {name: valid_temperature((number_of(path) or -256_000) / 1e3) for name, path in self._zones.items()}
        return Reading(
            watts=sum(power for power in powers if power is not None) if powers and None not in powers else None,
            rails={**(gpu.rails if gpu else {}), **(cpu.rails if cpu else {})},
            temperatures={**{n: value for n, value in temperatures.items() if value is not None}, **(gpu.temperatures if gpu else {})},
            gpu_load=gpu.gpu_load if gpu else None,
            gpu_mhz=gpu.gpu_mhz if gpu else None,
            throttled=gpu.throttled if gpu else None,
        )

    def close(self) -> None:
        """Nothing is held open."""


def nvml_load(root: Path = Path("/")) -> Callable[[], float | None] | None:
    """Asks NVML for the first GPU's load, 0 to 1; None where there is no NVML, or `root` is another computer's."""
    if root != Path("/"):
        return None
    try:
        nvml = Nvml(ctypes.CDLL("libnvidia-ml.so.1"))
    except (OSError, AttributeError):
        return None
    return lambda: nvml.read().gpu_load


def desktop_sensors(root: Path = Path("/")) -> DesktopSensors | None:
    """The sensors of a computer; None where there is nothing to read, so that nothing is sampled."""
    nvml = None
    if root == Path("/") and os.name == "posix":
        try:
            nvml = Nvml(ctypes.CDLL("libnvidia-ml.so.1"))
        except (OSError, AttributeError):
            nvml = None
    rapl = Rapl(root)
    zones = root / "sys/class/thermal"
    if nvml is None and not rapl.found and not any(zones.glob("thermal_zone*/temp")):
        return None
    return DesktopSensors(nvml, rapl, zones)
