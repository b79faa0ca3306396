"""One graph in the many forms that exporters write it in: each becomes the float16, the Q/DQ and the decoding graph alike."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from posetrt.calib.int8.calibrate import find_ranges, write_variants
from posetrt.calib.int8.calibration import Calibration
from posetrt.calib.int8.observe import observe
from posetrt.export.graph.canonical import canonical, in_run_order
from posetrt.export.graph.float16 import to_fp16
from posetrt.export.graph.fused import with_uint8_input
from posetrt.export.graph.graph import load_graph
from posetrt.export.graph.onnx_file import all_nodes
from posetrt.export.graph.onnx_model import run_plainly, write_folder
from posetrt.export.graph.opset import in_opset, opset_of
from posetrt.export.heads.fuse import with_decoding
from posetrt.export.heads.user_graph import GraphOptions, model_from_onnx
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.files import sha256_of
from tests.running import run_onnx

SIZE_WH = (64, 48)


def network() -> onnx.ModelProto:
    """Two convolutions joined through an upsampling whose scales are a Constant node; a bias that three layers share; names that are numbers;
    an initialiser that nobody reads, and one that is an input too."""
    random = np.random.default_rng(5)
    weights = {
        name: random.normal(0, 0.3, shape)
        for name, shape in {"7": (8, 3, 3, 3), "9": (8, 8, 3, 3), "11": (19, 8, 1, 1), "13": (38, 8, 1, 1)}.items()
    }
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    tensors += [numpy_helper.from_array(np.zeros(8, np.float32), "zero"), numpy_helper.from_array(np.ones(3, np.float32), "unused")]
    nodes = [
        helper.make_node("Conv", ["image", "7", "zero"], ["20"], strides=[4, 4], pads=[1] * 4),
        helper.make_node("Relu", ["20"], ["21"]),
        helper.make_node("Conv", ["21", "9", "zero"], ["22"], strides=[2, 2], pads=[1] * 4),
        helper.make_node("Constant", [], ["23"], value=numpy_helper.from_array(np.float32([1, 1, 2, 2]))),
        helper.make_node("Resize", ["22", "", "23"], ["24"], mode="linear"),
        helper.make_node("Constant", [], ["25"], value_float=0.5),
        helper.make_node("Mul", ["24", "25"], ["26"]),
        helper.make_node("Add", ["21", "26"], ["27"]),
        helper.make_node("Conv", ["27", "11"], ["28"]),
        helper.make_node("Conv", ["27", "13"], ["29"]),
    ]
    width, height = SIZE_WH
    return helper.make_model(
        helper.make_graph(
            nodes,
            "forms",
            [
                helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, height, width]),
                helper.make_tensor_value_info("7", TensorProto.FLOAT, [8, 3, 3, 3]),
            ],
            [
                helper.make_tensor_value_info("28", TensorProto.FLOAT, [1, 19, None, None]),
                helper.make_tensor_value_info("29", TensorProto.FLOAT, [1, 38, None, None]),
            ],
            tensors,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


def with_a_branch() -> onnx.ModelProto:
    """The same, with one addition inside the branch of an If that reads tensors from around it."""
    model = network()
    branches = [
        helper.make_graph(
            [helper.make_node("Add", ["21", "26"], [f"{name}_sum"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_sum", TensorProto.FLOAT, None)],
        )
        for name in ("yes", "no")
    ]
    model.graph.initializer.append(numpy_helper.from_array(np.bool_(True), "always"))
    model.graph.node[7].CopyFrom(helper.make_node("If", ["always"], ["27"], then_branch=branches[0], else_branch=branches[1]))
    return model


def with_a_function() -> onnx.ModelProto:
    """The same, with the addition in a function of the file's own."""
    model = network()
    body = helper.make_function(
        "own", "Sum2", ["a", "b"], ["c"], [helper.make_node("Add", ["a", "b"], ["c"])], [helper.make_opsetid("", 17)]
    )
    model.functions.append(body)
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.graph.node[7].CopyFrom(helper.make_node("Sum2", ["21", "26"], ["27"], domain="own"))
    return model


def with_optional_ends() -> onnx.ModelProto:
    """The same, with a dropout whose inputs and mask are left empty."""
    model = network()
    model.graph.node[1].CopyFrom(helper.make_node("Dropout", ["20", "", ""], ["20b", ""]))
    model.graph.node.insert(2, helper.make_node("Relu", ["20b"], ["21"]))
    return model


