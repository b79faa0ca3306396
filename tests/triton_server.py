# ruff: noqa: N802 Triton's own names
"""Triton's protocol in this process: gRPC by tritonclient's own service, a repository that `posetrt triton` wrote, ONNX Runtime behind it.

It is as strict as Triton is with what the configuration says: names, types, dimensions and batches.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

_KINDS = {"FP32": np.float32, "UINT8": np.uint8, "INT32": np.int32, "INT64": np.int64}


@dataclass
class Model:
    """One model of the repository."""

    config: Any
    sessions: dict[str, Any] = field(default_factory=dict)
    calls: int = 0

    @property
    def versions(self) -> list[str]:
        return sorted(self.sessions, key=int)


class Service(service_pb2_grpc.GRPCInferenceServiceServicer):
    """What a client asks."""

    def __init__(self, repository: Path, *, shares_memory: bool = True) -> None:
        self.models = {path.name: _model(path) for path in sorted(repository.iterdir())}
        self.regions: dict[str, tuple[str, int, int]] = {}
        self.shared = 0
        self._shares_memory = shares_memory

    def ServerLive(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerLiveResponse(live=True)

    def ModelReady(self, request: Any, context: Any) -> Any:
        model = self.models.get(request.name)
        return service_pb2.ModelReadyResponse(ready=model is not None and (not request.version or request.version in model.versions))

    def RepositoryIndex(self, request: Any, context: Any) -> Any:
        index = service_pb2.RepositoryIndexResponse()
        for name, model in self.models.items():
            index.models.add(name=name, version=model.versions[-1], state="READY")
        return index

    def ModelConfig(self, request: Any, context: Any) -> Any:
        return service_pb2.ModelConfigResponse(config=self.models[request.name].config)

    def SystemSharedMemoryRegister(self, request: Any, context: Any) -> Any:
        if not self._shares_memory:
            context.abort(grpc.StatusCode.INTERNAL, "unable to open shared memory region")
        self.regions[request.name] = (request.key, request.offset, request.byte_size)
        return service_pb2.SystemSharedMemoryRegisterResponse()

    def SystemSharedMemoryUnregister(self, request: Any, context: Any) -> Any:
        self.regions.pop(request.name, None)
        return service_pb2.SystemSharedMemoryUnregisterResponse()

    def ModelInfer(self, request: Any, context: Any) -> Any:
        try:
            return self._infer(request)
        except ValueError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    def _infer(self, request: Any) -> Any:
        raw = iter(request.raw_input_contents)
        given = {}
        for tensor in request.inputs:
            kind = _KINDS[tensor.datatype]
            if "shared_memory_region" in tensor.parameters:
                data = self._read(
                    tensor.parameters["shared_memory_region"].string_param, tensor.parameters["shared_memory_byte_size"].int64_param
                )
            else:
                data = next(raw)
            given[tensor.name] = np.frombuffer(data, kind).reshape(list(tensor.shape))
        found = self.run(request.model_name, given, request.model_version)
        answer = service_pb2.ModelInferResponse(model_name=request.model_name, model_version=request.model_version or "1")
        for wanted in request.outputs:
            array = found[wanted.name]
            answer.outputs.add(name=wanted.name, datatype=next(k for k, v in _KINDS.items() if v == array.dtype), shape=array.shape)
            if "shared_memory_region" in wanted.parameters:
                region, size = (
                    wanted.parameters["shared_memory_region"].string_param,
                    wanted.parameters["shared_memory_byte_size"].int64_param,
                )
                if array.nbytes > size:
                    raise ValueError(
                        f"shared memory size specified with the request for output '{wanted.name}' ({size} bytes) is too small"
                    )
                self._write(region, array.tobytes())
            else:
                answer.raw_output_contents.append(array.tobytes())
        return answer

    def run(self, name: str, given: dict[str, Any], version: str = "") -> dict[str, Any]:
        """The outputs of a model; of an ensemble, step by step."""
        model = self.models[name]
        model.calls += 1
        self._check(model.config, given)
        if model.config.platform == "ensemble":
            tensors = dict(given)
            for step in model.config.ensemble_scheduling.step:
                inner = self.run(step.model_name, {key: tensors[value] for key, value in step.input_map.items()})
                tensors |= {value: inner[key] for key, value in step.output_map.items()}
            found = {one.name: tensors[one.name] for one in model.config.output}
        else:
            session = model.sessions[version or model.versions[-1]]
            names = [one.name for one in model.config.output]
            found = dict(zip(names, session.run(names, given), strict=True))
        self._check(model.config, found, of="output")
        return found

    def _check(self, config: Any, tensors: dict[str, Any], of: str = "input") -> None:
        described = {one.name: one for one in getattr(config, of)}
        if set(tensors) != set(described):
            raise ValueError(f"{config.name}: {of}s {sorted(tensors)}, the configuration has {sorted(described)}")
        for name, array in tensors.items():
            shape, dims = list(array.shape), list(described[name].dims)
            if config.max_batch_size:
                if not 1 <= shape[0] <= config.max_batch_size:
                    raise ValueError(f"{config.name}: batch {shape[0]}, max_batch_size is {config.max_batch_size}")
                shape = shape[1:]
            if len(shape) != len(dims) or any(d not in (-1, s) for s, d in zip(shape, dims, strict=True)):
                raise ValueError(f"unexpected shape for {of} '{name}' for model '{config.name}'. Expected {dims}, got {shape}")
            if (
                model_config_pb2.DataType.Name(described[name].data_type)
                != f"TYPE_{next(k for k, v in _KINDS.items() if v == array.dtype)}"
            ):
                raise ValueError(f"{config.name}: {of} {name} is {array.dtype}")

    def _read(self, region: str, size: int) -> bytes:
        self.shared += 1
        with self._mapped(region) as memory:
            return bytes(memory[:size])

    def _write(self, region: str, data: bytes) -> None:
        self.shared += 1
        with self._mapped(region) as memory:
            memory[: len(data)] = data

    @contextmanager
    def _mapped(self, region: str) -> Iterator[Any]:
        key, _, size = self.regions[region]
        descriptor = os.open(f"/dev/shm{key}", os.O_RDWR)
        try:
            with mmap.mmap(descriptor, size) as memory:
                yield memory
        finally:
            os.close(descriptor)


def _model(path: Path) -> Model:
    config = text_format.Parse((path / "config.pbtxt").read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    kept = sorted((int(one.name) for one in path.iterdir() if one.name.isdigit()), reverse=True)[
        : config.version_policy.latest.num_versions
    ]
    model = Model(config)
    for version in kept:
        file = path / str(version) / "model.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        model.sessions[str(version)] = (
            onnxruntime.InferenceSession(str(file), options, ["CPUExecutionProvider"]) if file.is_file() else None
        )
    for warm in config.model_warmup:
        batch = [warm.batch_size] if config.max_batch_size else []
        given = {
            name: np.zeros([*batch, *one.dims], _KINDS[model_config_pb2.DataType.Name(one.data_type).removeprefix("TYPE_")])
            for name, one in warm.inputs.items()
        }
        model.sessions[str(kept[0])].run(None, given)
    return model


@contextmanager
def serving(repository: Path, **options: Any) -> Iterator[tuple[str, Service]]:
    """A server of a repository; gives its HOST:PORT and the service."""
    service = Service(repository, **options)
    server = grpc.server(
        futures.ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    )
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", service
    finally:
        server.stop(1).wait()
