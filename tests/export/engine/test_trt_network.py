"""A graph as TensorRT's own parser reads it (TensorRT for RTX, without a GPU): which tensors get a range, and which layers are held."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from posetrt.calib.int8.calibrate import calibrate
from posetrt.export.engine import trt_network
from posetrt.export.engine.tensorrt import read_ranges
from posetrt.export.graph.fused import with_uint8_input
from posetrt.export.graph.onnx_model import write_folder
from posetrt.export.heads.fuse import with_decoding
from posetrt.export.heads.user_graph import GraphOptions, model_from_onnx
from posetrt.runtime.engines.trt_log import Log, logger_for
from posetrt.runtime.model.folder import ModelFolder
from posetrt.runtime.model.shipped import shipped_model
from tests.tiny_model import tiny_graph, tiny_manifest
from tests.zoo_folders import zoo_folder

trt = pytest.importorskip("tensorrt_rtx")


class Parsed:
    """A graph (a model, or a file of one) inside TensorRT, with what must live beside it."""

    def __init__(self, model: Any, folder: Path) -> None:
        path = model if isinstance(model, Path) else folder / "graph.onnx"
        if path != model:
            onnx.save(model, str(path))
        log = Log()
        with log.listening():
            self.builder = trt.Builder(logger_for(trt))
            self.network = self.builder.create_network(0)
            self.parser = trt_network.parse(trt, self.network, logger_for(trt), log, path, "TensorRT for RTX")


def with_prelu() -> Any:
    """Convolution, PReLU with a slope per channel, convolution; and a product with a constant."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"], "conv1"),
        helper.make_node("PRelu", ["c1", "slope"], ["r1"], "prelu1"),
        helper.make_node("Mul", ["r1", "factor"], ["m1"], "scaled"),
        helper.make_node("Conv", ["m1", "w2"], ["maps"], "maps"),
    ]
    values = {
        "w1": rng.normal(0, 0.1, (4, 3, 3, 3)),
        "slope": np.array([0.1, -0.3, 0.2, 0.0]).reshape(4, 1, 1),
        "factor": np.full((1, 4, 1, 1), 2.5),
        "w2": rng.normal(0, 0.1, (5, 4, 1, 1)),
    }
    graph = helper.make_graph(
        nodes,
        "prelu",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, [1, 5, 14, 14])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_the_slopes_of_a_prelu_have_a_range_through_what_the_parser_puts_around_them(tmp_path: Path) -> None:
    """PReLU reads its slopes from a constant, broadcast; without ranges there TensorRT takes it out of int8, 99 times in BODY_25."""
    parsed = Parsed(with_prelu(), tmp_path)
    found = trt_network.ranges_of(trt, parsed.network, {"image": 1.0, "c1": 2.0, "r1": 2.0, "m1": 5.0, "maps": 0.5})
    names = [tensor.name for tensor in trt_network.float_tensors(trt, parsed.network)]
    assert [name for name in names if name not in found] == []
    prelu = next(layer for layer in trt_network.layers_of(parsed.network) if layer.type == trt.LayerType.PARAMETRIC_RELU)
    assert found[prelu.get_input(1).name] == pytest.approx(0.3)
    product = next(layer for layer in trt_network.layers_of(parsed.network) if layer.type == trt.LayerType.ELEMENTWISE)
    assert found[product.get_input(1).name] == pytest.approx(2.5)


def test_of_a_graph_that_decodes_only_what_computes_floats_is_held(tmp_path: Path) -> None:
    """OBEY on all 874 of 997 layers of the production network gave TensorRT as many reasons to refuse."""

    class Held:
        """A layer of RTX, which has no precision to set, with what is asked of it."""

        asked: list[Any]

        def __init__(self, layer: Any) -> None:
            self.layer, self.asked, self.type = layer, [], layer.type
            self.num_outputs, self.get_output, self.name = layer.num_outputs, layer.get_output, layer.name

        def set_output_type(self, index: int, precision: Any) -> None:
            self.asked.append(precision)

    class Module:
        """TensorRT for RTX with the one name more that a weakly typed TensorRT has."""

        LayerType, DataType = trt.LayerType, trt.DataType

        class ILayer:
            precision = None

    model, manifest = with_decoding(tiny_graph(), tiny_manifest(), 8)
    parsed = Parsed(model, tmp_path)
    ends = [Held(layer) for layer in trt_network.ends_of(trt, parsed.network, decodes=manifest.head.decoded_in_graph)]
    trt_network.hold(Module, ends, trt.DataType.FLOAT)
    kinds = {str(one.type).rsplit(".", 1)[-1] for one in ends if one.asked}
    assert {"ELEMENTWISE", "SELECT", "TOPK", "REDUCE"} <= kinds
    assert not kinds & {"SHUFFLE", "SLICE", "CONCATENATION", "GATHER", "CAST", "CONSTANT", "SHAPE", "IDENTITY"}
    assert 3 * len([one for one in ends if one.asked]) < len(ends)


def test_the_gathers_of_the_decoding_read_int32_cells(tmp_path: Path) -> None:
    model, _ = with_decoding(tiny_graph(), tiny_manifest(), 8)
    parsed = Parsed(model, tmp_path)
    gathers = [
        layer for layer in trt_network.layers_of(parsed.network) if layer.type == trt.LayerType.GATHER and "GatherElements" in layer.name
    ]
    assert len(gathers) == 3
    assert {layer.get_input(1).dtype for layer in gathers} == {trt.DataType.INT32}


def without_range(folder: ModelFolder, graph: Path, place: Path) -> list[str]:
    """Float tensors that an int8 build by ranges would leave without one, though nothing holds them in float."""
    parsed, ranges = Parsed(graph, place), read_ranges(folder)
    held = [*trt_network.ends_of(trt, parsed.network, decodes=folder.manifest().head.decoded_in_graph)]
    held += trt_network.named(parsed.network, ranges.kept_float)[0]
    known = trt_network.ranges_of(trt, parsed.network, ranges.amax)
    known |= {tensor.name: 1.0 for layer in held for tensor in trt_network.outputs_of(layer)}
    return [tensor.name for tensor in trt_network.float_tensors(trt, parsed.network) if tensor.name not in known]


def test_every_float_tensor_of_the_network_that_ships_has_a_range(tmp_path: Path) -> None:
    folder = ModelFolder(shipped_model())
    assert without_range(folder, folder.onnx, tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["openpose-body25", "trt-pose-resnet18"])
def test_every_float_tensor_of_a_network_that_decodes_has_a_range_or_is_held(name: str, shared_data: Path, tmp_path: Path) -> None:
    photographs = sorted((shared_data / "images").glob("*.jpg"))[:1]
    folder = zoo_folder(name, tmp_path / "m", size_wh=(128, 128), uint8=True, decode=True, photographs=photographs)
    assert without_range(folder, folder.variant("int8-base"), tmp_path) == []


@pytest.mark.slow
def test_every_float_tensor_of_the_production_network_has_a_range_or_is_held(hpe0001: Path, shared_data: Path, tmp_path: Path) -> None:
    model, manifest = model_from_onnx(hpe0001, GraphOptions(normalise="in-graph", size_wh=(456, 256)))
    folder = write_folder(*with_decoding(*with_uint8_input(model, manifest)), tmp_path / "m")
    calibrate(folder, sorted((shared_data / "images").glob("*.jpg"))[:1], method="minmax")
    assert without_range(folder, folder.variant("int8-base"), tmp_path) == []
