"""Engines that TensorRT for RTX builds without a GPU: the zoo in every pair of forms, and the one for production by name.

It parses and builds for real, strongly typed as TensorRT 11 is; its INT8 speed proves nothing.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from posetrt.calib.int8.calibrate import calibrate
from posetrt.export.engine.request import BuildRequest
from posetrt.export.engine.tensorrt import build_engine
from posetrt.export.graph.fused import with_uint8_input
from posetrt.export.graph.onnx_model import write_folder
from posetrt.export.heads.fuse import with_decoding
from posetrt.export.heads.user_graph import GraphOptions, model_from_onnx
from posetrt.export.weights.zoo import find_network, names
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.model.sidecar import check_engine_file, read_sidecar
from tests.tiny_model import save, tiny_folder, tiny_graph, tiny_manifest
from tests.zoo_folders import zoo_folder

pytest.importorskip("tensorrt_rtx")

GRAPHS = {"fp32": "model.onnx", "fp16": "variants/fp16.onnx", "int8": "variants/int8-trt-fp16.onnx"}
# network, precision, dynamic size, uint8 input, decodes
FACTORS: tuple[tuple[Any, ...], ...] = (tuple(names()), ("fp32", "fp16", "int8"), (False, True), (False, True), (False, True))
Case = tuple[Any, ...]


def possible(case: Case) -> bool:
    """A network with its centre map inside has one size."""
    return not (find_network(case[0]).fixed and case[2])


def pairs(case: Case) -> set[tuple[int, Any, int, Any]]:
    return {(a, case[a], b, case[b]) for a, b in itertools.combinations(range(len(case)), 2)}


def pairwise() -> list[Case]:
    """Few cases that hold every possible pair of two factors' values, chosen greedily and always the same."""
    everything = [case for case in itertools.product(*FACTORS) if possible(case)]
    wanted = set().union(*map(pairs, everything))
    chosen: list[Case] = []
    while wanted:
        best = max(everything, key=lambda case: len(pairs(case) & wanted))
        chosen.append(best)
        wanted -= pairs(best)
    return chosen


def test_the_cases_hold_every_pair() -> None:
    found = set().union(*map(pairs, pairwise()))
    assert {name for index, name, _, _ in found if index == 0} == set(names())
    for name, precision in itertools.product(names(), GRAPHS):
        assert (0, name, 1, precision) in found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "precision", "dynamic", "uint8", "decode"), pairwise())
def test_the_zoo_is_built_in_every_pair_of_forms(
    shared_data: Path, tmp_path: Path, name: str, precision: Any, dynamic: bool, uint8: bool, decode: bool
) -> None:
    step = find_network(name).multiple
    side = max(2 * step, -(-128 // step) * step)
    photographs = sorted((shared_data / "images").glob("*.jpg"))[:2] if precision == "int8" else ()
    folder = zoo_folder(name, tmp_path / "m", size_wh=(side, side), dynamic=dynamic, uint8=uint8, decode=decode, photographs=photographs)
    built = build_engine(folder, BuildRequest(precision, sm=86))
    assert built.sidecar.graph == GRAPHS[precision]
    assert built.plan.profile.dynamic == dynamic
    assert len(built.plan.profile.best) == 4
    assert built.plan.profile.best[-1 if uint8 else 1] == 3
    check_engine_file(built.engine, read_sidecar(built.engine))
    assert built.engine.stat().st_size > 100_000


def test_the_production_engine_is_built(hpe0001: Path, shared_data: Path, tmp_path: Path) -> None:
    """hpe0001 in INT8 with FP16 around it, taking the camera's bytes and giving peaks and pair scores."""
    model, manifest = model_from_onnx(hpe0001, GraphOptions(normalise="in-graph", size_wh=(456, 256)))
    model, manifest = with_decoding(*with_uint8_input(model, manifest))
    folder = write_folder(model, manifest, tmp_path / "person")
    calibrate(folder, sorted((shared_data / "images").glob("*.jpg"))[:2], method="minmax")
    shares: list[float] = []
    built = build_engine(folder, BuildRequest("int8", sm=86), report=lambda share, phase: shares.append(share))
    assert built.engine.name.startswith("any-sm86_rtx")
    assert built.engine.name.endswith("_int8.engine")
    sidecar = read_sidecar(built.engine)
    assert sidecar.graph == "variants/int8-trt-fp16.onnx"
    assert sidecar.made_from["calibration"] == folder.hashes()["calibration"]
    assert sidecar.options["profile"][0] == [1, 256, 456, 3]
    assert dict(sidecar.manifest.head.outputs) == {"peaks": "peaks", "pairs": "pairs"}
    assert shares == sorted(shares), "progress never goes back"
    assert shares[-1] > 0.8


@pytest.mark.slow
def test_body25_in_float16_is_built_in_under_a_minute(tmp_path: Path) -> None:
    folder = zoo_folder("openpose-body25", tmp_path / "m", size_wh=(656, 368))
    began = time.perf_counter()
    build_engine(folder, BuildRequest("fp16", sm=86))
    assert time.perf_counter() - began < 60


def test_a_dynamic_size_and_batch_are_in_the_profile(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m", dynamic=True)
    built = build_engine(folder, BuildRequest("fp32", sm=89, opt_batch=2, max_wh=(80, 72)))
    assert built.sidecar.options["profile"] == [[1, 3, 32, 32], [2, 3, 64, 64], [2, 3, 72, 80]]
    assert built.sidecar.device == {"sm": 89, "name": "any", "dla": None}


def test_an_operator_that_tensorrt_lacks_is_named_with_its_node(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    folder = tiny_folder(tmp_path / "m")
    model = tiny_graph()
    model.graph.node.append(helper.make_node("Det", ["heatmaps"], ["det"], "behind/determinant"))
    model.graph.output.append(helper.make_tensor_value_info("det", TensorProto.FLOAT, [1, 19]))
    save(folder.onnx, model, tiny_manifest())
    with pytest.raises(PosetrtError, match=r'node "behind/determinant" \(Det\).*Export the network again') as refused:
        build_engine(folder, BuildRequest("fp32", sm=86))
    assert "\n" not in str(refused.value)
    assert not folder.engines.exists()


def test_a_truncated_graph_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m")
    # The manifest stands behind the weights in the file: keep it, and spoil a node.
    data = bytearray(folder.onnx.read_bytes())
    place = data.index(b"Conv")
    data[place : place + 4] = b"Xonv"
    folder.onnx.write_bytes(bytes(data))
    with pytest.raises(PosetrtError, match="Xonv"):
        build_engine(folder, BuildRequest("fp32", sm=86))
    assert not folder.engines.exists()


def test_an_interrupted_build_leaves_the_engine_that_was_there(tmp_path: Path) -> None:
    import signal

    folder = tiny_folder(tmp_path / "m")
    built = build_engine(folder, BuildRequest("fp32", sm=86))
    before = built.engine.read_bytes()

    def stop(share: float, phase: str) -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        build_engine(folder, BuildRequest("fp32", sm=86, opt_level=0), report=stop)
    assert built.engine.read_bytes() == before
    assert sorted(path.name for path in folder.engines.iterdir()) == [built.engine.name, built.engine.name + ".json"]
