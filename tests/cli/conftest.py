"""The command line as a user calls it, and a real model folder made by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from posetrt.cli import main


@dataclass(frozen=True)
class Said:
    """What a command gave: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


Posetrt = Callable[..., Said]


@pytest.fixture
def posetrt(capfd: pytest.CaptureFixture[str]) -> Posetrt:
    """Call a command in this process: `posetrt("run", folder, "--source", photo)`."""

    def call(*arguments: object) -> Said:
        capfd.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        said = capfd.readouterr()
        return Said(code, said.out, said.err)

    return call


@pytest.fixture(scope="session")
def person(hpe0001: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """hpe0001 at 456x256, exported, calibrated on a few photographs and built in fp32 and int8, by the commands themselves."""
    folder = tmp_path_factory.mktemp("models") / "person"
    commands = [
        ["export", "onnx", "--weights", hpe0001, "--input-size", "456x256", "--normalise", "in-graph", "-o", folder],
        ["calibrate", folder, "--images", shared_data / "lspet", "--limit", "12"],
        ["build", folder, "--precision", "fp32"],
        ["build", folder, "--precision", "int8"],
    ]
    for command in commands:
        assert main([str(argument) for argument in command]) == 0
    return folder
