"""What Windows and macOS lack, taken away here: the first command still works, and a checkout without links says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from posetrt.arguments import network_path
from posetrt.calib.scenes.scenes import draw_scene
from posetrt.runtime.sources.address import parse_address

ROOT = Path(__file__).parents[1]

LACKING = """
import os, signal, socket, sys
import asyncio, cv2, multiprocessing, onnxruntime, platform, subprocess, tempfile, uuid  # libraries bring what they need there
for name in ("fcntl", "termios", "resource", "pwd", "grp"):
    sys.modules[name] = None
for name in ("fork", "geteuid", "getuid", "mkfifo", "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "sched_getaffinity", "sysconf", "major"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGPIPE", "SIGKILL", "SIGHUP", "SIGUSR1", "pthread_sigmask"):
    if hasattr(signal, name):
        delattr(signal, name)
del socket.AF_UNIX
sys.platform = "win32"
from posetrt.cli import main
sys.exit(main(sys.argv[1:]))
"""


def _without(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "POSETRT_CACHE": str(tmp_path / "cache")}
    return subprocess.run([sys.executable, "-c", LACKING, *words], cwd=tmp_path, env=environment, capture_output=True, text=True)


def test_the_first_command_works_without_what_linux_alone_has(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), draw_scene(7001, (456, 256)).image)
    written = (
        "--write-images",
        "out",
        "--write-json",
        "json",
        "--write-csv",
        "people.csv",
        "--jsonl",
        "people.jsonl",
        "--write-coco",
        "people.json",
    )
    said = _without(tmp_path, "run", "--source", "photo.png", *written)
    assert said.returncode == 0, said.stderr
    assert cv2.imread(str(tmp_path / "out" / "photo_rendered.jpg")) is not None
    assert all((tmp_path / name).stat().st_size for name in ("json/photo_keypoints.json", "people.csv", "people.jsonl", "people.json"))
    camera = _without(tmp_path, "run", "--source", "0", "--jsonl", "-")
    assert camera.returncode == 1
    assert "cameras are read by their device on Linux alone" in camera.stderr


@pytest.mark.parametrize("text", [r"C:\clips\a.mp4", "C:/clips/a.mp4", r"..\clips\a.mp4", r"\\server\clips\a.mp4"])
def test_paths_with_drives_and_backslashes_are_files(text: str) -> None:
    assert parse_address(text).kind == "file"


def test_a_path_with_backslashes_is_no_name_of_a_network() -> None:
    assert network_path(r"models\person") == Path(r"models\person")


def test_a_checkout_whose_links_became_text_says_what_to_do(tmp_path: Path) -> None:
    """As git writes them where links are not allowed."""
    package = tmp_path / "src" / "posetrt"
    shutil.copytree(ROOT / "src" / "posetrt", package, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for link in (path for path in package.iterdir() if path.is_symlink()):
        target = str(link.readlink())
        link.unlink()
        link.write_text(target)
    said = subprocess.run(
        [sys.executable, "-c", "import posetrt"], env={**os.environ, "PYTHONPATH": str(package.parent)}, capture_output=True, text=True
    )
    assert said.returncode == 1
    assert "git config core.symlinks true" in said.stderr.splitlines()[-1]
