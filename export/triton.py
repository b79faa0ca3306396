"""A Triton model repository from a model folder: config.pbtxt with the shapes that the graph and the engine really have.

Source of the configuration's fields: triton-inference-server/common, protobuf/model_config.proto.
"""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posetrt.runtime.engines.base import Precision
from posetrt.runtime.engines.choose import built_engines
from posetrt.runtime.errors import EngineMismatch, PosetrtError, UsageError, printable
from posetrt.runtime.files import written_together
from posetrt.runtime.model.folder import open_folder
from posetrt.runtime.model.manifest import Manifest
from posetrt.runtime.model.shipped import shipped_name
from posetrt.runtime.model.sidecar import Sidecar, check_engine_file
from posetrt.runtime.packages import install_hint

# onnx.TensorProto.DataType → Triton's model_config.proto.
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}"  # of a model, and so of its folder
_TYPES = {1: "TYPE_FP32", 2: "TYPE_UINT8", 3: "TYPE_INT8", 6: "TYPE_INT32", 7: "TYPE_INT64", 10: "TYPE_FP16"}


@dataclass(frozen=True)
class Tensor:
    """An input or output as Triton names it; `dims` with the batch first, -1 where it may change from call to call."""

    name: str
    kind: str
    dims: tuple[int, ...]


