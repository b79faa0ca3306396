"""A graph in another opset.

Exporters write the newest opset that they know, and TensorRT 8.6 reads 17. ONNX's own converter raises a graph well, but lowers few
operators. Most that have changed since 17 only take more types; the others are rewritten here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from posetrt.export.graph.onnx_file import ModelProto, all_nodes, copied, first_line
from posetrt.runtime.errors import PosetrtError

_OURS = ("", "ai.onnx")


def opset_of(model: ModelProto) -> int:
    """The opset of ONNX's own operators; 0 where the file states none."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in _OURS), 0)


def in_opset(model: ModelProto, opset: int, ir_version: int) -> ModelProto:
    """The graph in another opset, as a copy.

    Raises:
        PosetrtError: an operator of it does not exist there.
    """
    from onnx import version_converter

    present = opset_of(model)
    if present == opset:
        converted = copied(model)
    elif _same_operators(model, present, opset):
        # The converter rewrites all of the graph, and stumbles over forms that need no change.
        converted = _labelled(copied(model), opset)
    elif present > opset and not model.functions:
        converted = _lowered(model, present, opset)
    else:
        try:
            converted = version_converter.convert_version(model, opset)
        except Exception as error:  # the converter raises RuntimeError and its own errors alike
            raise PosetrtError(f"the graph of opset {present} cannot be written in opset {opset}: {first_line(error)}") from error
    converted.ir_version = ir_version
    return converted


def _labelled(model: ModelProto, opset: int) -> ModelProto:
    for entry in model.opset_import:
        if entry.domain in _OURS:
            entry.version = opset
    return model


def _same_operators(model: ModelProto, present: int, wanted: int) -> bool:
    """Whether no operator of the graph has changed between two opsets."""
    import onnx

    try:
        return not model.functions and all(
            onnx.defs.get_schema(node.op_type, present, "").since_version == onnx.defs.get_schema(node.op_type, wanted, "").since_version
            for node in all_nodes(model.graph)
            if node.domain in _OURS
        )
    except onnx.defs.SchemaError:
        return False


