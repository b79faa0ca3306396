"""The real Python bindings of each TensorRT, on stub libraries: our classes subclass theirs and are called through them.

The bindings are small wheels; the libraries behind them are not on PyPI. A few C symbols let the import succeed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from posetrt.export.engine.capabilities import capabilities_of
from tests.trt_stand_in import pose_graph, stand_in

pytestmark = pytest.mark.slow

WHEELS = {
    "8.6.1": "tensorrt-bindings==8.6.1",
    "10.3.0": "tensorrt-cu12-bindings==10.3.0",
    "10.16.1": "tensorrt-cu13-bindings==10.16.1.11",
    "11.4.0": "tensorrt-cu13-bindings==11.4.0.106",
}
STUB = """
#define STUB(name) void *name(void) { return 0; }
STUB(createInferBuilder_INTERNAL) STUB(createInferRefitter_INTERNAL) STUB(createInferRuntime_INTERNAL)
STUB(createNvOnnxParser_INTERNAL) STUB(createNvOnnxParserRefitter_INTERNAL) STUB(getBuilderPluginRegistry)
STUB(getNvOnnxParserVersion) STUB(getPluginRegistry) STUB(initLibNvInferPlugins)
STUB(_ZN11nvuffparser15createUffParserEv) STUB(_ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi)
STUB(_ZN14nvcaffeparser117createCaffeParserEv) STUB(_ZN14nvcaffeparser123shutdownProtobufLibraryEv)
"""
# Runs with the bindings alone in reach; calls each method through the base class, which goes by C++'s virtual table.
PROGRAM = """
import json
import sys
import threading
import tensorrt_bindings as trt
from dataclasses import asdict
from posetrt.export.engine.calibrator import calibrator_for
from posetrt.export.engine.capabilities import capabilities_of
from posetrt.export.engine.progress import Progress, monitor_for
from posetrt.runtime.engines.trt_log import Log, logger_for

result = {"version": trt.__version__}
log = Log()
logger = logger_for(trt)
assert isinstance(logger, trt.ILogger)
assert logger_for(trt) is logger
with log.listening():
    trt.ILogger.log(logger, trt.ILogger.ERROR, "6: CUDA initialization failure with error: 35")
    trt.ILogger.log(logger, trt.ILogger.INFO, "nothing")
    trt.ILogger.log(logger, trt.ILogger.WARNING, "Detected invalid timing cache, setup a local cache instead")
del logger
result["errors"] = [meaning for _, meaning in log.errors]
result["warnings"] = [meaning for _, meaning in log.warnings]

told = []
progress = Progress(lambda share, phase: told.append([phase, share]))
monitor = monitor_for(trt, progress)
if monitor is not None:
    assert isinstance(monitor, trt.IProgressMonitor)
    trt.IProgressMonitor.phase_start(monitor, "building", None, 4)
    going = trt.IProgressMonitor.step_complete(monitor, "building", 1)
    progress.stopped = True
    stopped = trt.IProgressMonitor.step_complete(monitor, "building", 2)
    trt.IProgressMonitor.phase_finish(monitor, "building")
    result["steps"] = [going, stopped]
result["told"] = told

