"""Power, temperatures and clocks from jetson-stats, where its service runs. Optional: it is AGPL and needs root to install."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from posetrt.jetson.sensors import Reading, total_rails, valid_temperature, valid_watts

# What `read` relies on was read from these majors: gpu[name]["status"]["load"] in %, gpu[name]["freq"]["cur"] in kHz,
# power["tot"]["power"] and power["rail"][name]["power"] in mW, temperature[name]["temp"] in °C.
KNOWN_MAJORS = (4, 7)

# Where the service listens. Looked at first, since a client without a service starts threads that complain on their own.
SOCKET = Path("/run/jtop.sock")


class JtopSensors:
    """A client of jtop's service.

    Args:
        interval_s: how often the service is asked to measure; it serves all its clients at the pace of the first.

    Raises:
        RuntimeError: jetson-stats is not installed, of a major version that is not known, or its service does not answer.
    """

    def __init__(self, interval_s: float = 0.1) -> None:
        try:
            import jtop
        except ImportError as error:
            raise RuntimeError("jetson-stats is not installed") from error
        version = str(getattr(jtop, "__version__", ""))
        major = re.match(r"\d+", version)
        if major is None or int(major[0]) not in KNOWN_MAJORS:
            known = " and ".join(map(str, KNOWN_MAJORS))
            raise RuntimeError(f"jetson-stats {version or 'of unknown version'} is not one of the versions {known} that posetrt knows")
        if not SOCKET.exists():
            raise RuntimeError("its service does not run")
        self._failures = (jtop.JtopException, OSError, EOFError, KeyError, TypeError, ValueError, AttributeError)
        self._client = jtop.jtop(interval=interval_s)
        try:
            self._client.start()
            self._tot = "the module" if self.read().watts is not None else None
        except self._failures as error:
            self.close()
            raise RuntimeError(
                f"its service gives nothing: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
            ) from error
        except RuntimeError:
            self.close()
            raise

    @property
    def source(self) -> str:
        """What power covers."""
        return f"jetson-stats: {self._tot}" if self._tot else "not measured"

    def read(self) -> Reading:
        """The service's newest values.

        Raises:
            RuntimeError: the service was stopped, or gives another structure than the one known.
        """
        try:
            if not self._client.ok(spin=True):
                raise RuntimeError("jtop's service stopped answering")
            return self._reading()
        except self._failures as error:
            raise RuntimeError(f"jtop's service was lost: {str(error) or type(error).__name__}") from error

    def _reading(self) -> Reading:
        power, gpus = self._client.power, self._client.gpu
        rails = {name: _watts(values) for name, values in power["rail"].items()}
        # jtop adds up all rails, one of which AGX Orin counts twice, and takes VDD_IN out of "rail" where there is one.
        total = {**rails, str(power["tot"].get("name", "")): _watts(power["tot"])}
        names = total_rails(total)
        parts = [total[name] for name in names]
        watts = sum(part for part in parts if part is not None) if parts and None not in parts else None
        if not names:
            watts = _watts(power["tot"])
        first: Mapping[str, Any] = next(iter(gpus.values()), {})
        load, clock = first.get("status", {}).get("load"), first.get("freq", {}).get("cur")
        temperatures = {name: valid_temperature(float(zone["temp"])) for name, zone in self._client.temperature.items()}
        return Reading(
            watts=watts,
            rails={name: value for name, value in total.items() if name and value is not None},
            temperatures={name: value for name, value in temperatures.items() if value is not None},
            gpu_load=load / 100 if load is not None and 0 <= load <= 100 else None,
            gpu_mhz=clock / 1e3 if clock else None,
        )

    def close(self) -> None:
        """Leave the service."""
        try:
            self._client.close()
        except self._failures:
            # It may be gone already, which is what closing is for.
            return


def _watts(values: Mapping[str, Any]) -> float | None:
    return valid_watts(float(values["power"]) / 1e3) if values.get("online", True) else None
