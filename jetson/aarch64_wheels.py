"""List the aarch64 wheels that pip resolves for every dependency, for the Pythons of JetPack 6 and 7.

  python jetson/aarch64_wheels.py

Nothing is installed. Exit code 1 where a dependency has no wheel and is not one of the named exceptions, which a board gets
otherwise. Run it from a checkout: it reads pyproject.toml.
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# Ubuntu 22.04 (JetPack 6) has glibc 2.35 and Python 3.10; 24.04 (JetPack 7) glibc 2.39 and 3.12.
PYTHONS = {"3.10": 35, "3.12": 39}
EXCEPTIONS = {
    "pycuda": "published as source; jetson/setup.sh builds it against JetPack's CUDA",
    "tensorrt": "JetPack's package python3-libnvinfer",
    "opencv-python": "a wheel exists, but a board takes JetPack's OpenCV: pip's has no GStreamer",
}


def requirements(pyproject: Path, extras: tuple[str, ...], python: str) -> list[str]:
    """Requirements of the package and some of its extras, as far as their `python_version <` markers hold for this Python."""
    # pip carries its own reader for the Pythons before 3.11.
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "pip._vendor.tomli")
    project = toml.loads(pyproject.read_text(encoding="utf-8"))["project"]
    found = []
    for entry in [*project["dependencies"], *(one for extra in extras for one in project["optional-dependencies"][extra])]:
        requirement, _, marker = entry.partition(";")
        bound = re.search(r"python_version < '(\d+)\.(\d+)'", marker)
        if bound is None or tuple(map(int, python.split("."))) < (int(bound[1]), int(bound[2])):
            found.append(requirement.strip())
    return list(dict.fromkeys(found))


def resolve(wanted: list[str], python: str, glibc: int) -> tuple[list[str], str]:
    """File names of the wheels that pip would install, and pip's complaint where it finds none."""
    platforms = [f"manylinux_2_{minor}_aarch64" for minor in range(17, glibc + 1)] + ["manylinux2014_aarch64"]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--dry-run",
            "--ignore-installed",
            "--quiet",
            "--report",
            "-",
            "--target",
            folder,
        ]
        command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", python, "--disable-pip-version-check"]
        command += [word for platform in platforms for word in ("--platform", platform)]
        done = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return [], done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"pip ended with code {done.returncode}"
    wheels = [entry["download_info"]["url"].rsplit("/", 1)[-1] for entry in json.loads(done.stdout)["install"]]
    return sorted(wheels, key=str.casefold), ""


def main() -> int:
    """Resolve and print."""
    pyproject = Path(__file__).resolve().parents[1] / "pyproject.toml"
    failed = False
    for python, glibc in PYTHONS.items():
        wanted = requirements(pyproject, ("desk", "jetson"), python)
        named = {name: reason for name, reason in EXCEPTIONS.items() if any(re.match(rf"{name}\b(?!-)", one) for one in wanted)}
        asked = [one for one in wanted if re.split(r"[<>=!\[; ]", one)[0] not in ("pycuda", "tensorrt")]
        wheels, complaint = resolve(asked, python, glibc)
        failed |= bool(complaint)
        sys.stdout.write(f"Python {python}, aarch64, glibc 2.{glibc}: {len(wheels)} wheels\n")
        sys.stdout.write("".join(f"  {wheel}\n" for wheel in wheels))
        sys.stdout.write("".join(f"  {name}: {reason}\n" for name, reason in named.items()))
        if complaint:
            sys.stdout.write(f"  not resolved: {complaint}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
