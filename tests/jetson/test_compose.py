"""compose.yaml against what goes wrong on a board: missing files, a restarted camera daemon, groups, ports, who owns the models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from posetrt.jetson.board import read_board
from tests.jetson.conftest import Tree

yaml = pytest.importorskip("yaml", reason="pip install pyyaml")
COMPOSE = Path(__file__).resolve().parents[2] / "jetson" / "compose.yaml"


@pytest.fixture
def service() -> dict[str, Any]:
    given: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]["posetrt"]
    return given


def test_a_file_that_the_host_lacks_is_an_error_and_no_new_folder(service: dict[str, Any]) -> None:
    for volume in service["volumes"]:
        assert volume["bind"]["create_host_path"] is False, volume


def test_a_camera_daemon_that_was_restarted_is_reached_again(service: dict[str, Any]) -> None:
    targets = [volume["target"] for volume in service["volumes"]]
    assert "/tmp" in targets
    assert "/tmp/argus_socket" not in targets


def test_no_port_is_published_since_jetsons_kernels_lack_iptable_raw(service: dict[str, Any]) -> None:
    assert service["network_mode"] == "host"
    assert "ports" not in service


def test_the_hosts_groups_and_the_models_owner_are_given_by_number(service: dict[str, Any]) -> None:
    numbers = [re.fullmatch(r"\$\{\w+:-(\d+)\}", str(group)) for group in service["group_add"]]
    assert len(numbers) == 2
    assert all(numbers)
    assert re.fullmatch(r"\$\{\w+:-\d+:\d+\}", service["user"])


def test_it_comes_back_after_a_reboot(service: dict[str, Any]) -> None:
    assert service["restart"] == "unless-stopped"


def test_a_container_knows_its_board_by_the_mounted_files(service: dict[str, Any], board_root: Tree) -> None:
    root = board_root("orin-nx_jetpack-6.2")
    before = read_board(root)
    for volume in service["volumes"]:
        name = Path(volume["source"])
        if name.parent == Path("/sys/firmware/devicetree/base"):
            target = root / volume["target"].lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            (root / "proc/device-tree" / name.name).rename(target)
    assert not (root / "proc/device-tree/compatible").exists()
    after = read_board(root)
    assert before is not None
    assert after is not None
    assert (after.module, after.model, after.part) == (before.module, before.model, before.part)
