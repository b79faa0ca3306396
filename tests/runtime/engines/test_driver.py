"""What the driver is asked before TensorRT, against small libraries in C that answer as libcuda does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from posetrt.runtime.engines.driver import Gpu, board_name, probe, release_primary_context
from posetrt.runtime.errors import PosetrtError

SOURCE = r"""
#include <string.h>
#include <stddef.h>
int cuInit(unsigned flags) { return INIT; }
int cuDriverGetVersion(int *v) { *v = 12060; return 0; }
int cuDeviceGetCount(int *n) { *n = COUNT; return 0; }
int cuDeviceGet(int *d, int i) { *d = i; return 0; }
int cuDeviceGetName(char *s, int n, int d) { strncpy(s, d ? "second" : "Orin", n); return 0; }
int cuDeviceTotalMem_v2(size_t *m, int d) { *m = (size_t)7 << 30; return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 8 : a == 76 ? 7 : a == 18 ? 1 : -1; return ATTRIBUTE; }
int cuDevicePrimaryCtxRelease_v2(int d) { return d == 1 ? 201 : 0; }
int cuGetErrorName(int e, const char **s) { *s = e == 100 ? "CUDA_ERROR_NO_DEVICE" : e == 803 ? "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH" : NULL; return 0; }
"""


def libcuda(folder: Path, init: int = 0, count: int = 2, attribute: int = 0) -> str:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make a driver that answers")
    source, library = folder / "cuda.c", folder / "libcuda.so.1"
    source.write_text(SOURCE, encoding="ascii")
    defines = [f"-DINIT={init}", f"-DCOUNT={count}", f"-DATTRIBUTE={attribute}"]
    subprocess.run([compiler, "-shared", "-fPIC", *defines, str(source), "-o", str(library)], check=True)
    return str(library)


def test_the_driver_tells_what_an_engine_is_built_for(tmp_path: Path) -> None:
    driver = probe(libcuda(tmp_path))
    assert driver.cuda == (12, 6)
    assert driver.gpus[0] == Gpu(0, "Orin", 87, 7 << 30, integrated=True)
    assert [gpu.name for gpu in driver.gpus] == ["Orin", "second"]


@pytest.mark.parametrize(
    ("init", "count", "attribute", "says"),
    [
        (100, 0, 0, "finds no GPU .*CUDA_ERROR_NO_DEVICE"),
        (803, 1, 0, "does not start .*CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"),
        (12345, 1, 0, "error 12345"),
        (0, 0, 0, "finds no GPU"),
        (0, 1, 999, "cuDeviceGetAttribute"),
    ],
)
def test_a_driver_that_fails_is_named_with_what_to_do(tmp_path: Path, init: int, count: int, attribute: int, says: str) -> None:
    with pytest.raises(PosetrtError, match=f"{says}.*nvidia-smi"):
        probe(libcuda(tmp_path, init, count, attribute))


def test_a_machine_without_a_driver_is_an_error_and_no_crash(tmp_path: Path) -> None:
    with pytest.raises(PosetrtError, match=r"no NVIDIA driver.*--backend onnxruntime"):
        probe(str(tmp_path / "libcuda.so.1"))


def test_a_jetson_is_known_by_its_device_tree(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.write_bytes(b"NVIDIA Jetson Orin NX Engineering Reference Developer Kit\0")
    assert board_name(model) == "NVIDIA Jetson Orin NX Engineering Reference Developer Kit"
    model.write_bytes(b"Raspberry Pi 5 Model B\0")
    assert board_name(model) is None
    assert board_name(tmp_path / "none") is None


def test_a_hold_on_the_primary_context_that_cannot_be_given_back_is_named(tmp_path: Path) -> None:
    library = libcuda(tmp_path)
    release_primary_context(0, library)
    with pytest.raises(PosetrtError, match="cuDevicePrimaryCtxRelease_v2: error 201"):
        release_primary_context(1, library)
