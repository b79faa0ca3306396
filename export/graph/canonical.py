"""One form for every graph: what exporters write in many ways is brought to the way that the rest of the project reads.

Constants are initialisers, also those of Constant nodes of every kind and of subgraphs; functions are inlined; initialisers are no
inputs; constants that nobody reads are gone; nodes stand in an order in which they can run, and each has a name of its own. The names of tensors
stay as they are. `onnx-ir` has a pass for nearly each of these; onnxsim, which `finish` runs too, folds constants but keeps the forms.
"""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from typing import Any

from posetrt.export.graph.onnx_file import ModelProto, all_nodes, copied, first_line, reads, subgraphs
from posetrt.runtime.errors import PosetrtError

_MOST_NODES = 1_000_000
_DEEPEST = 100  # functions inside functions


def canonical(model: ModelProto, where: str) -> ModelProto:
    """A copy of a graph in the one form.

    Args:
        where: names the graph in errors.

    Raises:
        PosetrtError: it is no graph that can run: a tensor that nothing makes or two nodes make, a circle.
    """
    import onnx_ir as ir
    from onnx_ir.passes import common

    _check_tensors(model.graph, where)
    check_functions(model, where)
    plain = copied(model)
    for entry in (*plain.opset_import, *all_nodes(plain.graph)):
        entry.domain = "" if entry.domain == "ai.onnx" else entry.domain
    # Before IR 4 initialisers had to be inputs too.
    plain.ir_version = max(plain.ir_version, 4)
    try:
        converted = ir.from_proto(plain)
        if converted.functions:
            converted = common.InlinePass()(converted).model
        for one in (
            common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
            common.LiftSubgraphInitializersToMainGraphPass(),
            common.RemoveInitializersFromInputsPass(),
            common.TopologicalSortPass(),
        ):
            converted = one(converted).model
        for name, value in list(converted.graph.initializers.items()):
            if not value.uses() and not value.is_graph_output():
                del converted.graph.initializers[name]
        result = ir.to_proto(converted)
    except Exception as error:  # onnx-ir raises ValueError, its own errors, and what numpy and protobuf raise
        raise PosetrtError(f"{where} is no graph that can be used: {first_line(error)}. Export the network again") from error
    _name_nodes(result.graph)
    return result


def in_run_order(model: ModelProto, where: str) -> ModelProto:
    """A copy whose nodes stand in an order in which they can run.

    Raises:
        PosetrtError: a tensor that nothing makes, or a circle.
    """
    _check_tensors(model.graph, where)
    nodes = list(model.graph.node)
    maker = {name: place for place, node in enumerate(nodes) for name in node.output if name}
    needed = {place: [maker[name] for name in reads(node) if name in maker] for place, node in enumerate(nodes)}
    try:
        order = list(TopologicalSorter(needed).static_order())
    except CycleError as error:
        circle = ", ".join(nodes[place].output[0] for place in error.args[1])
        raise PosetrtError(f"{where} is no graph that can run: {circle} are a cycle. Export the network again") from error
    sorted_model = type(model)()
    sorted_model.CopyFrom(model)
    del sorted_model.graph.node[:]
    sorted_model.graph.node.extend(nodes[place] for place in order)
    return sorted_model


def _check_tensors(graph: Any, where: str, around: Iterable[str] = ()) -> None:
    """Refuse a tensor that two nodes make, or that nothing makes."""
    made: set[str] = set()
    for node in graph.node:
        for name in node.output:
            if name and name in made:
                raise PosetrtError(f"{where}: two nodes make the tensor {name!r}, so this is no valid ONNX graph; export it again")
            made.add(name)
    known = {"", *around, *made, *(value.name for value in graph.input), *(tensor.name for tensor in graph.initializer)}
    known.update(tensor.values.name for tensor in graph.sparse_initializer)
    for node in graph.node:
        missing = [name for name in node.input if name not in known]
        if missing:
            raise PosetrtError(f"{where}: nothing makes the tensor {missing[0]!r}; export the network again")
        for inner in subgraphs(node):
            _check_tensors(inner, where, known)


_RUN_HERE = ("", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview.training", "com.microsoft", "com.microsoft.nchwc")
"""Domains whose operators ONNX Runtime has."""


def check_operators(model: ModelProto, where: str) -> None:
    """Refuse operators of other runtimes: TensorRT's plugins, mmdeploy's and mmcv's own."""
    written_out = {(one.domain, one.name) for one in model.functions}
    foreign = [
        node
        for node in all_nodes(model.graph)
        if (node.domain not in _RUN_HERE or node.op_type.endswith("_TRT")) and (node.domain, node.op_type) not in written_out
    ]
    if not foreign:
        return
    names = sorted({node.op_type for node in foreign})
    nms = any("nms" in name.lower() for name in names)
    way = (
        "without NMS in the graph (nms=False, no --end2end; of mmdeploy the config for onnxruntime): posetrt does this step itself"
        if nms
        else "for ONNX Runtime, of standard operators alone"
    )
    raise PosetrtError(
        f"{where} holds {', '.join(names)}, {'an operator' if len(names) == 1 else 'operators'} of another runtime's own (a plugin). "
        f"Export the network again {way}"
    )


def check_functions(model: ModelProto, where: str) -> None:
    """Refuse functions that call themselves, or that grow beyond all measure where they are written out."""
    bodies = {(one.domain, one.name): one for one in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(key: tuple[str, str], inside: tuple[tuple[str, str], ...]) -> int:
        if key not in sizes:
            if key in inside or len(inside) > _DEEPEST:
                raise PosetrtError(f"{where}: the function {key[1]!r} calls itself; export the network without it")
            sizes[key] = sum(grown(node, (*inside, key)) for node in bodies[key].node)
        return sizes[key]

    def grown(node: Any, inside: tuple[tuple[str, str], ...] = ()) -> int:
        key = (node.domain, node.op_type)
        return size(key, inside) if key in bodies else 1

    total = sum(grown(node) for node in all_nodes(model.graph)) if bodies else 0
    if total > _MOST_NODES:
        raise PosetrtError(f"{where} has {total:.3g} nodes once its functions are written out; a pose network has some thousands")


def _name_nodes(graph: Any) -> None:
    """Give each node a name of its own: its first output's where it has none, with a number where another has it too."""
    taken: set[str] = set()
    for node in graph.node:
        wanted = node.name or next((name for name in node.output if name), node.op_type)
        name, number = wanted, 1
        while name in taken:
            name, number = f"{wanted}_{number}", number + 1
        taken.add(name)
        node.name = name
