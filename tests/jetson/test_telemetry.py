"""Watts, temperatures and throttling: right on each board, none where nothing was measured, and cheap."""

from __future__ import annotations

import ctypes
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.integrate import trapezoid

from posetrt.jetson import jetson_stats
from posetrt.jetson.desktop import DesktopSensors, Nvml, Rapl, desktop_sensors
from posetrt.jetson.jetson_stats import JtopSensors
from posetrt.jetson.sensors import Reading, SysfsSensors
from posetrt.jetson.telemetry import Watch, watch
from posetrt.runtime.telemetry import Usage, together
from tests.jetson.conftest import Tree, write_tree


@pytest.fixture(autouse=True)
def jtop_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where jtop's service would listen: nobody does, unless a test says so by making the file."""
    monkeypatch.setattr(jetson_stats, "SOCKET", tmp_path / "jtop.sock")
    return tmp_path / "jtop.sock"


class Played:
    """Sensors that give what they were told, and fail for good when that ends."""

    source = "played"

    def __init__(self, watts: Callable[[], float | None] | list[float | None]) -> None:
        self._watts = watts
        self.closed = False

    def read(self) -> Reading:
        if callable(self._watts):
            return Reading(watts=self._watts())
        if not self._watts:
            raise RuntimeError("the service was stopped")
        return Reading(watts=self._watts.pop(0))

    def close(self) -> None:
        self.closed = True


def _sampled(times: np.ndarray, watts: list[float | None], hertz: float = 10.0) -> Watch:
    running = Watch([Played(list(watts))], hertz)
    for moment in times:
        running.sample(float(moment))
    return running


@pytest.mark.parametrize(
    ("name", "watts", "rails", "hottest"),
    [
        ("orin-nano_jetpack-6.2", 5.52, {"VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"}, 44.156),
        ("orin-nx_jetpack-7.2", 5.52, {"VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"}, 44.156),
        # 14.952 V x 0.160 A + 14.952 x 0.056 + 4.968 x 0.953; VDDQ is fed from the third and not counted twice.
        ("agx-orin_jetpack-6.0", 7.964136, {"VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"}, 44.156),
        # 11.846 x 0.400 + 11.846 x 0.552 + 4.936 x 1.320; the INA238 measures the carrier's input too.
        ("thor_jetpack-7.0", 17.792912, {"VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0", "ina238 input"}, 50.781),
    ],
)
def test_module_power_by_the_rails_of_each_board(board_root: Tree, name: str, watts: float, rails: set[str], hottest: float) -> None:
    reading = SysfsSensors(board_root(name)).read()
    assert reading.watts == pytest.approx(watts)
    assert set(reading.rails) == rails
    assert reading.hottest_c == hottest
    assert reading.throttled is False


def test_a_unit_that_is_switched_off_has_no_temperature(board_root: Tree) -> None:
    reading = SysfsSensors(board_root("orin-nano_jetpack-6.2")).read()
    assert "cv0-thermal" not in reading.temperatures
    assert min(reading.temperatures.values()) > 0


@pytest.mark.parametrize("nonsense", ["-1", "-256", "", "N/A", "99999999"])
def test_a_rail_that_reads_nonsense_is_not_measured_and_never_zero(board_root: Tree, nonsense: str) -> None:
    root = board_root("orin-nano_jetpack-6.2")
    (root / "sys/class/hwmon/hwmon1/curr1_input").write_text(nonsense)
    reading = SysfsSensors(root).read()
    assert reading.watts is None
    assert "VDD_IN" not in reading.rails
    assert "VDD_SOC" in reading.rails


def test_sysfs_that_cannot_be_read_is_not_measured(board_root: Tree) -> None:
    root = board_root("orin-nano_jetpack-6.2")
    for name in ("hwmon/hwmon1/in1_input", "thermal/thermal_zone0/temp", "devfreq/17000000.gpu/device/load"):
        path = root / "sys/class" / name
        path.unlink()
        # Opens, and fails at each read, as a device that is asleep does.
        path.mkdir()
    reading = SysfsSensors(root).read()
    assert (reading.watts, reading.gpu_load) == (None, None)
    assert "cpu-thermal" not in reading.temperatures
    assert reading.hottest_c == 44.156


