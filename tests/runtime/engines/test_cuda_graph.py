"""CUDA graphs through ctypes, against a small library in C that takes what libcuda takes: whole addresses, in libcuda's order."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from posetrt.runtime.engines.cuda_graph import capture
from posetrt.runtime.errors import PosetrtError

STREAM = 0x7F1234567890
SOURCE = r"""
#include <stddef.h>
static int capturing, launched, graphs, launchables;
int cuStreamBeginCapture_v2(void *s, int mode) { capturing = 1; return s == (void *)0x7F1234567890 && mode == 1 ? BEGIN : 1; }
int cuStreamEndCapture(void *s, void **g) {
    capturing = 0;
    if (s != (void *)0x7F1234567890) return 1;
    if (!END) { *g = (void *)0x7EABCDEF0123; graphs++; }
    return END;
}
int cuGraphInstantiateWithFlags(void **e, void *g, unsigned long long flags) {
    *e = (void *)0x7D1111222233;
    launchables++;
    return g == (void *)0x7EABCDEF0123 && flags == 0 ? 0 : 1;
}
int cuGraphLaunch(void *e, void *s) { launched++; return e == (void *)0x7D1111222233 && s == (void *)0x7F1234567890 ? 0 : 1; }
int cuGraphDestroy(void *g) { graphs--; return g == (void *)0x7EABCDEF0123 ? 0 : 1; }
int cuGraphExecDestroy(void *e) { launchables--; return e == (void *)0x7D1111222233 ? 0 : 1; }
int cuGetErrorName(int e, const char **s) { *s = e == 900 ? "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED" : NULL; return 0; }
int state(void) { return capturing * 1000 + graphs * 100 + launchables * 10 + launched; }
"""


def library(folder: Path, begin: int = 0, end: int = 0) -> Any:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make a driver that answers")
    source, target = folder / "cuda.c", folder / "libcuda.so"
    source.write_text(SOURCE, encoding="ascii")
    subprocess.run([compiler, "-shared", "-fPIC", f"-DBEGIN={begin}", f"-DEND={end}", str(source), "-o", str(target)], check=True)
    return ctypes.CDLL(str(target))


def test_work_is_captured_launched_and_freed(tmp_path: Path) -> None:
    cuda = library(tmp_path)
    seen: list[int] = []
    graph = capture(STREAM, lambda: seen.append(cuda.state()) is None, cuda)
    assert seen == [1000], "the work is put on the stream while it captures"
    assert cuda.state() == 10, "what is launched stays, the graph that it was made from goes"
    graph.launch(STREAM)
    graph.launch(STREAM)
    graph.close()
    graph.close()
    assert cuda.state() == 2


@pytest.mark.parametrize(
    ("begin", "end", "queued", "says"),
    [
        (900, 0, True, "cuStreamBeginCapture_v2 failed: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"),
        (0, 901, True, "cuStreamEndCapture failed: error 901"),
        (0, 0, False, "could not be put on a stream"),
    ],
)
def test_what_cannot_be_captured_says_why_and_leaves_nothing_behind(tmp_path: Path, begin: int, end: int, queued: bool, says: str) -> None:
    cuda = library(tmp_path, begin, end)
    with pytest.raises(PosetrtError, match=says):
        capture(STREAM, lambda: queued, cuda)
    assert cuda.state() == (1000 if begin else 0)


def test_a_stream_captures_no_longer_where_the_work_raised(tmp_path: Path) -> None:
    cuda = library(tmp_path)

    def broken() -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        capture(STREAM, broken, cuda)
    assert cuda.state() == 0
