"""The right board, mode and versions from each recorded tree, and no failure on a board that nobody has seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from posetrt.jetson.board import read_board
from posetrt.jetson.nvpmodel import read_power_modes
from posetrt.runtime.errors import UsageError
from tests.jetson.conftest import BOARDS, Tree, write_tree

NANO, NX, AGX, THOR = "Jetson Orin Nano 8GB (developer kit)", "Jetson Orin NX 16GB", "Jetson AGX Orin 64GB", "Jetson T5000"
EXPECTED = {
    # tree: module, sm, DLA cores, GiB, L4T, JetPack, CUDA, TensorRT, mode, GPU MHz
    "orin-nano_jetpack-6.0": (NANO, 87, 0, 7.4, "36.3.0", "6.0", "12.2", "8.6.2.3", "15W", 1020),
    "orin-nano_jetpack-6.2": (NANO, 87, 0, 7.4, "36.4.3", "6.2", "12.6", "10.3.0.30", "MAXN_SUPER", 1020),
    "orin-nano_jetpack-7.2": (NANO, 87, 0, 7.4, "39.2.0", "7.2", "13.2", "10.16.2.10", "25W", 1020),
    "orin-nx_jetpack-6.0": (NX, 87, 2, 15.3, "36.3.0", "6.0", "12.2", "8.6.2.3", "25W", 1173),
    "orin-nx_jetpack-6.2": (NX, 87, 2, 15.3, "36.4.3", "6.2", "12.6", "10.3.0.30", "MAXN_SUPER", 1173),
    "orin-nx_jetpack-7.2": (NX, 87, 2, 15.3, "39.2.0", "7.2", "13.2", "10.16.2.10", "40W", 1173),
    "agx-orin_jetpack-6.0": (AGX, 87, 2, 61.4, "36.3.0", "6.0", "12.2", "8.6.2.3", "MODE_30W", 1300.5),
    "agx-orin_jetpack-6.2": (AGX, 87, 2, 61.4, "36.4.3", "6.2", "12.6", "10.3.0.30", "MODE_50W", 1300.5),
    "agx-orin_jetpack-7.2": (AGX, 87, 2, 61.4, "39.2.0", "7.2", "13.2", "10.16.2.10", "MAXN", 1300.5),
    "thor_jetpack-7.0": (THOR, 110, 0, 122.9, "38.2.0", "7.0", "13.0", "10.13.3.9", "MAXN", 1575),
    "thor_jetpack-7.2": (THOR, 110, 0, 122.9, "39.2.0", "7.2", "13.2", "10.16.2.10", "120W", 1575),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_board_is_told_from_its_own_files(board_root: Tree, name: str) -> None:
    board = read_board(board_root(name))
    assert board is not None
    found = (board.module, board.sm, board.dla_cores, board.memory_gb, board.l4t, board.jetpack, board.cuda, board.tensorrt)
    assert (*found, board.power_mode, board.clocks.gpu_max_mhz) == EXPECTED[name]


def test_every_recorded_tree_is_tested() -> None:
    assert {path.stem for path in BOARDS.glob("*.json")} == set(EXPECTED)


def test_jetpack_without_its_package_is_told_by_the_l4t_release_and_says_so(board_root: Tree) -> None:
    thor = read_board(board_root("thor_jetpack-7.0"))
    orin = read_board(board_root("agx-orin_jetpack-6.2"))
    assert thor is not None
    assert orin is not None
    assert (thor.jetpack_from, orin.jetpack_from) == ("L4T release", "package nvidia-jetpack")


def test_an_unlisted_l4t_release_is_no_guess(board_root: Tree) -> None:
    root = board_root("thor_jetpack-7.0")
    (root / "etc/nv_tegra_release").write_text("# R41 (release), REVISION: 1.0, GCID: 1, BOARD: generic\n")
    board = read_board(root)
    assert board is not None
    assert (board.l4t, board.jetpack) == ("41.1.0", None)
    assert "JetPack unknown" in board.summary()


def test_a_computer_is_no_jetson(tmp_path: Path) -> None:
    assert read_board(tmp_path) is None
    raspberry = {"proc/device-tree/compatible": "raspberrypi,5-model-b\0brcm,bcm2712\0", "proc/device-tree/model": "Raspberry Pi 5\0"}
    assert read_board(write_tree(tmp_path, raspberry)) is None


def test_an_unknown_module_keeps_what_its_soc_tells(tmp_path: Path) -> None:
    tree = {"proc/device-tree/compatible": "acme,robot-9\0nvidia,tegra234\0", "proc/device-tree/model": "ACME Robot 9\0"}
    board = read_board(write_tree(tmp_path, tree))
    assert board is not None
    assert (board.model, board.module, board.sm, board.dla_cores) == ("ACME Robot 9", "unknown module", 87, None)
    assert (board.l4t, board.power_mode, board.cuda, board.memory_gb) == (None, None, None, None)


def test_a_mode_is_looked_up_by_name_since_ids_differ_by_board(board_root: Tree) -> None:
    nano, agx = (read_power_modes(board_root(name)) for name in ("orin-nano_jetpack-6.2", "agx-orin_jetpack-6.2"))
    assert nano is not None
    assert agx is not None
    assert (nano.id_of("15w"), agx.id_of("MODE_15W")) == (0, 1)
    with pytest.raises(UsageError, match="no power mode 'TURBO'; its modes are 15W, 25W, MAXN_SUPER, 7W"):
        nano.id_of("TURBO")


def test_without_a_status_the_default_mode_is_in_force(board_root: Tree) -> None:
    root = board_root("orin-nano_jetpack-6.2")
    (root / "var/lib/nvpmodel/status").unlink()
    modes = read_power_modes(root)
    assert modes is not None
    assert modes.current == "25W"


def test_a_commented_mode_is_none(tmp_path: Path) -> None:
    text = "# < POWER_MODEL ID=7 NAME=GHOST >\n< POWER_MODEL NAME=MAXN ID=0 >\n< PM_CONFIG DEFAULT=0 >\n"
    modes = read_power_modes(write_tree(tmp_path, {"etc/nvpmodel.conf": text, "var/lib/nvpmodel/status": "pmode:0009\n"}))
    assert modes is not None
    assert dict(modes.names) == {0: "MAXN"}
    assert modes.current == "mode 9"
