"""Which Jetson this is: module, SoC, memory, releases, power mode and clocks, from the board's own files and without jtop.

Where each fact stands on the board: docs/reference/jetson.md. Every path is read below a root folder, so that a test or a mounted
root file system can take the place of `/`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from posetrt.jetson.nvpmodel import read_power_modes


@dataclass(frozen=True)
class Module:
    """A Jetson module, by NVIDIA's part number.

    Attributes:
        name: as NVIDIA sells it.
        soc: "T234" (Orin) or "T264" (Thor).
        sm: compute capability times ten.
        dla_cores: deep-learning accelerators that TensorRT can be given; NVIDIA's data sheets.
    """

    name: str
    soc: str
    sm: int
    dla_cores: int


# Part numbers: NVIDIA's Jetson Linux Quick Start, table "Jetson modules and configurations".
MODULES: Mapping[str, Module] = {
    "p3767-0000": Module("Jetson Orin NX 16GB", "T234", 87, 2),
    "p3767-0001": Module("Jetson Orin NX 8GB", "T234", 87, 1),
    "p3767-0003": Module("Jetson Orin Nano 8GB", "T234", 87, 0),
    "p3767-0004": Module("Jetson Orin Nano 4GB", "T234", 87, 0),
    "p3767-0005": Module("Jetson Orin Nano 8GB (developer kit)", "T234", 87, 0),
    "p3701-0000": Module("Jetson AGX Orin (developer kit)", "T234", 87, 2),
    "p3701-0004": Module("Jetson AGX Orin 32GB", "T234", 87, 2),
    "p3701-0005": Module("Jetson AGX Orin 64GB", "T234", 87, 2),
    "p3701-0008": Module("Jetson AGX Orin Industrial", "T234", 87, 2),
    "p3834-0000": Module("Jetson T4000", "T264", 110, 0),
    "p3834-0008": Module("Jetson T5000", "T264", 110, 0),
}

# What a SoC alone tells, for modules and carriers that the table does not know: None where modules of one SoC differ.
_SOCS: Mapping[str, tuple[str, int, int | None]] = {"tegra234": ("T234", 87, None), "tegra264": ("T264", 110, 0)}

# L4T release → JetPack, for boards without the nvidia-jetpack package; NVIDIA's JetPack archive. An unlisted one is not guessed.
_JETPACK_OF_L4T: Mapping[str, str] = {
    "36.3.0": "6.0",
    "36.4.0": "6.1",
    "36.4.3": "6.2",
    "36.4.4": "6.2.1",
    "36.4.7": "6.2.1",
    "36.5.0": "6.2.2",
    "38.2.0": "7.0",
    "38.2.1": "7.0",
    "38.2.2": "7.0",
    "38.4.0": "7.1",
    "39.2.0": "7.2",
    "39.2.1": "7.2.1",
}


@dataclass(frozen=True)
class Clocks:
    """Limits in MHz; None where the file is absent or unreadable. `locked`: GPU held at one clock, as jetson_clocks does."""

    cpu_max_mhz: float | None = None
    gpu_min_mhz: float | None = None
    gpu_max_mhz: float | None = None
    locked: bool | None = None


@dataclass(frozen=True)
class Board:
    """A Jetson as its own files describe it; None for what they do not tell.

    Attributes:
        model: of the device tree, as the carrier's maker wrote it.
        module: NVIDIA's module; "unknown module" where the part number is not known.
        part: part number, as in "p3767-0003".
        soc, sm, dla_cores: as `Module`.
        memory_gb: what Linux has of it, in GiB.
        l4t: release, as in "36.4.3".
        jetpack: version; `jetpack_from` says whether the package or the L4T release told it.
        cuda, tensorrt, opencv: versions of JetPack's own packages.
        power_mode: by name; None where unknown.
        power_modes: names of all modes, in the order of their ids.
        clocks: limits at this moment.
    """

    model: str
    module: str
    part: str | None
    soc: str | None
    sm: int | None
    dla_cores: int | None
    memory_gb: float | None
    l4t: str | None
    jetpack: str | None
    jetpack_from: str | None
    cuda: str | None
    tensorrt: str | None
    opencv: str | None
    power_mode: str | None
    power_modes: tuple[str, ...]
    clocks: Clocks

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, for reports."""
        return asdict(self)

    def summary(self) -> str:
        """One line for people."""
        told = [self.module, f"JetPack {self.jetpack or 'unknown'}", f"L4T {self.l4t or 'unknown'}"]
        told.append(f"power mode {self.power_mode or 'unknown'}")
        return ", ".join(told)


def read_board(root: Path = Path("/")) -> Board | None:
    """Describe the Jetson whose root file system this is; None where it is no Jetson.

    A board is a Jetson when it has NVIDIA's release file or a device tree of a Tegra SoC. Files that are missing or
    unreadable leave their fields None: a report must not fail because a board is new.
    """
    release = text_of(root / "etc/nv_tegra_release")
    compatible = _device_tree(root, "compatible")
    tegra = next((entry.partition(",")[2] for entry in compatible if entry.startswith("nvidia,tegra")), None)
    if release is None and tegra is None:
        return None
    part = _part_number(compatible)
    known = MODULES.get(part or "")
    soc, sm, dla_cores = (known.soc, known.sm, known.dla_cores) if known else _SOCS.get(tegra or "", (None, None, None))
    model = "".join(_device_tree(root, "model")).strip() or "unknown board"
    packages = installed_packages(root)
    l4t = _l4t(release, packages)
    jetpack, jetpack_from = _jetpack(l4t, packages)
    modes = read_power_modes(root)
    return Board(
        model=model,
        module=known.name if known else "unknown module",
        part=part,
        soc=soc,
        sm=sm,
        dla_cores=dla_cores,
        memory_gb=_memory_gb(root),
        l4t=l4t,
        jetpack=jetpack,
        jetpack_from=jetpack_from,
        cuda=_cuda(root, packages),
        tensorrt=_upstream(next((packages[name] for name in sorted(packages) if re.fullmatch(r"libnvinfer\d+", name)), None)),
        opencv=_upstream(packages.get("libopencv")),
        power_mode=modes.current if modes else None,
        power_modes=tuple(modes.names.values()) if modes else (),
        clocks=_clocks(root),
    )