def _lowered(model: ModelProto, present: int, opset: int) -> ModelProto:
    """The graph in an older opset: operators that are missing there are written out, changed ones take their older form."""
    import onnx
    from onnx import inliner

    try:
        newer = sorted({node.op_type for node in all_nodes(model.graph) if node.domain in _OURS and _schema(node.op_type, opset) is None})
        if newer:
            # The inliner wants the type of each tensor that it meets.
            model = onnx.shape_inference.infer_shapes(copied(model))
            known = [onnx.helper.make_tensor_value_info(each.name, each.data_type, each.dims) for each in model.graph.initializer]
            model.graph.value_info.extend(known)
            model = inliner.inline_selected_functions(model, [("", name) for name in newer], inline_schema_functions=True)
        lowered = onnx.shape_inference.infer_shapes(copied(model))
        for node in all_nodes(lowered.graph):
            schema = _schema(node.op_type, opset) if node.domain in _OURS else None
            if node.domain in _OURS and schema is None:
                raise PosetrtError(f"the graph of opset {present} cannot be written in opset {opset}, which has no {node.op_type}")
            if schema is not None and schema.since_version != onnx.defs.get_schema(node.op_type, present, "").since_version:
                _older_form(lowered.graph, node, present, schema)
    except (onnx.defs.SchemaError, onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise PosetrtError(f"the graph of opset {present} cannot be written in opset {opset}: {first_line(error)}") from error
    del lowered.graph.value_info[:]
    return _labelled(lowered, opset)


def _schema(operator: str, opset: int) -> Any:
    import onnx

    try:
        return onnx.defs.get_schema(operator, opset, "")
    except onnx.defs.SchemaError:
        return None


def _older_form(graph: Any, node: Any, present: int, schema: Any) -> None:
    """Change a node into the form that it has in an older opset, whose schema is given."""
    import onnx

    newer = onnx.defs.get_schema(node.op_type, present, "")
    rewrite = _REWRITES.get("Reduce" if node.op_type.startswith("Reduce") else node.op_type)
    if rewrite is not None:
        rewrite(graph, node, schema)
        schema = _schema(node.op_type, schema.since_version)
    for attribute in list(node.attribute):
        if attribute.name not in schema.attributes:
            if attribute.name in newer.attributes and not _is_default(attribute, newer.attributes[attribute.name].default_value):
                raise PosetrtError(
                    f"{node.op_type} with {attribute.name} = {onnx.helper.get_attribute_value(attribute)!r} came after opset "
                    f"{schema.since_version}; export the network again with opset 17"
                )
            node.attribute.remove(attribute)
    if len(node.input) > schema.max_input:
        raise PosetrtError(
            f"{node.op_type} with {len(node.input)} inputs came after opset {schema.since_version}; export the network again with opset 17"
        )


def _is_default(attribute: Any, default: Any) -> bool:
    import onnx

    if default.type == onnx.AttributeProto.UNDEFINED:
        # No default: 0 is what an absent flag means.
        return bool(attribute.type == onnx.AttributeProto.INT and attribute.i == 0)
    return bool(onnx.helper.get_attribute_value(attribute) == onnx.helper.get_attribute_value(default))


def _attribute(node: Any, name: str) -> Any:
    return next((each for each in node.attribute if each.name == name), None)


def _constant(graph: Any, name: str) -> Any:
    from onnx import numpy_helper

    for tensor in graph.initializer:
        if tensor.name == name:
            return numpy_helper.to_array(tensor)
    made = next((node for node in graph.node if node.op_type == "Constant" and name in node.output), None)
    found = made.attribute[0] if made is not None else None
    if found is None:
        return None
    return numpy_helper.to_array(found.t) if found.name == "value" else np.array(found.ints or found.i)


def _reduce(graph: Any, node: Any, schema: Any) -> None:
    """Axes as an attribute, as before opset 18."""
    from onnx import helper

    empty = _attribute(node, "noop_with_empty_axes")
    if "axes" not in schema.attributes or len(node.input) < 2 or not node.input[1]:
        if empty is not None and empty.i and "noop_with_empty_axes" not in schema.attributes:
            node.op_type = "Identity"
            del node.attribute[:]
        return
    chosen = _constant(graph, node.input[1])
    if chosen is None:
        raise PosetrtError(f"{node.op_type} takes axes that the graph computes; export the network again with opset 17")
    del node.input[1:]
    if empty is not None:
        node.attribute.remove(empty)
    node.attribute.append(helper.make_attribute("axes", [int(each) for each in chosen.ravel()]))


def _split(graph: Any, node: Any, schema: Any) -> None:  # noqa: ARG001 one signature for all
    """Sizes in place of the number of pieces, which came with opset 18."""
    from onnx import numpy_helper

    pieces, along = _attribute(node, "num_outputs"), _attribute(node, "axis")
    if pieces is None:
        return
    node.attribute.remove(pieces)
    shape = next((value.type.tensor_type.shape.dim for value in (*graph.value_info, *graph.input) if value.name == node.input[0]), ())
    length = shape[along.i if along is not None else 0].dim_value if shape else 0
    if not length:
        raise PosetrtError("a Split of unknown length into equal pieces came with opset 18; export the network again with opset 17")
    size = -(-length // pieces.i)
    sizes = [size] * (pieces.i - 1) + [length - size * (pieces.i - 1)]
    name = f"{node.output[0]}_sizes"
    graph.initializer.append(numpy_helper.from_array(np.array(sizes, np.int64), name))
    node.input.append(name)


def _grid_sample(graph: Any, node: Any, schema: Any) -> None:  # noqa: ARG001 one signature for all
    """Names of the modes, which changed with opset 20."""
    mode = _attribute(node, "mode")
    if mode is not None:
        mode.s = {b"linear": b"bilinear", b"cubic": b"bicubic"}.get(mode.s, mode.s)


_REWRITES: dict[str, Callable[[Any, Any, Any], None]] = {"Reduce": _reduce, "Split": _split, "GridSample": _grid_sample}