def test_load_and_clocks_of_orin_and_thor(board_root: Tree) -> None:
    orin, thor = (SysfsSensors(board_root(name)).read() for name in ("orin-nx_jetpack-6.2", "thor_jetpack-7.2"))
    assert (orin.gpu_load, orin.gpu_mhz, orin.memory_mhz) == (0.5, 306, None)
    assert (thor.gpu_load, thor.gpu_mhz, thor.memory_mhz) == (None, 1575, 4266)


def test_throttling_is_an_overcurrent_event_or_a_cooling_device_but_no_fan(board_root: Tree) -> None:
    root = board_root("orin-nano_jetpack-6.2")
    sensors = SysfsSensors(root)
    assert sensors.read().throttled is False
    (root / "sys/class/hwmon/hwmon3/oc3_event_cnt").write_text("37\n")
    assert sensors.read().throttled is True
    assert sensors.read().throttled is False, "an old event is no new one"
    (root / "sys/class/thermal/cooling_device1/cur_state").write_text("1\n")
    assert sensors.read().throttled is True


def test_energy_is_the_integral_over_the_samples() -> None:
    times = np.cumsum(np.random.default_rng(3).uniform(0.05, 0.15, 200))
    watts = 5 + 3 * np.sin(times)
    usage = _sampled(times, list(watts)).between(float(times[10]), float(times[150]))
    assert usage.joules == pytest.approx(trapezoid(watts[10:151], times[10:151]), rel=1e-9)
    assert usage.watts == pytest.approx(usage.joules / (times[150] - times[10]))


def test_energy_between_samples_is_cut_at_the_window() -> None:
    usage = _sampled(np.arange(0, 10, 0.1), [10.0] * 100).between(2.03, 4.57)
    assert usage.joules == pytest.approx(25.4, rel=1e-6)


def test_a_gap_in_the_samples_is_not_measured_rather_than_guessed() -> None:
    times = np.concatenate([np.arange(0, 5, 0.1), np.arange(15, 20, 0.1)])
    running = _sampled(times, [10.0] * len(times))
    assert running.between(0, 4.9).joules == pytest.approx(49)
    assert running.between(0, 19).joules is None


def test_a_clock_that_jumps_back_makes_no_energy() -> None:
    running = _sampled(np.array([0.0, 0.1, 0.2, 0.15, 0.05, 0.3, 0.4]), [10.0] * 7)
    assert running.between(0.0, 0.4).joules == pytest.approx(4.0)


def test_without_power_there_is_no_energy_and_no_zero() -> None:
    usage = _sampled(np.arange(0, 5, 0.1), [None] * 50).between(0, 4)
    assert usage.joules is None
    assert usage.watts is None


def test_when_the_service_stops_in_mid_run_sysfs_takes_over_and_says_so(board_root: Tree) -> None:
    served = Played([4.0] * 3)
    running = Watch([served, SysfsSensors(board_root("orin-nano_jetpack-6.2"))], 10.0)
    for index in range(20):
        running.sample(index * 0.1)
    assert served.closed
    assert running.latest() is not None
    assert running.latest().watts == pytest.approx(5.52)  # type: ignore[union-attr]
    assert running.notes == ["played stopped (the service was stopped); INA3221 VDD_IN: the module took over"]
    assert running.between(0, 1.8).joules is not None


def test_sampling_a_board_at_10_hz_costs_less_than_one_hundredth_of_a_core(board_root: Tree) -> None:
    with watch(board_root("agx-orin_jetpack-6.2"), 10.0) as running:
        time.sleep(3.0)
        usage = running.between(time.monotonic() - 2.0, time.monotonic())
    cost = running.cost()
    assert cost is not None
    assert 0 < cost < 0.01
    assert usage.watts == pytest.approx(7.964136, rel=1e-3)


def test_a_computer_without_sensors_says_not_measured(tmp_path: Path) -> None:
    with watch(tmp_path) as running:
        assert running.source == "not measured"
        assert running.between(0.0, 1.0) == Usage(seconds=1.0)


