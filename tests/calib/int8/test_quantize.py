"""The Q/DQ graphs: what each engine's layout must look like, and that it computes what the float graph does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from posetrt.calib.int8.calibrate import calibrate, folder_calibration, write_variants
from posetrt.calib.int8.elu import spread_elus
from posetrt.calib.int8.equalise import divisors, equalised, not_equalised, watched
from posetrt.calib.int8.kept import kept_by_default
from posetrt.calib.int8.photographs import read_photograph
from posetrt.calib.int8.plan import eight_bit_layers, eight_bit_share
from posetrt.calib.int8.quantize import quantize
from posetrt.calib.int8.ranges import Range
from posetrt.calib.int8.trained import trained_ranges
from posetrt.export.graph.float16 import half_around_int8
from posetrt.export.graph.graph import Graph, load_graph
from posetrt.runtime.engines.onnxruntime import open_session
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.model.folder import ModelFolder
from posetrt.runtime.picture import network_input


@pytest.fixture
def calibrated(small_folder: ModelFolder, pictures: list[Path]) -> ModelFolder:
    calibrate(small_folder, pictures)
    return small_folder


def run(model: Any, tensor: np.ndarray, optimised: Path | None = None) -> list[np.ndarray]:
    def configure(options: Any) -> None:
        if optimised is not None:
            options.optimized_model_filepath = str(optimised)

    data = model if isinstance(model, (str, bytes)) else model.SerializeToString()
    session = open_session(data, configure)
    return session.run(None, {session.get_inputs()[0].name: tensor})


def first_input(folder: ModelFolder, pictures: list[Path]) -> np.ndarray:
    return network_input(read_photograph(pictures[0]), folder.manifest().input)


def test_the_equalised_graph_computes_what_the_model_does(calibrated: ModelFolder, pictures: list[Path]) -> None:
    tensor = first_input(calibrated, pictures)
    reference, found = run(str(calibrated.onnx), tensor), run(str(calibrated.variant("int8-base")), tensor)
    for one, other in zip(reference, found, strict=True):
        assert np.abs(one - other).max() <= 1e-5 * np.ptp(one)
    changed = load_graph(calibrated.variant("int8-base")).constants["first.weight"] / load_graph(calibrated.onnx).constants["first.weight"]
    assert changed[3].mean() < 0.2, "the channel that is 40 times too large must have been divided"


def test_a_scale_does_not_pass_an_elu_and_the_file_says_so(calibrated: ModelFolder) -> None:
    calibration = folder_calibration(calibrated)
    assert "first" in calibration.scales
    assert "smooth" not in calibration.scales
    assert calibration.not_equalised == {"smooth/out": "Elu does not let a scale through"}


def test_a_float_reader_beside_the_depthwise_one_forbids_scaling(small_folder: ModelFolder) -> None:
    model = onnx.load(str(small_folder.onnx))
    model.graph.node.append(onnx.helper.make_node("Sigmoid", ["first/out"], ["gate"], "gate"))
    onnx.save(model, str(small_folder.onnx))
    graph = load_graph(small_folder.onnx)
    assert "first/out" not in watched(graph)
    assert "Sigmoid gate" in not_equalised(graph)["first/out"]


@pytest.mark.parametrize("constant", ["first.bias", "depth.bias", "first.weight", "depth.weight"])
def test_a_layer_that_shares_its_weights_or_bias_is_scaled_in_a_copy_of_them(
    constant: str, small_folder: ModelFolder, pictures: list[Path]
) -> None:
    model = onnx.load(str(small_folder.onnx))
    layer = constant.split(".")[0]
    source, channels = {"first": ("normalised", 1), "depth": ("first/out", 8)}[layer]
    inputs = [source, f"{layer}.weight", *([constant] if constant.endswith("bias") else [])]
    model.graph.node.append(onnx.helper.make_node("Conv", inputs, ["tied"], "tied", group=channels))
    model.graph.output.append(onnx.helper.make_tensor_value_info("tied", onnx.TensorProto.FLOAT, [1, "c", "h", "w"]))
    onnx.save(model, str(small_folder.onnx))
    calibrate(small_folder, pictures)
    assert "first" in folder_calibration(small_folder).scales
    tensor = first_input(small_folder, pictures)
    for one, other in zip(run(str(small_folder.onnx), tensor), run(str(small_folder.variant("int8-base")), tensor), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * np.ptp(one))


def linked_graph(*, high: float | None = None) -> Graph:
    """Two convolutions joined by a concatenation and a sum, or one behind a clip, in front of a depthwise convolution."""
    random = np.random.default_rng(0)
    constants = {name: random.standard_normal((4, 3, 1, 1)).astype(np.float32) for name in ("a", "b", "c")}
    if high is not None:
        constants["low"], constants["high"] = np.float32(0), np.float32(high)
        nodes = [("Conv", ["x", "a"], "a/out", {}), ("Clip", ["a/out", "low", "high"], "joined", {})]
    else:
        nodes = [(name, ["x", weight], f"{weight}/out", {}) for name, weight in (("Conv", "a"), ("Conv", "b"), ("Conv", "c"))]
        nodes += [("Add", ["a/out", "b/out"], "sum", {}), ("Concat", ["sum", "c/out"], "joined", {"axis": 1})]
    channels = 4 if high is not None else 8
    constants["depth"] = random.standard_normal((channels, 1, 3, 3)).astype(np.float32)
    nodes.append(("Conv", ["joined", "depth"], "y", {"group": channels, "pads": [1] * 4}))
    made = [onnx.helper.make_node(kind, inputs, [output], output, **named) for kind, inputs, output, named in nodes]
    info = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, size, 8, 8]) for name, size in (("x", 3), ("y", channels))]
    weights = [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = onnx.helper.make_graph(made, "linked", info[:1], info[1:], weights)
    return Graph(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), "linked.onnx")


def test_a_scale_passes_a_sum_to_both_operands_and_a_concatenation_piece_by_piece() -> None:
    graph = linked_graph()
    scales = divisors(graph, {"joined": np.array([[1, 2, 40, 1, 1, 1, 1, 30]], np.float32)})
    np.testing.assert_allclose(scales["a/out"], scales["b/out"])
    assert scales["a/out"][2] == 40
    assert scales["c/out"][3] == 30
    tensor = np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(run(graph.model, tensor)[0], run(equalised(graph, scales).model, tensor)[0], atol=1e-5)


def test_a_scale_passes_a_clip_only_upwards_and_only_until_the_channel_reaches_it() -> None:
    graph = linked_graph(high=6.0)
    tensor = np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype(np.float32)
    sources = np.maximum(np.einsum("oi,ihw->ohw", graph.constants["a"][..., 0, 0], tensor[0]), 0).max(axis=(1, 2))
    assert sources.max() < 6
    scales = divisors(graph, {"joined": np.array([[*sources[:3], 6.0]], np.float32)})["a/out"]
    assert scales[3] == 1, "a channel that the clip cuts keeps its scale"
    assert (scales[:3] <= 1).all()
    np.testing.assert_allclose(sources[:3] / scales[:3], 6, rtol=1e-5)
    scales[3] = 1
    np.testing.assert_allclose(run(graph.model, tensor)[0], run(equalised(graph, {"a/out": scales}).model, tensor)[0], atol=1e-5)


def test_a_sum_does_not_round_what_a_layer_kept_in_float_writes_but_for_a_depthwise_one() -> None:
    graph = linked_graph()
    ranges = {name: Range(-9, 9, 9, "mse", -9, 9) for name in graph.float_tensors}

    def rounded(kept: tuple[str, ...]) -> set[str]:
        return {node.input[0] for node in quantize(graph, ranges, "ort", kept).graph.node if node.op_type == "QuantizeLinear"}

    assert {"a/out", "b/out", "sum"} <= rounded(())
    assert "a/out" not in rounded(("a/out",))
    assert "sum" in rounded(("a/out",)), "the concatenation behind it is in 8 bits"


def test_onnx_runtime_computes_every_convolution_in_8_bits(small_folder: ModelFolder, pictures: list[Path], tmp_path: Path) -> None:
    calibrate(small_folder, pictures, all_int8=True)
    tensor = first_input(small_folder, pictures)
    found = run(str(small_folder.variant("int8-ort")), tensor, tmp_path / "optimised.onnx")
    kinds = Counter(node.op_type for node in onnx.load(str(tmp_path / "optimised.onnx")).graph.node)
    assert kinds["QLinearConv"] == 10
    assert kinds["QLinearAdd"] == kinds["QLinearConcat"] == 1
    assert kinds["Conv"] + kinds["FusedConv"] + kinds["Relu"] == 0
    for one, other in zip(run(str(small_folder.onnx), tensor), found, strict=True):
        assert np.abs(one - other).mean() < 0.03 * np.ptp(one)


def test_activations_of_onnx_runtimes_layout_are_unsigned_and_of_tensorrts_signed_around_zero(calibrated: ModelFolder) -> None:
    for name, kind in (("int8-ort", np.uint8), ("int8-trt", np.int8)):
        graph = load_graph(calibrated.variant(name))
        quantisers = [node for node in graph.nodes if node.op_type == "QuantizeLinear"]
        assert quantisers
        for node in quantisers:
            zero = graph.constants[node.input[2]]
            assert zero.dtype == kind
            assert kind == np.uint8 or zero == 0


def test_tensorrts_layout_puts_nothing_between_conv_and_activation_and_shares_scales(
    small_folder: ModelFolder, pictures: list[Path]
) -> None:
    calibrate(small_folder, pictures, all_int8=True)
    graph = load_graph(small_folder.variant("int8-trt"))

    def scale_before(name: str) -> float:
        node = graph.producers[name]
        assert node.op_type == "DequantizeLinear", f"{name} comes from {node.op_type}"
        return float(graph.constants[node.input[1]])

    for node in graph.nodes:
        if node.op_type == "Conv":
            weight = graph.producers[node.input[1]]
            assert weight.op_type == "DequantizeLinear"
            assert graph.constants[weight.input[1]].shape == (graph.constants[weight.input[0]].shape[0],), "a scale an output channel"
            assert graph.constants[node.input[2]].dtype == np.float32, "TensorRT takes no int32 bias"
            scale_before(node.input[0])
            if any(reader.op_type == "Relu" for reader in graph.consumers.get(node.output[0], [])):
                assert len(graph.consumers[node.output[0]]) == 1, "a ReLU is fused into the convolution before anything is rounded"
        if node.op_type == "Add" and node.name == "residual":
            assert len({scale_before(name) for name in node.input}) == 1
        if node.op_type == "Concat":
            scales = {scale_before(name) for name in node.input}
            behind = next(reader for reader in graph.consumers[node.output[0]] if reader.op_type == "QuantizeLinear")
            assert scales == {float(graph.constants[behind.input[1]])}
    assert "heatmaps" not in graph.consumers
    assert graph.producers["heatmaps"].op_type == "Conv", "the network's outputs stay float"


def test_a_layer_kept_in_float_has_no_rounding_on_its_way_in(calibrated: ModelFolder, pictures: list[Path], tmp_path: Path) -> None:
    base, calibration = load_graph(calibrated.variant("int8-base")), folder_calibration(calibrated)
    for layout in ("ort", "trt"):
        graph_of = quantize(base, calibration.ranges, layout, ["point"])
        node = next(node for node in graph_of.graph.node if node.name == "point")
        assert node.input[1] == "point.weight"
        assert not node.input[0].endswith("dequantized")
    shapes = {layer.activated: (1, 1, 12, 16) for layer in base.layers}
    run(quantize(base, calibration.ranges, "ort", ["point"]), first_input(calibrated, pictures), tmp_path / "optimised.onnx")
    kinds = Counter(node.op_type for node in onnx.load(str(tmp_path / "optimised.onnx")).graph.node)
    assert kinds["QLinearConv"] == 8, "in ONNX Runtime's layout the layer that feeds it computes in float too"
    assert eight_bit_share(base, "ort", ["point"], shapes) < eight_bit_share(base, "trt", ["point"], shapes) < 1


def test_onnx_runtime_puts_no_kept_layer_back_into_int8(calibrated: ModelFolder, pictures: list[Path]) -> None:
    base, calibration = load_graph(calibrated.variant("int8-base")), folder_calibration(calibrated)
    tensor = first_input(calibrated, pictures)
    for kept in (["point"], ["smooth", "side"], ["heatmaps"]):
        model = quantize(base, calibration.ranges, "ort", kept).SerializeToString()
        by_default = open_session(model).run(None, {"image": tensor})
        for one, other in zip(by_default, run(model, tensor), strict=True):
            np.testing.assert_array_equal(one, other, "its WeightBiasQuantization would requantise a float layer between 8-bit tensors")


def shapes_of(graph: Graph) -> dict[str, tuple[int, ...]]:
    typed = onnx.shape_inference.infer_shapes(graph.model).graph
    return {value.name: tuple(one.dim_value for one in value.type.tensor_type.shape.dim) for value in (*typed.value_info, *typed.output)}


def test_the_few_cheap_layers_that_cost_most_stay_in_float(hpe_folder: ModelFolder) -> None:
    graph = load_graph(hpe_folder.onnx)
    shapes = shapes_of(graph)
    kept = {layout: set(kept_by_default(graph, shapes, layout)) for layout in ("ort", "trt")}
    # Read at half resolution or more; the one that reads both stages' maps and features.
    few = {"conv1", "conv2_1/dw", "conv2_1/sep", "conv2_2/dw", "Mconv1_stage2_L1/sq/WithoutBiases"}
    # ONNX Runtime's layout makes the output maps in float by itself.
    assert kept["ort"] == few
    assert kept["trt"] == {*few, "Mconv7_stage2_L1/WithoutBiases", "Mconv7_stage2_L2/WithoutBiases"}
    for layout in ("ort", "trt"):
        assert 0.97 < eight_bit_share(graph, layout, kept[layout], shapes) < 0.99


def test_the_maps_that_people_are_read_from_are_not_rounded(hpe_folder: ModelFolder, pictures: list[Path], tmp_path: Path) -> None:
    graph = load_graph(hpe_folder.onnx)
    ranges = dict.fromkeys(graph.float_tensors, Range(0, 10, 10, "minmax", 0, 10))
    makers = {"Mconv7_stage2_L1/WithoutBiases", "Mconv7_stage2_L2/WithoutBiases"}
    assert {layer.name for layer in graph.layers} - eight_bit_layers(graph, "ort", ()) == makers
    # Not for the price of the layers before them, which are seven times as large: those compute in 8 bits still.
    model, tensor = quantize(graph, ranges, "ort"), first_input(hpe_folder, pictures)
    found = run(model, tensor, tmp_path / "optimised.onnx")
    kinds = Counter(node.op_type for node in onnx.load(str(tmp_path / "optimised.onnx")).graph.node)
    assert kinds["QLinearConv"] == len(graph.layers) - 2
    by_default = open_session(model.SerializeToString()).run(None, {"data": tensor})
    for one, other in zip(by_default, found, strict=True):
        np.testing.assert_array_equal(one, other, "its optimiser must not round them again")
    assert all(len(np.unique(maps)) > 1000 for maps in found), "8 bits have 256 values"


def test_an_elu_in_simple_operators_is_the_elu(calibrated: ModelFolder) -> None:
    values = np.concatenate([np.linspace(-30, 30, 4001), [0.0, -0.0, -1e-9, 1e-9, 80, -100]]).astype(np.float32)
    info = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, values.shape) for name in ("x", "y", "z")]
    nodes = [onnx.helper.make_node("Elu", ["x"], ["y"]), onnx.helper.make_node("Elu", ["x"], ["z"], alpha=2.0)]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "elus", info[:1], info[1:]), opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    wanted = ReferenceEvaluator(model).run(None, {"x": values})
    spread_elus(model)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Min", "Exp", "Sub", "Max", "Elu"], (
        "where alpha is 2 the maximum is another function"
    )
    for one, other in zip(wanted, run(model, values), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)
    assert "Elu" not in {node.op_type for node in load_graph(calibrated.variant("int8-ort")).nodes}
    assert "Elu" in {node.op_type for node in load_graph(calibrated.variant("int8-trt")).nodes}, "TensorRT fuses it"


def test_no_layer_that_matters_for_the_time_is_kept_unasked(calibrated: ModelFolder) -> None:
    graph, calibration = load_graph(calibrated.onnx), folder_calibration(calibrated)
    assert calibration.kept_float == calibration.kept_float_ort == ("soft_depth",), (
        "a depthwise one that could not be equalised, with 2 % of the multiply-adds at most; each other layer takes more"
    )
    assert len([node for node in load_graph(calibrated.variant("int8-trt")).nodes if node.op_type == "DequantizeLinear"]) > len(
        graph.layers
    )


def test_everything_kept_in_float_is_the_float_graph(calibrated: ModelFolder, pictures: list[Path]) -> None:
    base, calibration = load_graph(calibrated.variant("int8-base")), folder_calibration(calibrated)
    tensor = first_input(calibrated, pictures)
    for layout in ("ort", "trt"):
        model = quantize(base, calibration.ranges, layout, [layer.name for layer in base.layers])
        for one, other in zip(run(base.model, tensor), run(model, tensor), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5 * np.ptp(one))


def test_a_range_that_is_missing_is_named(calibrated: ModelFolder) -> None:
    base, calibration = load_graph(calibrated.variant("int8-base")), folder_calibration(calibrated)
    ranges = {name: one for name, one in calibration.ranges.items() if name != "depth/out"}
    with pytest.raises(PosetrtError, match=r"'depth/out'.*posetrt calibrate"):
        quantize(base, ranges, "trt")


def test_float16_around_int8_keeps_the_types_that_tensorrt_11_needs(calibrated: ModelFolder, pictures: list[Path]) -> None:
    model = onnx.load(str(calibrated.variant("int8-trt-fp16")))
    assert model.opset_import[0].version == 19
    graph = load_graph(calibrated.variant("int8-trt-fp16"))
    halves = {value.name for value in onnx.shape_inference.infer_shapes(model).graph.value_info if value.type.tensor_type.elem_type == 10}
    for node in graph.nodes:
        if node.op_type == "Conv":
            assert node.output[0] in halves
        if node.op_type == "DequantizeLinear":
            assert graph.constants[node.input[1]].dtype == np.float16
    assert {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)} == {onnx.TensorProto.FLOAT}
    tensor = first_input(calibrated, pictures)
    for one, other in zip(
        run(str(calibrated.variant("int8-trt")), tensor), run(str(calibrated.variant("int8-trt-fp16")), tensor), strict=True
    ):
        assert np.abs(one - other).mean() < 0.02 * np.ptp(one)


def test_a_float_layer_that_float16_cannot_hold_leaves_float32_around_int8_and_no_graph_of_before(
    calibrated: ModelFolder, pictures: list[Path]
) -> None:
    graph = load_graph(calibrated.onnx)
    (layer,) = (one for one in graph.layers if one.name == "heatmaps")
    assert calibrated.variant("int8-trt-fp16").is_file()
    onnx.save(graph.with_constants({layer.weight: graph.constants[layer.weight] * np.float32(1e8)}).model, str(calibrated.onnx))
    made = calibrate(calibrated, pictures, write=False).calibration
    write_variants(calibrated, made.keeping(("heatmaps",), ()))
    assert calibrated.checked_variant("int8-trt").is_file()
    assert not calibrated.variant("int8-trt-fp16").exists()


def test_a_weight_too_large_for_float16_is_named(calibrated: ModelFolder) -> None:
    model = onnx.load(str(calibrated.variant("int8-trt")))
    for tensor in model.graph.initializer:
        if tensor.name.startswith(("head.bias", "head/bias")):
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.full(16, 1e6, np.float32), tensor.name))
    with pytest.raises(PosetrtError, match=r"head.bias.*float16"):
        half_around_int8(model, "int8-trt.onnx")


def test_ranges_of_a_graph_that_another_tool_quantised_are_read(small_folder: ModelFolder, pictures: list[Path], tmp_path: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.waiting = [{"image": network_input(read_photograph(path), small_folder.manifest().input)} for path in pictures]

        def get_next(self) -> Any:
            return self.waiting.pop() if self.waiting else None

    target = tmp_path / "trained.onnx"
    quantize_static(str(small_folder.onnx), str(target), Reader(), QuantFormat.QDQ, activation_type=QuantType.QUInt8, per_channel=True)
    ranges = trained_ranges(target, load_graph(small_folder.onnx))
    theirs = load_graph(target)
    made = calibrate(small_folder, pictures, method="minmax", equalise=False).calibration
    for name in ("first/out", "depth/out", "smooth/out", "joined"):
        node = next(node for node in theirs.nodes if node.op_type == "QuantizeLinear" and node.input[0] == name)
        assert ranges[name].high - ranges[name].low == pytest.approx(255 * float(theirs.constants[node.input[1]]), rel=1e-6)
        assert ranges[name].high == pytest.approx(made.ranges[name].high, rel=0.01), "both tools saw the same minimum and maximum"
    again = calibrate(small_folder, pictures, trained=target).calibration
    assert again.ranges["depth/out"] == ranges["depth/out"]
    assert not again.scales, "ranges of a trained graph hold for its own channels"


def test_a_float_model_has_no_trained_ranges(small_folder: ModelFolder) -> None:
    with pytest.raises(PosetrtError, match="no QuantizeLinear"):
        trained_ranges(small_folder.onnx, load_graph(small_folder.onnx))
