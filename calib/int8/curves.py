"""What a tensor is made into before anything else sees it: the functions of single values that stand behind it, as SiLU, HardSwish or GELU.

A range that is right for the tensor is wrong for what comes of it: SiLU brings all that is far below 0 to nearly 0, and half of the levels
would tell apart what nobody sees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.export.graph.graph import Graph
from posetrt.export.graph.onnx_file import reads

# Operators that make one value of one value, where every other input is one number.
_POINTWISE = frozenset(
    {
        *("Abs", "Add", "Celu", "Clip", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Max", "Min", "Mish"),
        *("Mul", "Neg", "Pow", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Sub", "Tanh", "ThresholdedRelu"),
    }
)

# (n,) float64 values of a tensor → (functions, n) float64: what each function makes of them.
Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def curve_behind(graph: Graph, name: str) -> Curve | None:
    """The functions of single values through which alone a tensor is seen; None where something sees it as it is.

    Args:
        name: of a float tensor.
    """
    made = {name}
    nodes = []
    for node in graph.nodes:
        inputs = reads(node)
        numbers = [one for one in inputs if one in graph.constants]
        if (
            node.op_type in _POINTWISE
            and made.intersection(inputs)
            and all(one in made or one in graph.constants for one in inputs)
            and all(graph.constants[one].size == 1 for one in numbers)
        ):
            nodes.append(node)
            made.add(node.output[0])
    inside = {id(node) for node in nodes}
    seen = [one for one in made if one in graph.outputs or any(id(reader) not in inside for reader in graph.consumers.get(one, ()))]
    return None if not nodes or name in seen else _evaluator(graph, name, nodes, sorted(seen))


def _evaluator(graph: Graph, name: str, nodes: list[Any], seen: list[str]) -> Curve:
    import onnx
    import onnxruntime
    from onnx import helper, numpy_helper

    constants = sorted({one for node in nodes for one in reads(node) if one in graph.constants})
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "curve",
            [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None])],
            [onnx.ValueInfoProto(name=one) for one in seen],
            [numpy_helper.from_array(graph.constants[one].reshape(()), one) for one in constants],
        ),
        opset_imports=graph.model.opset_import,
        ir_version=graph.model.ir_version,
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def curve(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array(session.run(seen, {name: values.astype(np.float32)}), np.float64)

    return curve
