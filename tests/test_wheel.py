"""The wheel and the sdist: what a registry would take, and the first command in an empty environment."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import cv2
import pytest

from posetrt.calib.scenes.scenes import draw_scene

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_two_commands_lead_from_the_wheel_to_a_picture(tmp_path: Path) -> None:
    """`pip install WHEEL[desk]`, then `posetrt run --source photo.png --write-images out/`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "POSETRT", "VIRTUAL_ENV"))}
    clean["POSETRT_CACHE"] = str(tmp_path / "cache")
    # The wheel is made of the sdist, as pip makes it where a registry has no wheel.
    subprocess.run(
        [sys.executable, "-m", "build", "--sdist", "-o", str(tmp_path / "dist"), str(ROOT)], check=True, env=clean, capture_output=True
    )
    sdist = next((tmp_path / "dist").glob("*.tar.gz"))
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path), str(sdist)], check=True, env=clean)
    venv.create(tmp_path / "env", with_pip=True)
    programs = tmp_path / "env" / "bin"
    cv2.imwrite(str(tmp_path / "photo.png"), draw_scene(7001, (456, 256)).image)
    wheel = next(tmp_path.glob("*.whl"))
    said = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(sdist)], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    assert said.stdout.count("PASSED") == 2
    subprocess.run([str(programs / "pip"), "install", "--quiet", f"{wheel}[desk]"], check=True, env=clean)
    command = [str(programs / "posetrt"), "run", "--source", "photo.png", "--write-images", "out/"]
    said = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert cv2.imread(str(tmp_path / "out" / "photo_rendered.jpg")).shape == (256, 456, 3)
