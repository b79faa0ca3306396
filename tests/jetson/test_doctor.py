"""The doctor says what stops the user on this board, and the command that mends it."""

from __future__ import annotations

import sys
import types

import pytest

from posetrt import doctor
from posetrt.doctor import Finding, can_run, examine
from posetrt.jetson.power import note_path
from tests.jetson.conftest import Tree, write_tree


def _found(findings: list[Finding], what: str) -> Finding:
    return next(finding for finding in findings if finding.what == what)


def _opencv(monkeypatch: pytest.MonkeyPatch, gstreamer: str) -> None:
    fake = types.ModuleType("cv2")
    fake.__dict__.update(__version__="4.8.0", getBuildInformation=lambda: f"  Video I/O:\n    GStreamer:                   {gstreamer}\n")
    monkeypatch.setitem(sys.modules, "cv2", fake)


def test_the_board_its_releases_and_its_mode(board_root: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    _opencv(monkeypatch, "YES (1.20.3)")
    findings = examine(board_root("orin-nx_jetpack-6.2"))
    assert "Jetson Orin NX 16GB" in (_found(findings, "Jetson").found or "")
    assert _found(findings, "JetPack").found == "6.2, told by the package nvidia-jetpack; CUDA 12.6, TensorRT 10.3.0.30"
    assert _found(findings, "power mode").found == "MAXN_SUPER of MAXN_SUPER, 10W, 15W, 25W, 40W"
    assert not any(finding.fatal for finding in findings)


def test_pips_opencv_on_a_board_fails_and_says_how_to_get_jetpacks_back(board_root: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    _opencv(monkeypatch, "NO")
    findings = examine(board_root("orin-nx_jetpack-6.2"))
    assert _found(findings, "OpenCV").fatal
    assert "pip uninstall opencv-python" in _found(findings, "OpenCV").remedy
    assert "nvidia-opencv" in _found(findings, "OpenCV").remedy
    assert not can_run(findings)


def test_what_pips_opencv_stops_is_what_it_stops(board_root: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    _opencv(monkeypatch, "NO")
    stops = _found(examine(board_root("orin-nx_jetpack-6.2")), "OpenCV").stops
    assert "cv2.VideoCapture pipelines of your own" in stops
    assert "csi:// and rtsp:// do not use it" in stops


def test_no_remedy_on_a_board_installs_the_desk_extra(board_root: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("cv2", "onnx", "onnxruntime", "onnxsim", "pycocotools", "matplotlib"):
        monkeypatch.setitem(sys.modules, module, None)
    findings = examine(board_root("orin-nx_jetpack-6.2"))
    assert _found(findings, "matplotlib").remedy == "pip install matplotlib"
    assert "nvidia-opencv" in _found(findings, "OpenCV").remedy
    assert not [finding for finding in findings if "posetrt[desk]" in finding.remedy]


@pytest.mark.parametrize(
    ("programs", "elements", "found", "remedy"),
    [
        (set(), set(), None, "gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good"),
        ({"gst-launch-1.0"}, set(), None, "gstreamer1.0-tools"),
        ({"gst-launch-1.0", "gst-inspect-1.0"}, {"videoconvert"}, "/usr/bin/gst-launch-1.0 without y4menc", "gstreamer1.0-plugins-good"),
        (
            {"gst-launch-1.0", "gst-inspect-1.0"},
            {"videoconvert", "y4menc", "nvvidconv", "nvv4l2decoder"},
            "/usr/bin/gst-launch-1.0 without nvarguscamerasrc",
            "nvidia-l4t-gstreamer",
        ),
    ],
)
def test_a_board_that_cannot_open_its_csi_camera_is_told(
    board_root: Tree, monkeypatch: pytest.MonkeyPatch, programs: set[str], elements: set[str], found: str | None, remedy: str
) -> None:
    _opencv(monkeypatch, "YES (1.20.3)")
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}" if name in programs else None)
    monkeypatch.setattr(doctor, "has_element", lambda name: name in elements)
    finding = _found(examine(board_root("orin-nx_jetpack-6.2")), "GStreamer")
    assert finding.found == found
    assert "csi://" in finding.stops
    assert remedy in finding.remedy


def test_the_same_opencv_is_fine_on_a_computer(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    _opencv(monkeypatch, "NO")
    findings = examine(tmp_path_factory.mktemp("computer"))
    assert not _found(findings, "OpenCV").fatal
    assert can_run(findings)


def test_a_board_without_swap_that_is_too_small_to_build_is_told(board_root: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    _opencv(monkeypatch, "YES (1.20.3)")
    root = board_root("orin-nano_jetpack-6.2")
    assert "swapon" in _found(examine(root), "swap").remedy
    (root / "proc/swaps").write_text("Filename Type Size Used Priority\n/swapfile file 8388604 0 -2\n")
    assert not [finding for finding in examine(root) if finding.what == "swap"]


def test_a_mode_that_a_dead_benchmark_left_is_told(board_root: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    _opencv(monkeypatch, "YES (1.20.3)")
    root = board_root("orin-nano_jetpack-6.2")
    note_path(root).parent.mkdir(parents=True)
    note_path(root).write_text('{"mode_id": 1, "mode": "25W", "clocks": null}')
    note = _found(examine(root), "power note")
    assert note.stops == "the mode 25W that was set before"
    assert note.remedy.endswith("-m posetrt doctor --restore-power")
    note_path(root).write_text("{}")
    assert _found(examine(root), "power note").found == "unreadable"


def test_an_unknown_board_and_release_do_not_stop_the_doctor(board_root: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    _opencv(monkeypatch, "YES (1.20.3)")
    root = board_root("thor_jetpack-7.0")
    (root / "etc/nv_tegra_release").write_text("# R55 (release), REVISION: 0.1\n")
    (root / "etc/nvpmodel.conf").unlink()
    findings = examine(root)
    assert _found(findings, "JetPack").found == "unknown (L4T 55.0.1)"
    assert _found(findings, "power mode").found is None
    assert doctor.can_run(findings)


def test_the_doctor_looks_at_every_package_of_the_extras_and_ends_with_a_verdict(
    board_root: Tree, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from posetrt.cli import main

    _opencv(monkeypatch, "YES (1.20.3)")
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    findings = examine(board_root("orin-nx_jetpack-6.2"))
    assert {"aiohttp", "SciPy", "tqdm", "PyAV"} <= {finding.what for finding in findings}
    assert "--status-port" in _found(findings, "aiohttp").stops
    assert "people can be found on this machine" in doctor.verdict(findings)
    assert "without aiohttp" in doctor.verdict(findings) or "aiohttp" in doctor.verdict(findings)
    _opencv(monkeypatch, "NO")
    assert "cannot be found on this machine as it is: first OpenCV" in doctor.verdict(examine(board_root("orin-nx_jetpack-6.2")))
    main(["doctor"])
    assert "people can" in capsys.readouterr().out.strip().splitlines()[-1]


def test_zram_is_no_swap_to_build_in(board_root: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    _opencv(monkeypatch, "YES (1.20.3)")
    root = board_root("orin-nano_jetpack-6.2")
    (root / "proc/swaps").write_text("Filename Type Size Used Priority\n/dev/zram0 partition 650000 0 5\n")
    assert "swapon" in _found(examine(root), "swap").remedy


def test_a_user_outside_the_gpus_groups_is_told(board_root: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    _opencv(monkeypatch, "YES (1.20.3)")
    root = board_root("orin-nano_jetpack-6.2")
    (root / "etc/group").write_text("root:x:0:\nvideo:x:44:robot\nrender:x:104:\n")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("os.getgroups", lambda: [1000, 44])
    groups = _found(examine(root), "groups")
    assert "not in render" in groups.stops
    assert groups.remedy.startswith("sudo usermod -aG render $USER")
    monkeypatch.setattr("os.getgroups", lambda: [1000, 44, 104])
    assert not [finding for finding in examine(root) if finding.what == "groups"]


def test_the_camera_daemon_and_the_sensors_are_looked_for(board_root: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    _opencv(monkeypatch, "YES (1.20.3)")
    root = board_root("orin-nano_jetpack-6.2")
    findings = examine(root)
    assert "restart nvargus-daemon" in _found(findings, "camera daemon").remedy
    assert "jetson-io" in _found(findings, "cameras").remedy
    write_tree(root, {"tmp/argus_socket": "", "sys/class/video4linux/video0/name": "vi-output, imx219 9-0010\n"})
    findings = examine(root)
    assert (_found(findings, "camera daemon").found or "").endswith("/tmp/argus_socket")
    assert _found(findings, "cameras").found == "video0 vi-output, imx219 9-0010"


def test_no_remedy_calls_pip_as_root_which_ubuntu_24_refuses(board_root: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    _opencv(monkeypatch, "YES (1.20.3)")
    for module in ("jtop", "aiohttp"):
        monkeypatch.setitem(sys.modules, module, None)
    assert not [finding for finding in examine(board_root("thor_jetpack-7.2")) if "sudo pip" in finding.remedy]
