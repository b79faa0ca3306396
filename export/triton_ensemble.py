"""An ensemble for Triton: an ONNX graph that takes a camera's bytes, and the network behind it. No Python runs in the server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from posetrt.export.triton import Served, Serving, Tensor, config, described, tensor_blocks, version_policy
from posetrt.runtime.errors import UsageError

_FED = "fed"
"""The tensor between the two."""


def ensemble_files(out: Path, name: str, network: Served, serving: Serving) -> dict[Path, Path | bytes]:
    """The files of the ensemble NAME and of NAME_input, the graph in front of the network.

    Raises:
        UsageError: the network takes bytes already.
    """
    from posetrt.export.graph.fused import with_uint8_input

    spec = network.manifest.input
    if spec.takes_bytes:
        raise UsageError("--ensemble lets a network take a camera's bytes, and this one does so already (--input uint8): leave it out")
    model, taken = with_uint8_input(_copy_graph(network), network.manifest)
    (given,) = network.inputs
    batch, *sides = given.dims
    rows, columns = sides[1:] if spec.layout == "NCHW" else sides[:2]
    image = Tensor(given.name, "TYPE_UINT8", (batch, rows, columns, 3))
    first = Served(f"{name}_input", "onnxruntime_onnx", (image,), (replace(given, name=_FED),), taken, None, network.max_batch)
    whole = Served(name, "ensemble", (image,), network.outputs, taken, None, network.max_batch)
    precision = network.sidecar.precision if network.sidecar else "fp32"
    version = str(serving.version)
    return {
        out / first.name / version / "model.onnx": model.SerializeToString(),
        out / first.name / "config.pbtxt": config(first, serving).encode(),
        # Triton wants a folder for the version of an ensemble too, and copies drop empty ones.
        out / name / version / "ensemble.txt": f"{first.name} and {network.name}\n".encode(),
        out / name / "config.pbtxt": _ensemble(whole, first, network, serving, precision).encode(),
        out / name / "manifest.json": (taken.to_json() + "\n").encode(),
    }


def _ensemble(whole: Served, first: Served, network: Served, serving: Serving, precision: str) -> str:
    def step(model: str, inputs: dict[str, str], outputs: dict[str, str]) -> str:
        maps = "".join(
            f' {kind} {{ key: "{key}" value: "{value}" }}'
            for kind, pairs in (("input_map", inputs), ("output_map", outputs))
            for key, value in pairs.items()
        )
        return f'  {{ model_name: "{model}" model_version: -1{maps} }}'

    image = whole.inputs[0].name
    # A tensor of the ensemble may be called like an input of it: what flows between the steps has a name that no output has.
    between = _FED
    while between in {image, *(output.name for output in whole.outputs)}:
        between += "_"
    steps = ",\n".join(
        (
            step(first.name, {image: image}, {_FED: between}),
            step(network.name, {network.inputs[0].name: between}, {one.name: one.name for one in network.outputs}),
        )
    )
    return (
        f"# {first.name}, then {network.name}\n"
        f'name: "{whole.name}"\nplatform: "ensemble"\nmax_batch_size: {whole.max_batch}\n{tensor_blocks(whole)}'
        f"ensemble_scheduling {{ step [\n{steps}\n] }}\n{version_policy(serving)}{described(whole.manifest, precision)}"
    )


def _copy_graph(network: Served) -> Any:
    """A graph that gives its one input as it is, with the manifest's input: what the bytes come to."""
    from onnx import TensorProto, helper

    (given,) = network.inputs
    kind = {"TYPE_FP32": TensorProto.FLOAT, "TYPE_INT32": TensorProto.INT32, "TYPE_FP16": TensorProto.FLOAT16}[given.kind]
    named = [f"side{place}" if side == -1 else side for place, side in enumerate(given.dims)]
    graph = helper.make_graph(
        [helper.make_node("Identity", [given.name], [_FED])],
        "input",
        [helper.make_tensor_value_info(given.name, kind, named)],
        [helper.make_tensor_value_info(_FED, kind, named)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