def test_stretches_together_and_one_without_energy_spoils_the_sum() -> None:
    first, second = Usage(2, 10, 40, 45, False, 1000), Usage(3, 30, 44, 50, True, 500)
    whole = together([first, second])
    assert (whole.seconds, whole.joules, whole.watts, whole.gpu_mhz) == (5, 40, 8, 700)
    assert (whole.temperature_start_c, whole.temperature_end_c, whole.throttled) == (40, 50, True)
    assert together([first, Usage(3)]).joules is None
    assert together([]).watts is None


# A stand-in for the jtop package: its properties as jetson-stats 7.2.2 documents them, on an AGX Orin and an Orin NX.
def _fake_jtop(version: str = "7.2.2", *, power: dict[str, Any] | None = None, start: Exception | None = None) -> types.ModuleType:
    module = types.ModuleType("jtop")

    class JtopException(Exception):
        pass

    class Client:
        running = True

        def __init__(self, interval: float) -> None:
            self.power = power or {"rail": {"VDD_SOC": {"power": 1480}}, "tot": {"power": 5520, "name": "VDD_IN"}}
            self.temperature = {"cpu": {"temp": 44.1, "online": True}, "cv0": {"temp": -256, "online": False}}
            self.gpu = {"gpu": {"status": {"load": 37.5}, "freq": {"cur": 918000}}}

        def start(self) -> None:
            if start is not None:
                raise start

        def ok(self, spin: bool) -> bool:
            if not Client.running:
                raise JtopException("Lost connection with jtop server")
            return True

        def close(self) -> None: ...

    module.__dict__.update(__version__=version, JtopException=JtopException, jtop=Client)
    return module


def test_jetson_stats_gives_the_same_units(monkeypatch: pytest.MonkeyPatch, jtop_socket: Path) -> None:
    jtop_socket.touch()
    monkeypatch.setitem(sys.modules, "jtop", _fake_jtop())
    reading = JtopSensors().read()
    assert reading.watts == pytest.approx(5.52)
    assert reading.temperatures == {"cpu": 44.1}
    assert (reading.gpu_load, reading.gpu_mhz) == (0.375, 918)


def test_jtops_sum_of_all_rails_is_corrected_on_agx_orin(monkeypatch: pytest.MonkeyPatch, jtop_socket: Path) -> None:
    jtop_socket.touch()
    rails = {"VDD_GPU_SOC": 2392, "VDD_CPU_CV": 837, "VIN_SYS_5V0": 4734, "VDDQ_VDD2_1V8AO": 397}
    power = {"rail": {name: {"power": value} for name, value in rails.items()}, "tot": {"power": sum(rails.values())}}
    monkeypatch.setitem(sys.modules, "jtop", _fake_jtop(power=power))
    assert JtopSensors().read().watts == pytest.approx(7.963)


def test_over_current_that_jetson_stats_hides_is_read_from_sysfs_beside_it(
    board_root: Tree, monkeypatch: pytest.MonkeyPatch, jtop_socket: Path
) -> None:
    jtop_socket.touch()
    monkeypatch.setitem(sys.modules, "jtop", _fake_jtop())
    root = board_root("orin-nano_jetpack-6.2")
    with watch(root, 50.0) as running:
        _until(lambda: running.latest() is not None)
        assert running.source.startswith("jetson-stats")
        (root / "sys/class/hwmon/hwmon3/oc3_event_cnt").write_text("37\n")
        began = time.monotonic() - 10
        _until(lambda: running.between(began, time.monotonic()).throttled is True)
        assert any("jtop's service reads the sensors, and its work is not counted" in note for note in running.notes)