def as_ir_3() -> onnx.ModelProto:
    """The same as old files have it: IR 3, each initialiser an input too."""
    model = network()
    known = {value.name for value in model.graph.input}
    model.graph.input.extend(
        helper.make_tensor_value_info(one.name, one.data_type, list(one.dims)) for one in model.graph.initializer if one.name not in known
    )
    model.ir_version = 3
    return model


FORMS: list[Callable[[], onnx.ModelProto]] = [network, with_a_branch, with_a_function, with_optional_ends, as_ir_3]


@pytest.fixture(params=FORMS, ids=lambda form: form.__name__)
def exported(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Any]:
    path = tmp_path / "own.onnx"
    onnx.save(request.param(), str(path))
    return model_from_onnx(path, GraphOptions(normalise="in-graph"))


def image() -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 1, (1, 3, SIZE_WH[1], SIZE_WH[0])).astype(np.float32)


def near(one: np.ndarray, other: np.ndarray, share: float) -> bool:
    return bool(np.abs(one - other).max() <= share * np.ptp(one))


def test_every_form_becomes_the_fp16_and_the_decoding_graph(exported: tuple[Any, Any]) -> None:
    model, manifest = exported
    half = to_fp16(model)
    types = {tensor.data_type for tensor in half.graph.initializer if len(tensor.dims) == 4}
    assert types == {TensorProto.FLOAT16}
    for one, other in zip(run_onnx(model, image()).values(), run_onnx(half, image()).values(), strict=True):
        assert near(one, other, 0.01)
    decoding, _ = with_decoding(*with_uint8_input(model, manifest))
    pixels = np.random.default_rng(2).integers(0, 256, (1, SIZE_WH[1], SIZE_WH[0], 3)).astype(np.uint8)
    full, found = run_onnx(decoding, pixels), run_onnx(to_fp16(decoding), pixels)
    assert {name: value.shape for name, value in full.items()} == {name: value.shape for name, value in found.items()}


def test_every_form_becomes_the_equalised_and_the_int8_graphs(exported: tuple[Any, Any], tmp_path: Path) -> None:
    model, manifest = exported
    folder = write_folder(model, manifest, tmp_path / "person")
    graph = load_graph(folder.onnx)
    seen = observe(graph, [(Path("a"), image())])
    ranges = find_ranges(graph, seen, "minmax")
    write_variants(folder, Calibration(sha256_of(folder.onnx), "minmax", SIZE_WH, {}, ranges), graph)
    expected = run_onnx(model, image())
    for name, share in (("int8-base", 1e-4), ("int8-ort", 0.1), ("int8-trt", 0.1), ("int8-trt-fp16", 0.1)):
        found = run_onnx(onnx.load(str(folder.checked_variant(name))), image())
        assert all(near(expected[key], found[key], share) for key in expected), name


