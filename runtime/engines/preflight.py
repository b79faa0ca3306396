"""Whether a TensorRT engine fits this machine, decided from its sidecar before TensorRT is handed a byte of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from posetrt.runtime.engines.driver import Gpu, board_name
from posetrt.runtime.engines.library import version_numbers
from posetrt.runtime.model.sidecar import Sidecar

_TITLES = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT for RTX"}
_SHORT = {"tensorrt": "trt", "tensorrt-rtx": "rtx"}


@dataclass(frozen=True)
class Here:
    """What this machine would run an engine on.

    Attributes:
        library: "tensorrt" or "tensorrt-rtx".
        version: of that library, as it prints it.
        sm: of the GPU, times ten.
        gpu: its name.
        dla_cores: how many there are; None where nobody asked, since asking starts TensorRT.
    """

    library: str
    version: str
    sm: int
    gpu: str
    dla_cores: int | None = None


def runs_on(library: str, version: tuple[int, ...], version_compatible: bool) -> dict[str, str] | None:
    """The range of TensorRT versions that load an engine, for its sidecar; None where only the same one does.

    A version-compatible engine runs on its own version and newer ones of its own and the next major: 8 → 10 and
    10 → 11, never 8 → 11 (TensorRT's developer guide, "Version Compatibility"); there is no TensorRT 9 on a Jetson.
    """
    if library != "tensorrt" or not version_compatible:
        return None
    below = {8: 11, 9: 11, 10: 12}.get(version[0], version[0] + 1)
    return {"from": ".".join(map(str, version[:3])), "below": str(below)}


def reason(sidecar: Sidecar, here: Here) -> str | None:
    """Why an engine does not fit, as the rest of a sentence that begins with its name; None where it fits."""
    title = _TITLES.get(sidecar.backend, sidecar.backend)
    this = f"{_TITLES.get(here.library, here.library)} {here.version}"
    if sidecar.backend != here.library:
        return f"was built by {title} {sidecar.library_version}; this device has {this}"
    allowed = sidecar.options.get("runs_on")
    if isinstance(allowed, Mapping):
        if not version_numbers(str(allowed["from"])) <= version_numbers(here.version)[:3] < version_numbers(str(allowed["below"])):
            return f"runs on {title} {allowed['from']} up to, not including, {allowed['below']}; this device has {this}"
    elif version_numbers(sidecar.library_version) != version_numbers(here.version):
        return f"was built by {title} {sidecar.library_version}; this device has {here.version}"
    sm = sidecar.device.get("sm")
    if sm != here.sm and not (sidecar.options.get("hardware_compatible") and isinstance(sm, int) and here.sm >= sm):
        return f"was built for sm_{sm} ({sidecar.device.get('name', '?')}); this device is sm_{here.sm} ({here.gpu})"
    dla = sidecar.device.get("dla")
    if dla is not None and here.dla_cores is not None and here.dla_cores <= int(dla):
        has = f"has {here.dla_cores} DLA core{'s' if here.dla_cores != 1 else ''}" if here.dla_cores else "has no DLA that TensorRT can use"
        return f"was built for DLA core {dla}; this device {has}"
    return None


def device_entry(gpu: Gpu, dla: int | None) -> dict[str, Any]:
    """The sidecar's `device` for an engine that is built for a GPU."""
    return {"sm": gpu.sm, "name": short_name(gpu), "dla": dla}


def short_name(gpu: Gpu) -> str:
    """A device's name for people: "Orin NX", "GeForce RTX 3060"."""
    name = board_name() if gpu.integrated else None
    name = re.sub(r"Engineering Reference|Developer Kit|Super|Module|with .*$|\(.*?\)|NVIDIA|Jetson", "", name or gpu.name)
    return " ".join(name.split()) or gpu.name


def slug_of(device: Mapping[str, Any]) -> str:
    """The device's part of an engine's file name: `orin-nx-sm87`, with `-dla0` where it is for a DLA core."""
    name = re.sub(r"[^a-z0-9]+", "-", str(device["name"]).lower()).strip("-")
    dla = "" if device.get("dla") is None else f"-dla{device['dla']}"
    return f"{name}-sm{device['sm']}{dla}"


def engine_name(device: Mapping[str, Any], library: str, version: str, precision: str) -> str:
    """As in `orin-nx-sm87_trt10.3.0_int8.engine`; the precision stands last, so that a folder sorts by device."""
    return f"{slug_of(device)}_{_SHORT[library]}{version}_{precision}.engine"


def timing_cache_name(library: str, version: str, sm: int) -> str:
    """As in `timing_trt10.3.0_sm87.cache`: layer times hold for one TensorRT on one kind of GPU."""
    return f"timing_{_SHORT[library]}{version}_sm{sm}.cache"