@dataclass(frozen=True)
class Serving:
    """How Triton serves a model.

    Attributes:
        version: number of the folder that the file goes to; those that are there stay.
        keep_versions: how many of the latest versions Triton serves.
        instances: of the network, each with an engine of its own.
        max_batch: frames that Triton may put together; None takes what the graph or the engine allows, 8 where that is unbounded.
        queue_delay_us: for how long a frame may wait for others, in microseconds.
        ensemble: also write an ensemble that takes a camera's bytes: an ONNX graph in front of the network does colour order, mean and scale.
    """

    version: int = 1
    keep_versions: int = 1
    instances: int = 1
    max_batch: int | None = None
    queue_delay_us: int = 1000
    ensemble: bool = False

    def __post_init__(self) -> None:
        for name, low in (("version", 1), ("keep_versions", 1), ("instances", 1), ("max_batch", 1), ("queue_delay_us", 0)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise UsageError(f"--{name.removesuffix('_us').replace('_', '-')} is {low} or more; got {value}")


_UNBOUNDED_BATCH = 8
"""Frames in a batch of a graph that takes any number: more wait for each other longer than a camera's frame lasts."""


def write_repository(
    path: Path,
    out: Path,
    *,
    name: str | None = None,
    engine: Path | None = None,
    precision: Precision | None = None,
    serving: Serving | None = None,
) -> Path:
    """Write `out/NAME/config.pbtxt` and `out/NAME/1/model.plan`, or `model.onnx` where no TensorRT engine is asked for.

    Args:
        path: a model folder.
        out: Triton's model repository; other models in it are left alone.
        name: of the model; None takes the folder's.
        engine: a TensorRT engine of the folder, built on the GPU that will serve it.
        precision: take the folder's TensorRT engine of this precision instead.
        serving: batches, instances, versions, an ensemble.

    Returns:
        The folder of the model that clients ask for.

    Raises:
        EngineMismatch: no TensorRT engine of that precision, or more than one.
        UsageError: an engine that is not of this folder; an ensemble for a graph that takes bytes; a batch that the graph does not take.
    """
    serving = serving or Serving()
    name = shipped_name(path) or path.resolve().name if name is None else name
    if not re.fullmatch(_NAME, name):
        raise UsageError(f"--name {name!r}: Triton's models are named by letters, digits, '.', '_' and '-', a letter or digit first")
    folder = open_folder(path)
    manifest = folder.manifest()
    chosen = _engine(path, engine, precision) if engine is not None or precision is not None else None
    graph = folder.path / chosen[1].graph if chosen else folder.onnx
    if not graph.is_file():
        raise EngineMismatch(
            f"{graph} is gone, from which {chosen[0].name if chosen else 'the model'} was built; its tensors are not known"
        )
    inputs, outputs = _tensors(graph, manifest, chosen[1] if chosen else None)
    served = Served(
        f"{name}_network" if serving.ensemble else name,
        "tensorrt_plan" if chosen else "onnxruntime_onnx",
        inputs,
        outputs,
        manifest,
        chosen[1] if chosen else None,
        _batch(inputs[0].dims, manifest, chosen[1] if chosen else None, serving.max_batch),
    )
    source, file = (chosen[0], "model.plan") if chosen else (folder.onnx, "model.onnx")
    files: dict[Path, Path | bytes] = {out / served.name / str(serving.version) / file: source}
    if serving.ensemble:
        from posetrt.export.triton_ensemble import ensemble_files

        files |= ensemble_files(out, name, served, serving)
    texts = {"config.pbtxt": config(served, serving), "manifest.json": manifest.to_json() + "\n"}
    files |= {out / served.name / each: text.encode() for each, text in texts.items()}
    with written_together(*files) as temporaries:
        for temporary, given in zip(temporaries, files.values(), strict=True):
            if isinstance(given, Path):
                shutil.copyfile(given, temporary)
            else:
                temporary.write_bytes(given)
    return out / name


@dataclass(frozen=True)
class Served:
    """A network in a repository.

    Attributes:
        name: of the model.
        platform: Triton's word for what runs it.
        inputs, outputs: with the batch first.
        manifest: of the network.
        sidecar: of the TensorRT engine, where one is served.
        max_batch: frames that Triton may put together; 0 where the graph takes a fixed batch.
    """

    name: str
    platform: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    manifest: Manifest
    sidecar: Sidecar | None = None
    max_batch: int = 0


def config(served: Served, serving: Serving) -> str:
    """The text of config.pbtxt.

    An engine for a DLA names its core as the instance's secondary device. A version-compatible engine loads only in a server
    that was started to take such engines, which no model's configuration can say: a comment names the option.

    A graph with a fixed batch has it written out as the first dimension (max_batch_size 0): Triton puts no requests together for it.
    """
    manifest, sidecar = served.manifest, served.sidecar
    spec = manifest.input
    dla = sidecar.device.get("dla") if sidecar else None
    second = "" if dla is None else f" secondary_devices [ {{ kind: KIND_NVDLA device_id: {dla} }} ]"
    if sidecar is not None and sidecar.options.get("version_compatible"):
        needs = "# A version-compatible engine: start the server with --backend-config=tensorrt,version-compatible=true\n"
    else:
        needs = ""
    values = f"mean={list(spec.mean)} scale={list(spec.scale)}" if not spec.in_graph else "in the graph"
    return (
        f"{needs}# {printable(manifest.network)}: {spec.colour} {spec.layout}, normalisation {values}; "
        f"head {manifest.head.summary()}, skeleton {printable(manifest.skeleton.name)}\n"
        f'name: "{served.name}"\nplatform: "{served.platform}"\nmax_batch_size: {served.max_batch}\n'
        f"{tensor_blocks(served)}instance_group [ {{ count: {serving.instances}{second} }} ]\n{dynamic_batching(served, serving)}"
        f"{version_policy(serving)}{_warm_up(served)}{described(manifest, sidecar.precision if sidecar else 'fp32')}"
    )


def tensor_blocks(served: Served) -> str:
    """The lists of inputs and outputs; without the batch where Triton makes it."""

    def block(kind: str, tensors: tuple[Tensor, ...]) -> str:
        rows = ",\n".join(
            f'  {{ name: "{tensor.name}" data_type: {tensor.kind} dims: [ {", ".join(map(str, tensor.dims[skipped:]))} ] }}'
            for tensor in tensors
        )
        return f"{kind} [\n{rows}\n]\n"

    skipped = 1 if served.max_batch else 0
    return block("input", served.inputs) + block("output", served.outputs)


def dynamic_batching(served: Served, serving: Serving) -> str:
    """Frames of several clients in one call of the network, where it takes more than one."""
    if served.max_batch < 2:
        return ""
    return f"dynamic_batching {{ preferred_batch_size: [ {served.max_batch} ] max_queue_delay_microseconds: {serving.queue_delay_us} }}\n"


def version_policy(serving: Serving) -> str:
    """The latest versions of those in the folder."""
    return f"version_policy {{ latest {{ num_versions: {serving.keep_versions} }} }}\n"


def described(manifest: Manifest, precision: str) -> str:
    """What a client needs to make people of the answers, as parameters that Triton hands on."""
    escaped = manifest.to_json().replace("\\", "\\\\").replace('"', '\\"')
    return (
        f'parameters {{ key: "posetrt" value {{ string_value: "{escaped}" }} }}\n'
        f'parameters {{ key: "posetrt_precision" value {{ string_value: "{precision}" }} }}\n'
    )


def _warm_up(served: Served) -> str:
    """One frame of zeros to each instance as it starts: the first call of a network is slow."""
    spec = served.manifest.input
    width, height = spec.size_wh
    sides = {"NCHW": (3, height, width), "NHWC": (height, width, 3)}[spec.layout]
    given = "".join(
        f' inputs {{ key: "{tensor.name}" value {{ data_type: {tensor.kind} dims: [ {", ".join(map(str, dims))} ] zero_data: true }} }}'
        for tensor in served.inputs
        for dims in [sides if served.max_batch else (max(1, tensor.dims[0]), *sides)]
    )
    return f'model_warmup [ {{ name: "zeros" batch_size: {1 if served.max_batch else 0}{given} }} ]\n'


def _batch(dims: tuple[int, ...], manifest: Manifest, sidecar: Sidecar | None, wanted: int | None) -> int:
    """How many frames Triton may put together; 0 where the batch is fixed."""
    if dims[0] != -1:
        if wanted is not None and wanted != max(1, dims[0]):
            raise UsageError(
                f"--max-batch {wanted}: this {'engine' if sidecar else 'graph'} takes {dims[0]} at a time. Export it with --batch {wanted}"
                + (", and build it again" if sidecar else "")
            )
        return 0
    profile = sidecar.options.get("profile") if sidecar else None
    most = int(profile[2][0]) if profile else manifest.input.max_batch
    if wanted is not None and most and wanted > most:
        raise UsageError(f"--max-batch {wanted}: this {'engine' if sidecar else 'graph'} takes {most} at most")
    return wanted or most or _UNBOUNDED_BATCH


def _engine(path: Path, engine: Path | None, precision: Precision | None) -> tuple[Path, Sidecar]:
    found = built_engines(open_folder(path), precision, "tensorrt")
    if engine is not None:
        found = {one: sidecar for one, sidecar in built_engines(open_folder(path)).items() if one.resolve() == engine.resolve()}
        if not found or next(iter(found.values())).backend != "tensorrt":
            raise UsageError(
                f"{engine} is no TensorRT engine of {path}; Triton serves TensorRT's engines, or without --engine the ONNX file"
            )
    if len(found) != 1:
        what = "TensorRT engine" if precision is None else f"TensorRT engine in {precision}"
        if found:
            raise EngineMismatch(f"{path} has more than one {what}: {', '.join(one.name for one in found)}; name one with --engine")
        given = shipped_name(path) or str(path)
        raise EngineMismatch(
            f"{given} has no {what}; build it on the GPU that will serve it with: "
            f"posetrt build {shlex.quote(given)} --precision {precision or 'fp16'}"
        )
    one, sidecar = next(iter(found.items()))
    check_engine_file(one, sidecar)
    return one, sidecar


def _tensors(graph: Path, manifest: Manifest, sidecar: Sidecar | None) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    try:
        import onnx
    except ImportError as error:
        raise PosetrtError(f"writing a Triton repository reads the graph's tensors: {install_hint('onnx')}") from error
    model = onnx.load(str(graph), load_external_data=False)
    for value in (*model.graph.input, *model.graph.output):
        if value.name != printable(value.name) or set(value.name) & set('"\\'):
            raise PosetrtError(f"{graph.name} has a tensor called {value.name!r}, which Triton's configuration cannot name")
    weights = {initializer.name for initializer in model.graph.initializer}
    profile = sidecar.options.get("profile") if sidecar else None
    inputs = tuple(_input(value, manifest, profile) for value in model.graph.input if value.name not in weights)
    fixed = inputs[0].dims
    return inputs, tuple(_output(value, manifest, fixed) for value in model.graph.output)


def _shape(value: Any) -> list[int]:
    return [axis.dim_value if axis.HasField("dim_value") else -1 for axis in value.type.tensor_type.shape.dim]


def _kind(value: Any) -> str:
    number = value.type.tensor_type.elem_type
    if number not in _TYPES:
        raise PosetrtError(f"{value.name} has ONNX type {number}, for which Triton's configuration has no name here")
    return _TYPES[number]


def _input(value: Any, manifest: Manifest, profile: Any) -> Tensor:
    """The engine's own profile where there is one; else the graph's shape with what the manifest fixes."""
    if profile:
        least, _, most = profile
        return Tensor(value.name, _kind(value), tuple(a if a == b else -1 for a, b in zip(least, most, strict=True)))
    dims = _shape(value)
    spec = manifest.input
    if not spec.dynamic:
        dims[1:] = spec.shape()[1:]
    if spec.max_batch == 1:
        dims[0] = 1
    return Tensor(value.name, _kind(value), tuple(dims))


def _output(value: Any, manifest: Manifest, given: tuple[int, ...]) -> Tensor:
    """Maps are the input's size by the stride; what the graph itself fixes stays."""
    dims = _shape(value)
    dims[0] = given[0]
    if value.name in [name for role, name in manifest.head.outputs.items() if role in manifest.head.maps]:
        sizes = given[2:] if manifest.input.layout == "NCHW" else given[1:3]
        if manifest.input.camera_wh is not None:
            sizes = manifest.input.size_wh[1], manifest.input.size_wh[0]
        for axis, size in zip((2, 3), sizes, strict=True):
            if dims[axis] == -1 and size != -1:
                dims[axis] = size // manifest.head.map_stride()
    return Tensor(value.name, _kind(value), tuple(dims))
