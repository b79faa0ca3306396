"""The order of calls on a GPU: frames in flight, copies, failures and release, on a pycuda that runs everything as late as it may."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posetrt.runtime.engines import cuda as cuda_module
from posetrt.runtime.engines import cuda_graph
from posetrt.runtime.engines.driver import Gpu
from posetrt.runtime.engines.library import Library
from posetrt.runtime.engines.tensorrt import TensorRTEngine
from posetrt.runtime.errors import EngineMismatch, PosetrtError
from tests.cuda_stand_in import BLOCKING_SYNC, Cuda, Libcuda, module
from tests.tiny_model import tiny_manifest
from tests.trt_stand_in import names_of, pose_graph, stand_in

CELLS = 8


class Bench:
    """A GPU that stands in, with an engine file whose network gives the image's mean in its maps and twice it in its fields."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, integrated: bool, dynamic: bool, **behaviour: Any):
        self.cuda = Cuda()
        driver = module(self.cuda)
        package = types.ModuleType("pycuda")
        package.driver = driver  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "pycuda", package)
        monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
        monkeypatch.setattr(cuda_module, "gpu", lambda index: Gpu(index, "Orin", 87, 1 << 30, integrated=integrated))
        monkeypatch.setattr(cuda_module, "release_primary_context", lambda index: self.cuda.calls.append("cuDevicePrimaryCtxRelease"))
        self.libcuda = Libcuda(self.cuda, **behaviour.pop("fails", {}))
        monkeypatch.setattr(cuda_graph, "libcuda", lambda: self.libcuda)
        self.said: list[str] = []
        self.dynamic = dynamic
        size: Any = (-1, 3, -1, -1) if dynamic else (1, 3, 64, 64)
        behaviour = {
            "io": {"image": ("INPUT", "FLOAT", size), "heatmaps": ("OUTPUT", "FLOAT", ()), "pafs": ("OUTPUT", "HALF", ())},
            "profile": ((1, 3, 32, 32), (1, 3, 64, 64), (2, 3, 96, 96)),
            "shape_of": self.shape_of,
            "network": self.network,
            "cuda": self.cuda,
            **behaviour,
        }
        self.trt = stand_in("10.3.0", pose_graph(), **behaviour)
        self.path = folder / "e.engine"
        self.path.write_bytes(b"engine")

    def shape_of(self, name: str, shape: Any) -> tuple[int, ...]:
        batch, _, height, width = shape or (1, 3, 64, 64)
        return (batch, {"heatmaps": 19, "pafs": 38}[name], height // 8, width // 8)

    def network(self, bound: dict[str, int], shape: Any) -> None:
        shape = shape or (1, 3, 64, 64)
        count = int(np.prod(shape))
        mean = self.cuda.at(bound["image"]).view(np.float32)[:count].mean()
        for name, dtype, factor in (("heatmaps", np.float32, 1), ("pafs", np.float16, 2)):
            self.cuda.at(bound[name]).view(dtype)[: int(np.prod(self.shape_of(name, shape)))] = factor * mean

    def open(self, **options: Any) -> TensorRTEngine:
        library = Library("tensorrt", self.trt, "10.3.0", (10, 3, 0))
        return TensorRTEngine(
            self.path, tiny_manifest(dynamic=self.dynamic), "fp16", library=library, **{"say": self.said.append, **options}
        )


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    made: list[Bench] = []

    def make(*, integrated: bool = False, dynamic: bool = False, **behaviour: Any) -> Bench:
        made.append(Bench(tmp_path, monkeypatch, integrated=integrated, dynamic=dynamic, **behaviour))
        return made[-1]

    yield make
    for one in made:
        assert one.cuda.current == 0, "a context was left current in this thread"


def image(value: float, shape: tuple[int, ...] = (1, 3, 64, 64)) -> Any:
    return np.full(shape, value, np.float32)


@pytest.mark.parametrize("integrated", [False, True])
def test_a_frame_comes_back_as_the_network_made_it(bench: Any, integrated: bool) -> None:
    one = bench(integrated=integrated)
    with one.open() as engine:
        outputs = engine.infer(image(0.25))
        assert outputs["heatmaps"].shape == (1, 19, 8, 8)
        assert outputs["heatmaps"].dtype == np.float32
        assert (outputs["heatmaps"] == 0.25).all()
        assert outputs["pafs"].shape == (1, 38, 8, 8)
        assert outputs["pafs"].dtype == np.float16
        assert (outputs["pafs"] == 0.5).all()
        assert set(outputs) == {"heatmaps", "pafs"}
    copies = [call for call in one.cuda.calls if "Memcpy" in call]
    assert len(copies) == (0 if integrated else 3), "an integrated GPU sees the same memory, and needs no copies"


def test_two_frames_in_flight_keep_their_own_numbers_while_the_input_is_reused(bench: Any) -> None:
    one = bench()
    with one.open() as engine:
        assert engine.frames_in_flight == 2
        frame = image(1.0)
        engine.submit(frame)
        frame[:] = 2.0
        engine.submit(frame)
        for value in range(3, 12):
            outputs = engine.collect()
            frame[:] = value
            engine.submit(frame)
            # What was collected stays as it is while the next frame is under way.
            assert (outputs["heatmaps"] == value - 2).all()
        assert (engine.collect()["heatmaps"] == 10).all()
        assert (engine.collect()["heatmaps"] == 11).all()


def test_more_frames_than_the_engine_takes_are_refused_and_none_is_lost(bench: Any) -> None:
    with bench().open() as engine:
        engine.submit(image(1))
        engine.submit(image(2))
        with pytest.raises(PosetrtError, match="collect one before"):
            engine.submit(image(3))
        with pytest.raises(PosetrtError, match="collect them before infer"):
            engine.infer(image(3))
        assert (engine.collect()["heatmaps"] == 1).all()
        assert (engine.collect()["heatmaps"] == 2).all()
        with pytest.raises(PosetrtError, match="nothing is in flight"):
            engine.collect()


def test_buffers_are_made_once(bench: Any) -> None:
    one = bench()
    with one.open() as engine:
        for value in range(50):
            engine.infer(image(value))
        assert one.cuda.calls.count("cuMemHostAlloc") == 9  # three tensors, two frames in flight and one that was collected
        assert one.cuda.calls.count("cuMemAlloc") == 9
        assert one.cuda.calls.count("cuStreamCreate") == 3


def test_outputs_that_nobody_asks_for_stay_on_the_device(bench: Any) -> None:
    one = bench()
    with one.open(outputs=["heatmaps"]) as engine:
        outputs = engine.infer(image(0.5))
        assert (outputs["heatmaps"] == 0.5).all()
        assert "pafs" not in outputs
    assert one.cuda.calls.count("cuMemcpyDtoHAsync") == 1


def test_a_dynamic_engine_takes_each_size_and_tells_tensorrt_only_of_changes(bench: Any) -> None:
    one = bench(dynamic=True)
    with one.open() as engine:
        assert engine.infer(image(1, (2, 3, 96, 96)))["heatmaps"].shape == (2, 19, 12, 12)
        assert (engine.infer(image(2, (1, 3, 32, 64)))["heatmaps"] == np.full((1, 19, 4, 8), 2)).all()
        assert (engine.infer(image(3, (1, 3, 32, 64)))["pafs"] == 6).all()
    shapes = [call[1] for call in one.trt.calls if call[0] == "set_input_shape"]
    assert shapes == [(2, 3, 96, 96), (2, 3, 96, 96), (1, 3, 32, 64)]


@pytest.mark.parametrize(
    "wrong", [image(0, (1, 3, 64, 72)), image(0, (2, 3, 64, 64)), np.zeros((1, 3, 64, 64), np.uint8), np.zeros(3, np.float32)]
)
def test_an_input_that_does_not_fit_says_what_fits(bench: Any, wrong: Any) -> None:
    with bench().open() as engine:
        with pytest.raises(PosetrtError, match=r"takes float32 \(1, 3, 64, 64\); got"):
            engine.infer(wrong)
        assert (engine.infer(image(1))["heatmaps"] == 1).all()


def test_a_launch_that_fails_says_so_and_the_next_frame_works(bench: Any) -> None:
    launches = iter([True, False, True])
    with bench(launches=lambda: next(launches)).open() as engine:
        assert (engine.infer(image(1))["heatmaps"] == 1).all()
        with pytest.raises(PosetrtError, match="execute_async_v3"):
            engine.infer(image(2))
        assert (engine.infer(image(3))["heatmaps"] == 3).all()


@pytest.mark.parametrize("call", ["cuMemcpyHtoDAsync", "cuEventSynchronize", "cuEventRecord"])
def test_a_failing_cuda_call_is_named_and_the_engine_still_closes(bench: Any, call: str) -> None:
    one = bench()
    with one.open() as engine:
        engine.infer(image(1))
        one.cuda.fail_at[call] = "an illegal memory access was encountered"
        with pytest.raises(PosetrtError, match=f"CUDA failed to run the network: {call} failed: an illegal.*start the program again"):
            engine.infer(image(2))
    assert one.cuda.calls[-1] == "cuDevicePrimaryCtxRelease"
    assert not one.cuda.memory


def test_what_is_held_is_freed_in_order_once(bench: Any) -> None:
    one = bench()
    engine = one.open()
    engine.submit(image(1))
    before = len(one.cuda.calls)
    engine.close()
    engine.close()
    after = one.cuda.calls[before:]
    assert after[:3] == ["cuStreamSynchronize"] * 3, "the GPU must have ended before its buffers go"
    assert after.count("cuMemFree") == after.count("cuMemFreeHost") == 9
    assert after[-1] == "cuDevicePrimaryCtxRelease"
    assert not one.cuda.memory
    with pytest.raises(PosetrtError, match="closed"):
        engine.infer(image(1))


def test_an_exception_in_the_users_block_frees_everything(bench: Any) -> None:
    one = bench()

    def program() -> None:
        with one.open() as engine:
            engine.submit(image(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        program()
    assert not one.cuda.memory
    assert one.cuda.calls[-1] == "cuDevicePrimaryCtxRelease"


def test_an_engine_may_be_driven_and_closed_in_another_thread(bench: Any) -> None:
    one = bench()
    engine = one.open()
    seen: list[Any] = []

    def work() -> None:
        seen.append(engine.infer(image(4))["heatmaps"].max())
        engine.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [4]
    assert not one.cuda.memory


@pytest.mark.parametrize(
    ("behaviour", "error", "says"),
    [
        (
            {
                "loads": False,
                "log": [(1, "The engine plan file is generated on an incompatible device, expecting compute 8.7 got compute 8.6")],
            },
            EngineMismatch,
            "refuses e.engine: the engine was built for another GPU.*posetrt build",
        ),
        ({"old_driver": True}, PosetrtError, "TensorRT 10.3.0 does not start: the NVIDIA driver is older than this TensorRT needs"),
        ({"context": False}, PosetrtError, "needs 123 MB to run and 1074 MB are free"),
        ({"io": {"data": ("INPUT", "FLOAT", (1, 3, 64, 64)), "out": ("OUTPUT", "FLOAT", ())}}, EngineMismatch, "do not belong together"),
    ],
)
def test_an_engine_that_does_not_load_says_why_and_leaves_nothing_behind(bench: Any, behaviour: Any, error: Any, says: str) -> None:
    one = bench(**behaviour)
    with pytest.raises(error, match=says):
        one.open()
    assert not one.cuda.memory
    assert one.cuda.calls[-1] == "cuDevicePrimaryCtxRelease"


def test_what_a_failed_load_has_made_is_freed_in_order_while_the_context_stands(bench: Any) -> None:
    """Held by the traceback's variables, engine and runtime went after the context, whenever the error was forgotten."""
    one = bench(io={"data": ("INPUT", "FLOAT", (1, 3, 64, 64)), "out": ("OUTPUT", "FLOAT", ())})
    with pytest.raises(EngineMismatch) as failed:
        one.open()
    assert failed.traceback
    assert one.cuda.calls[-4:] == ["free context", "free engine", "free runtime", "cuDevicePrimaryCtxRelease"]


def test_the_thread_that_waits_for_a_frame_sleeps_and_does_not_spin(bench: Any) -> None:
    one = bench()
    with one.open() as engine:
        engine.infer(image(1))
    assert one.cuda.waited
    assert all(flags & BLOCKING_SYNC for flags in one.cuda.waited), "a spinning core is one that the parser and the next frame lack"


def test_each_slot_is_captured_at_its_second_frame_and_launched_as_one_from_then_on(bench: Any) -> None:
    one = bench()
    with one.open() as engine:
        engine.submit(image(1))
        for value in range(2, 15):
            engine.submit(image(value))
            assert (engine.collect()["heatmaps"] == value - 1).all()
        assert (engine.collect()["heatmaps"] == 14).all()
    launches = [call[0] for call in one.trt.calls].count("execute_async_v3")
    assert launches == 6, "each of three slots once as it is and once to be captured"
    assert one.cuda.calls.count("cuGraphLaunch") == 11
    assert one.cuda.calls.count("cuGraphExecDestroy") == one.cuda.calls.count("cuGraphDestroy") == 3
    assert not one.said
    assert one.cuda.calls.index("cuGraphExecDestroy") < one.cuda.calls.index("free context")


@pytest.mark.parametrize("call", ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"])
def test_an_engine_that_cannot_be_captured_runs_kernel_by_kernel_and_says_so_once(bench: Any, call: str) -> None:
    one = bench(fails={call: 901})
    with one.open() as engine:
        for value in range(8):
            assert (engine.infer(image(value))["heatmaps"] == value).all()
    assert len(one.said) == 1
    assert f"{call} failed: CUDA_ERROR_STREAM_CAPTURE_INVALIDATED" in one.said[0]
    assert "cuGraphLaunch" not in one.cuda.calls


def test_a_graph_that_cuda_does_not_free_keeps_nothing_else_from_being_freed(bench: Any) -> None:
    one = bench(fails={"cuGraphExecDestroy": 700})
    engine = one.open()
    for value in range(6):
        engine.infer(image(value))
    with pytest.raises(PosetrtError, match="cuGraphExecDestroy failed"):
        engine.close()
    assert one.cuda.calls.index("free context") < one.cuda.calls.index("free runtime") < one.cuda.calls.index("cuDevicePrimaryCtxRelease")
    assert not one.cuda.memory


def test_a_network_that_does_not_start_while_it_is_captured_starts_without(bench: Any) -> None:
    launches = iter([True, True, True, False, *[True] * 5])
    one = bench(launches=lambda: next(launches))
    with one.open() as engine:
        for value in range(8):
            assert (engine.infer(image(value))["heatmaps"] == value).all()
    assert len(one.said) == 1


def test_cuda_graphs_are_left_out_where_they_cannot_be_or_are_not_wanted(bench: Any) -> None:
    for dynamic, options, says in (
        (True, {}, "from (1, 3, 32, 32) to (2, 3, 96, 96)"),
        (False, {"dla": 0}, "DLA"),
        (False, {"cuda_graph": False}, None),
    ):
        one = bench(dynamic=dynamic)
        with one.open(**options) as engine:
            for value in range(8):
                assert (engine.infer(image(value, (1, 3, 64, 64)))["heatmaps"] == value).all()
        assert "cuStreamBeginCapture_v2" not in one.cuda.calls
        assert len(one.said) == (0 if says is None else 1)
        assert (says or "") in "".join(one.said)


# What TensorRT for RTX 1.7 has beside TensorRT; `test_trt_names` holds our code to the installed one's names.
RTX_NAMES = {
    "IRuntimeConfig": {"members": ["create_runtime_cache", "set_runtime_cache", "cuda_graph_strategy"]},
    "IRuntimeCache": {"members": ["serialize", "deserialize"]},
    "CudaGraphStrategy": {"enum": {"DISABLED": 0, "WHOLE_GRAPH_CAPTURE": 1}},
}


def rtx_bench(bench: Any, **behaviour: Any) -> Any:
    engine = names_of("10.3.0")["ICudaEngine"]["members"]
    return bench(more_names=RTX_NAMES | {"ICudaEngine": {"members": [*engine, "create_runtime_config"]}}, **behaviour)


def test_what_rtx_compiled_is_kept_beside_the_engine_and_given_to_the_next_start(bench: Any) -> None:
    one = rtx_bench(bench, compiled=b"kernels")
    cache = one.path.with_name("e.engine.cache")
    one.open().close()
    assert cache.read_bytes() == b"kernels"
    assert not [call for call in one.trt.calls if call[0] == "deserialize_cache"]
    one.open().close()
    assert ("deserialize_cache", b"kernels") in one.trt.calls
    one = rtx_bench(bench, compiled=b"other kernels", takes_cache=False)
    with one.open() as engine:
        assert (engine.infer(image(2))["heatmaps"] == 2).all(), "a cache of another driver is no reason not to run"
    assert cache.read_bytes() == b"other kernels"


@pytest.mark.parametrize("own", [True, False])
def test_rtx_captures_cuda_graphs_itself_where_it_is_asked_to(bench: Any, own: bool) -> None:
    one = rtx_bench(bench)
    one.open(own_graphs=own).close()
    runtime_config = next(call[1] for call in one.trt.calls if call[0] == "create_execution_context")
    assert (runtime_config.cuda_graph_strategy == 1) == own


def test_each_tensor_is_shared_or_copied_as_it_was_measured_to_be_best(bench: Any) -> None:
    one = bench(integrated=True)
    with one.open(shared=["image"]) as engine:
        assert (engine.infer(image(0.5))["heatmaps"] == 0.5).all()
    assert [call for call in one.cuda.calls if "Memcpy" in call] == ["cuMemcpyDtoHAsync"] * 2


def test_too_little_memory_for_the_buffers_says_what_to_do(bench: Any) -> None:
    one = bench()
    one.cuda.free = 100
    with pytest.raises(PosetrtError, match=r"cuMemAlloc failed: out of memory\. Close other programs"):
        one.open()
    assert one.cuda.calls[-1] == "cuDevicePrimaryCtxRelease"


def test_version_compatible_code_runs_only_where_it_was_allowed(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench()
    allowed: list[bool] = []
    runtime = one.trt.Runtime
    original = runtime.deserialize_cuda_engine
    monkeypatch.setattr(
        runtime, "deserialize_cuda_engine", lambda self, data: (allowed.append(self.engine_host_code_allowed), original(self, data))[1]
    )
    one.open().close()
    one.open(host_code=True).close()
    assert allowed == [False, True]


def test_the_parts_of_a_frame_are_timed_by_the_gpu(bench: Any) -> None:
    with bench().open() as engine:
        parts = engine.parts_ms(image(1))
        assert parts.pop("enqueue") > 0
        assert parts == {"upload": 1.5, "network": 1.5, "download": 1.5}
        assert (engine.infer(image(2))["heatmaps"] == 2).all()


@pytest.mark.parametrize("missing", ["pycuda", "broken"])
def test_pycuda_missing_or_broken_says_how_to_build_it(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setattr(cuda_module, "gpu", lambda index: Gpu(index, "Orin", 87, 1 << 30, integrated=True))
    monkeypatch.setattr(cuda_module, "board_name", lambda: "NVIDIA Jetson Orin NX")
    if missing == "pycuda":
        monkeypatch.setitem(sys.modules, "pycuda", None)
        says = "needs pycuda"
    else:
        package = types.ModuleType("pycuda")
        package.__path__ = []
        monkeypatch.setitem(sys.modules, "pycuda", package)

        class Broken:
            def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
                if name == "pycuda.driver":
                    raise ImportError("libcurand.so.10: cannot open shared object file")
                return None

        monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
        says = "does not load: libcurand.so.10"
    with pytest.raises(PosetrtError, match=f"{says}.*CUDA_ROOT=/usr/local/cuda"):
        cuda_module.Cuda()


@pytest.mark.parametrize("integrated", [False, True])
def test_a_frame_written_into_lent_memory_goes_in_without_a_copy(bench: Any, integrated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench(integrated=integrated)
    with one.open() as engine:
        first, second = engine.lend_input((1, 3, 64, 64)), engine.lend_input((1, 3, 64, 64))
        assert engine.lend_input((1, 3, 64, 64)) is None, "two at most: those that are written and that wait"
        assert not np.shares_memory(first, second)
        copied: list[Any] = []
        monkeypatch.setattr(np, "copyto", lambda *arrays: copied.append(arrays))
        first[:], second[:] = 3.0, 4.0
        engine.submit(second)
        engine.submit(first)
        engine.return_input(first)
        assert copied == []
        assert (engine.collect()["heatmaps"] == 4.0).all()
        assert (engine.collect()["heatmaps"] == 3.0).all()


@pytest.mark.parametrize("integrated", [False, True])
@pytest.mark.parametrize("submitted", [False, True])
def test_memory_that_is_lent_stays_while_another_thread_writes_and_the_engine_is_closed(
    bench: Any, integrated: bool, submitted: bool
) -> None:
    one = bench(integrated=integrated)
    engine = one.open()
    first, second = engine.lend_input((1, 3, 64, 64)), engine.lend_input((1, 3, 64, 64))
    lent = {first.ctypes.data, second.ctypes.data}
    closed, written = threading.Event(), threading.Event()

    def write() -> None:
        first[:] = 1.0
        closed.wait(10)
        first[:] = 2.0
        written.set()

    writer = threading.Thread(target=write)
    writer.start()
    engine.close()
    assert one.cuda.pinned == lent, "freed under the writer's hands, or kept for nobody"
    assert "cuDevicePrimaryCtxRelease" not in one.cuda.calls
    closed.set()
    writer.join(10)
    assert written.is_set()
    assert engine.lend_input((1, 3, 64, 64)) is None
    engine.return_input(second)
    if submitted:
        with pytest.raises(PosetrtError, match="this engine was closed"):
            engine.submit(first)
    else:
        engine.return_input(first)
    assert not one.cuda.pinned | set(one.cuda.memory), "the last one that comes back is freed, and all with it"
    engine.close()
    assert one.cuda.calls.count("cuDevicePrimaryCtxRelease") == 1


def test_lent_memory_comes_back_and_frames_of_the_caller_go_between(bench: Any) -> None:
    with bench().open() as engine:
        for value in range(1, 30):
            lent = engine.lend_input((1, 3, 64, 64))
            assert lent is not None
            lent[:] = value
            held = engine.infer(image(100 + value))["heatmaps"]
            if value % 3:
                assert (engine.infer(lent)["heatmaps"] == value).all()
            else:
                engine.return_input(lent)
                assert (held == 100 + value).all()
        assert engine.lend_input((1, 3, 32, 32)) is None, "of a shape that the engine does not take none is lent"