def test_thors_gpu_load_is_nvmls(board_root: Tree) -> None:
    with watch(board_root("thor_jetpack-7.2"), 50.0, gpu_load=lambda: 0.25) as running:
        _until(lambda: running.latest() is not None)
        newest = running.latest()
    assert newest is not None
    assert (newest.gpu_load, newest.gpu_mhz) == (0.25, 1575)


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("module", "said"),
    [(_fake_jtop("3.1.4"), "jetson-stats 3.1.4 is not one of the versions"), (_fake_jtop(start=OSError("no socket")), "no socket")],
)
def test_an_unknown_or_dead_jtop_gives_way_to_sysfs(
    board_root: Tree, monkeypatch: pytest.MonkeyPatch, jtop_socket: Path, module: types.ModuleType, said: str
) -> None:
    jtop_socket.touch()
    monkeypatch.setitem(sys.modules, "jtop", module)
    with watch(board_root("orin-nx_jetpack-6.2"), 50.0) as running:
        time.sleep(0.2)
        assert running.source == "INA3221 VDD_IN: the module"
        assert said in running.notes[0]


def test_jtop_stopped_in_mid_run_raises_what_the_watch_understands(monkeypatch: pytest.MonkeyPatch, jtop_socket: Path) -> None:
    jtop_socket.touch()
    module = _fake_jtop()
    monkeypatch.setitem(sys.modules, "jtop", module)
    sensors = JtopSensors()
    module.jtop.running = False
    with pytest.raises(RuntimeError, match="Lost connection"):
        sensors.read()


def test_without_its_service_jetson_stats_is_not_even_asked(board_root: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jtop", _fake_jtop())
    with watch(board_root("orin-nx_jetpack-6.2")) as running:
        assert running.notes == ["jetson-stats is not used: its service does not run"]


def _rapl(root: Path, count: int) -> None:
    base = "sys/class/powercap/intel-rapl:0"
    write_tree(root, {f"{base}/name": "package-0\n", f"{base}/max_energy_range_uj": "999999\n", f"{base}/energy_uj": f"{count}\n"})


def test_rapl_counts_over_its_wrap(tmp_path: Path) -> None:
    _rapl(tmp_path, 900_000)
    rapl = Rapl(tmp_path)
    assert rapl.read(10.0).watts is None
    _rapl(tmp_path, 950_000)
    assert rapl.read(10.1).watts == pytest.approx(0.5)
    _rapl(tmp_path, 50_000)
    assert rapl.read(10.2).watts == pytest.approx(1.0)
    sensors = desktop_sensors(tmp_path)
    assert sensors is not None
    assert sensors.source == "RAPL: the CPU's package"


class FakeNvml:
    """NVML's C functions as nvml.h declares them, for a GPU at 71.5 W, 63 °C, 1,755 MHz, 40 %, held back by its power cap."""

    def nvmlInit_v2(self) -> int:  # noqa: N802
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: int, device: Any) -> int:  # noqa: N802
        return 0 if index == 0 else 2

    def nvmlDeviceGetPowerUsage(self, device: Any, value: Any) -> int:  # noqa: N802
        return _store(value, ctypes.c_uint, 71_500)

    def nvmlDeviceGetTemperature(self, device: Any, sensor: int, value: Any) -> int:  # noqa: N802
        return _store(value, ctypes.c_uint, 63) if sensor == 0 else 2

    def nvmlDeviceGetClockInfo(self, device: Any, kind: int, value: Any) -> int:  # noqa: N802
        return _store(value, ctypes.c_uint, 1755) if kind == 0 else 2

    def nvmlDeviceGetUtilizationRates(self, device: Any, value: Any) -> int:  # noqa: N802
        ctypes.memmove(ctypes.cast(value, ctypes.c_void_p), bytes(ctypes.c_uint(40)) + bytes(ctypes.c_uint(9)), 8)
        return 0

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, device: Any, value: Any) -> int:  # noqa: N802
        return _store(value, ctypes.c_ulonglong, 0x4)


def _store(value: Any, kind: Any, number: int) -> int:
    ctypes.cast(value, ctypes.POINTER(kind))[0] = number
    return 0


def test_nvml_by_its_c_interface(tmp_path: Path) -> None:
    reading = DesktopSensors(Nvml(FakeNvml()), Rapl(tmp_path), tmp_path).read()
    assert reading.watts == 71.5
    assert (reading.gpu_mhz, reading.gpu_load, reading.hottest_c, reading.throttled) == (1755, 0.4, 63, True)
    with pytest.raises(OSError, match="NVML gives error 2"):
        Nvml(FakeNvml(), index=1)