def text_of(path: Path) -> str | None:
    """A small file's text without NULs and white space at its ends; None where it cannot be read, as many files of sysfs."""
    try:
        return path.read_bytes().decode("utf-8", errors="replace").strip("\0 \t\r\n")
    except OSError:
        return None


def installed_packages(root: Path) -> dict[str, str]:
    """Name → version of the packages that dpkg has fully installed, from /var/lib/dpkg/status."""
    packages: dict[str, str] = {}
    for stanza in (text_of(root / "var/lib/dpkg/status") or "").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if not line.startswith(" ") and ": " in line)
        if fields.get("Status", "").split()[-1:] == ["installed"] and {"Package", "Version"} <= fields.keys():
            packages[fields["Package"]] = fields["Version"]
    return packages


def _strings(path: Path) -> list[str]:
    """A device-tree property: strings that end in NUL."""
    return [entry for entry in (text_of(path) or "").split("\0") if entry]


def _device_tree(root: Path, name: str) -> list[str]:
    """A property of the device tree; in a container, which hides the host's, the file that compose.yaml mounts in its place."""
    return _strings(root / "proc/device-tree" / name) or _strings(root / "run/posetrt/device-tree" / name)


def _part_number(compatible: list[str]) -> str | None:
    """Module of the device tree's compatible list, as in "nvidia,p3768-0000+p3767-0003-super" or "nvidia,p3767-0003"."""
    for entry in compatible:
        for part in re.findall(r"p\d{4}-\d{4}", entry):
            if part in MODULES:
                return str(part)
    return None


def _l4t(release: str | None, packages: Mapping[str, str]) -> str | None:
    """As in "36.4.3", from "# R36 (release), REVISION: 4.3, …", else from the package nvidia-l4t-core."""
    found = re.search(r"R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)", release or "")
    if found:
        return f"{found[1]}.{found[2]}"
    return _upstream(packages.get("nvidia-l4t-core"))


def _jetpack(l4t: str | None, packages: Mapping[str, str]) -> tuple[str | None, str | None]:
    if "nvidia-jetpack" in packages:
        return re.split(r"[+-]", packages["nvidia-jetpack"])[0], "package nvidia-jetpack"
    found = _JETPACK_OF_L4T.get(l4t or "")
    return (found, "L4T release") if found else (None, None)


def _cuda(root: Path, packages: Mapping[str, str]) -> str | None:
    """Major and minor, as in "12.6": of /usr/local/cuda/version.json, else of the newest cuda-cudart package."""
    told = re.search(r'"cuda"\s*:\s*\{[^}]*"version"\s*:\s*"(\d+\.\d+)', text_of(root / "usr/local/cuda/version.json") or "")
    if told:
        return told[1]
    found = [tuple(map(int, match.groups())) for match in (re.fullmatch(r"cuda-cudart-(\d+)-(\d+)", name) for name in packages) if match]
    return ".".join(map(str, max(found))) if found else None


def _upstream(version: str | None) -> str | None:
    """Version without Debian's revision and build: "10.3.0.30-1+cuda12.5" → "10.3.0.30"."""
    return re.split(r"[-+]", version.split(":")[-1])[0] if version else None


def _memory_gb(root: Path) -> float | None:
    found = re.search(r"^MemTotal:\s+(\d+) kB", text_of(root / "proc/meminfo") or "", re.MULTILINE)
    return round(int(found[1]) / 2**20, 1) if found else None


def gpu_devfreq(root: Path) -> Path | None:
    """The GPU's folder of /sys/class/devfreq: "17000000.gpu" or "17000000.ga10b" on Orin, "gpu-gpc-0" on Thor."""
    folder = root / "sys/class/devfreq"
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    for pattern in (r"gpu-gpc-\d+", r".*\.(gpu|ga10b|gv11b)"):
        for name in names:
            if re.fullmatch(pattern, name):
                return folder / name
    return None


def number_of(path: Path) -> int | None:
    """A file's whole number; None where it cannot be read or holds none."""
    try:
        return int(text_of(path) or "")
    except ValueError:
        return None


def _clocks(root: Path) -> Clocks:
    policies = root / "sys/devices/system/cpu/cpufreq"
    cpu = [number_of(policy / "scaling_max_freq") for policy in sorted(policies.glob("policy*"))]
    gpu = gpu_devfreq(root)
    low, high = (number_of(gpu / name) if gpu else None for name in ("min_freq", "max_freq"))
    return Clocks(
        cpu_max_mhz=max((value / 1e3 for value in cpu if value is not None), default=None),
        gpu_min_mhz=low / 1e6 if low is not None else None,
        gpu_max_mhz=high / 1e6 if high is not None else None,
        locked=low == high if low is not None and high is not None else None,
    )