@pytest.mark.slow
@pytest.mark.parametrize("exporter", ["torchscript", "dynamo", "torchscript, free size"])
def test_what_pytorchs_exporters_write_with_upsampling_layers_is_taken(exporter: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if exporter == "dynamo":
        pytest.importorskip("onnxscript")
    functional = torch.nn.functional

    class Net(torch.nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.Conv2d(8, 8, 3, 2, 1)
            self.norm, self.slope = torch.nn.BatchNorm2d(8), torch.nn.PReLU(8)
            self.heat, self.fields = torch.nn.Conv2d(16, 19, 1), torch.nn.Conv2d(16, 38, 1)

        def forward(self, x: Any) -> Any:
            near = functional.relu(self.a(x))
            far = self.slope(self.norm(self.b(near)))
            up = functional.interpolate(far, size=near.shape[2:], mode="bilinear", align_corners=False)
            joined = torch.cat([near, up + functional.interpolate(far, scale_factor=2.0, mode="nearest")], 1)
            return self.heat(joined), self.fields(joined)

    net, example, path = Net().eval(), torch.zeros(1, 3, 48, 64), tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "dynamo":
            torch.onnx.export(net, (example,), dynamo=True, verbose=False).save(str(path))
        else:
            buffer = io.BytesIO()
            axes = {"image": {0: "n", 2: "h", 3: "w"}} if "free" in exporter else None
            torch.onnx.export(net, example, buffer, dynamo=False, opset_version=17, input_names=["image"], dynamic_axes=axes)
            path.write_bytes(buffer.getvalue())
    model, manifest = model_from_onnx(path, GraphOptions(normalise="imagenet", size_wh=SIZE_WH, dynamic="free" in exporter))
    for one, other in zip(run_onnx(model, image()).values(), run_onnx(to_fp16(model), image()).values(), strict=True):
        assert near(one, other, 0.01)
    to_fp16(with_decoding(*with_uint8_input(model, manifest))[0])


def test_sizes_that_a_graph_computes_in_float_stay_float32() -> None:
    """A width of 4100 px is 4100 in float32 and 4096 or 4104 in float16."""
    nodes = [
        helper.make_node("Shape", ["image"], ["shape"], "shape"),
        helper.make_node("Cast", ["shape"], ["float"], "float", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "one"], ["scaled"], "scaled"),
        helper.make_node("Cast", ["scaled"], ["sizes"], "sizes", to=TensorProto.INT64),
        helper.make_node("Resize", ["image", "", "", "sizes"], ["resized"], "resize"),
        helper.make_node("Conv", ["resized", "weight"], ["maps"], "conv"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 2, 4100])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones(1, np.float32), "one"), numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "weight")],
    )
    half = to_fp16(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    (maps,) = run_onnx(half, np.ones((1, 1, 2, 4100), np.float32)).values()
    assert maps.shape == (1, 1, 2, 4100)


def test_what_stands_behind_the_last_layer_stays_float32() -> None:
    """Coordinates that a graph decodes itself: float16 has no whole number between 2048 and 2050."""
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "weight"], ["raw"], "conv"), helper.make_node("Add", ["raw", "anchor"], ["boxes"], "decode")],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 1, 1])],
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "weight"), numpy_helper.from_array(np.float32([2049]), "anchor")],
    )
    half = to_fp16(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    (boxes,) = run_onnx(half, np.zeros((1, 1, 1, 1), np.float32)).values()
    assert boxes.item() == 2049


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([("Relu", "image", "a"), ("Relu", "image", "a")], "two nodes make the tensor 'a'"),
        ([("Relu", "gone", "a")], "nothing makes the tensor 'gone'"),
        ([("Relu", "b", "a"), ("Relu", "a", "b")], r"(?i)cycle"),
    ],
)
def test_a_graph_that_cannot_run_is_refused_with_the_tensors_name(nodes: list[tuple[str, str, str]], said: str) -> None:
    graph = helper.make_graph(
        [helper.make_node(kind, [source], [target]) for kind, source, target in nodes],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(PosetrtError, match=said):
        canonical(model, "own.onnx")
    with pytest.raises(PosetrtError, match=said):
        in_run_order(model, "own.onnx")


def test_functions_that_double_at_each_level_are_refused_at_once() -> None:
    model = network()
    for level in range(60):
        inner = ("", "Neg") if level == 0 else ("own", f"f{level - 1}")
        calls = [helper.make_node(inner[1], [source], [target], domain=inner[0]) for source, target in (("a", "b"), ("b", "c"))]
        imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        model.functions.append(helper.make_function("own", f"f{level}", ["a"], ["c"], calls, imports))
    model.graph.node.append(helper.make_node("f59", ["21"], ["large"], domain="own"))
    model.opset_import.append(helper.make_opsetid("own", 1))
    with pytest.raises(PosetrtError, match="nodes once its functions are written out"):
        canonical(model, "own.onnx")


def test_another_opset_is_only_a_number_where_no_operator_has_changed() -> None:
    model = with_a_branch()
    raised = in_opset(model, 17, 8)
    assert raised.SerializeToString() == model.SerializeToString()
    plain = onnx.helper.make_model(
        helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "g", [], []), opset_imports=[helper.make_opsetid("", 13)]
    )
    raised = in_opset(plain, 17, 8)
    assert opset_of(raised) == 17
    assert len(list(all_nodes(raised.graph))) == 1


def test_a_graph_that_never_ends_is_stopped(tmp_path: Path) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Neg", ["x"], ["y"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []), helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["", "go", "image"], ["maps"], body=body)],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.bool_(True), "go")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(PosetrtError, match=r"endless\.onnx was stopped after 0\.5 s"):
        run_plainly(model.SerializeToString(), np.zeros(1, np.float32), tmp_path / "endless.onnx", limit_s=0.5)