if monitor is not None:
    # As TensorRT does: several threads at once, through C++'s virtual table, which makes "stop" of an exception.
    sys.setswitchinterval(1e-6)
    busy = monitor_for(trt, Progress(lambda share, phase: None))
    answers = []

    def work(number):
        for phase in range(300):
            trt.IProgressMonitor.phase_start(busy, f"{number} {phase}", None, 2)
            answers.append(trt.IProgressMonitor.step_complete(busy, f"{number} {phase}", 0))
            trt.IProgressMonitor.phase_finish(busy, f"{number} {phase}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result["threads"] = [len(answers), all(answers)]

    def broken(share, phase):
        raise BrokenPipeError("the terminal is gone")

    deaf = Progress(broken)
    monitor = monitor_for(trt, deaf)
    trt.IProgressMonitor.phase_start(monitor, "building", None, 4)
    result["deaf"] = [trt.IProgressMonitor.step_complete(monitor, "building", 1), str(deaf.failure)]

if hasattr(trt, "IInt8EntropyCalibrator2"):
    addresses = iter([4096, None])
    calibrator = calibrator_for(trt, lambda: next(addresses), b"a cache", None)
    assert isinstance(calibrator, trt.IInt8EntropyCalibrator2)
    result["batch_size"] = trt.IInt8EntropyCalibrator2.get_batch_size(calibrator)
    result["algorithm"] = trt.IInt8EntropyCalibrator2.get_algorithm(calibrator).name
    result["batches"] = [calibrator.get_batch(["image"]), calibrator.get_batch(["image"])]
    result["cache"] = calibrator.read_calibration_cache().decode()

    def unreadable():
        raise ValueError("a picture of 0 pixels")

    failing = calibrator_for(trt, unreadable, None, None)
    result["failed"] = [failing.get_batch(["image"]), str(failing.failure)]

offers = asdict(capabilities_of(trt, "tensorrt", trt.__version__))
result["offers"] = {key: sorted(value) if isinstance(value, frozenset) else value for key, value in offers.items()}
print(json.dumps(result))
"""


def fetch(version: str, folder: Path) -> Path:
    """The wheel of a version, unpacked, with stub libraries beside it; skips where the index or a compiler is out of reach."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
        str(folder),
        WHEELS[version],
    ]
    got = subprocess.run(command, capture_output=True, text=True)
    if got.returncode or compiler is None:
        reason = f"{WHEELS[version]} cannot be had for this Python ({got.stderr.strip()[-200:]})" if got.returncode else "no C compiler"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    source = folder / "stub.c"
    source.write_text(STUB, encoding="ascii")
    major = version.split(".")[0]
    (folder / "lib").mkdir()
    for library in ("nvinfer", "nvonnxparser", "nvparsers", "nvinfer_plugin"):
        output = folder / "lib" / f"lib{library}.so.{major}"
        subprocess.run([compiler, "-shared", "-fPIC", f"-Wl,-soname,{output.name}", "-o", str(output), str(source)], check=True)
    return folder


@pytest.fixture(scope="module", params=list(WHEELS))
def spoken(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """A version, and what its bindings made of our classes."""
    version = request.param
    folder = fetch(version, tmp_path_factory.mktemp(f"trt{version}"))
    root = Path(__file__).resolve().parents[3]
    environment = os.environ | {"LD_LIBRARY_PATH": str(folder / "lib"), "PYTHONPATH": f"{folder / 'site'}:{root / 'src'}"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return version, json.loads(done.stdout)


def test_our_logger_is_called_by_tensorrt(spoken: tuple[str, dict[str, Any]]) -> None:
    version, result = spoken
    assert result["version"].startswith(version)
    assert result["errors"] == ["the NVIDIA driver is older than this TensorRT needs"]
    assert result["warnings"] == ["the timing cache is of another TensorRT or device; a new one is begun"]


def test_our_progress_monitor_is_called_by_tensorrt(spoken: tuple[str, dict[str, Any]]) -> None:
    version, result = spoken
    if version.startswith("8"):
        assert result["told"] == []
    else:
        assert result["told"] == [["building", 0.0], ["building", 0.5], ["building", 0.75]]
        assert result["steps"] == [True, False], "False is how a build is stopped"
        assert result["threads"] == [1200, True], "an exception in one of the threads would be a False"
        assert result["deaf"] == [True, "the terminal is gone"], "what a report raises stops no build"


def test_our_calibrator_is_called_by_tensorrt(spoken: tuple[str, dict[str, Any]]) -> None:
    version, result = spoken
    if version.startswith("11"):
        assert "batches" not in result
    else:
        assert result["batch_size"] == 1
        assert result["algorithm"] == "ENTROPY_CALIBRATION_2"
        assert result["batches"] == [[4096], None]
        assert result["cache"] == "a cache"
        assert result["failed"] == [None, "a picture of 0 pixels"]


def test_the_name_lists_say_what_the_bindings_offer(spoken: tuple[str, dict[str, Any]]) -> None:
    """So the plans that are tested on the lists are those that the real library would get."""
    version, result = spoken
    listed = capabilities_of(stand_in(version, pose_graph()), "tensorrt", result["version"])
    for name, value in result["offers"].items():
        found = getattr(listed, name)
        assert (sorted(found) if isinstance(found, frozenset) else list(found) if isinstance(found, tuple) else found) == value, name
