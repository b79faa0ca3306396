"""A TensorRT made of a version's list of names: what that version lacks, it lacks too, on classes and on objects.

pybind11's classes refuse unknown attributes, so a name that is not in the list raises AttributeError here as it would
there. Behaviour is only what a build or a run needs; each call is recorded in `module.calls`.
"""

from __future__ import annotations

import enum
import functools
import json
import types
from pathlib import Path
from typing import Any

import numpy as np

_LISTS: dict[str, Any] = json.loads((Path(__file__).parent / "export" / "engine" / "tensorrt_names.json").read_text(encoding="utf-8"))
VERSIONS: tuple[str, ...] = tuple(_LISTS["versions"])


@functools.cache
def names_of(version: str) -> dict[str, Any]:
    """The names of a version: `{"BuilderFlag": {"enum": {...}}, "ITensor": {"members": [...]}}`."""
    at = VERSIONS.index(version)
    return {name: _entry(lists, at) for name, lists in _LISTS["names"].items() if lists["in"][at] == "1"}


def _entry(lists: dict[str, Any], at: int) -> dict[str, Any]:
    """One name's entry, of the lists whose string says that the version has them."""
    if "kind" in lists:
        return {"kind": lists["kind"]}
    entry: dict[str, Any] = {}
    if "enum" in lists:
        entry["enum"] = {name: value for mask, values in lists["enum"].items() if mask[at] == "1" for name, value in values.items()}
    if "members" in lists:
        entry["members"] = [name for mask, names in lists["members"].items() if mask[at] == "1" for name in names]
    return entry


class TensorData:
    """A tensor of the stand-in's graph: `(name, dtype, shape)`, and whether it holds a shape."""

    def __init__(self, name: str, dtype: str = "FLOAT", shape: tuple[int, ...] = (1, 8, 4, 4), *, shape_tensor: bool = False) -> None:
        self.name, self.dtype, self.shape, self.shape_tensor = name, dtype, shape, shape_tensor


class LayerData:
    """A layer of the stand-in's graph; `weights` of a constant."""

    def __init__(self, name: str, kind: str, inputs: list[str], outputs: list[TensorData], weights: Any = 1.0) -> None:
        self.name, self.kind, self.inputs, self.outputs, self.weights = name, kind, inputs, outputs, weights


class GraphData:
    """What the stand-in's parser finds, whatever file it is given; `errors` make it fail."""

    def __init__(self, inputs: list[TensorData], layers: list[LayerData], errors: list[tuple[str, str, str]] | None = None) -> None:
        self.inputs, self.layers, self.errors = inputs, layers, errors or []


def stand_in(version: str, graph: GraphData, **behaviour: Any) -> Any:
    """A module with the names of one version and nothing more.

    Args:
        behaviour: "more_names" (entries beside the version's own), "dla_cores", "engine" (bytes that a build gives, or None, or a
            function of the calls so far), "log" (lines that a build says), "steps" (steps of the one phase of a build), "not_on_dla"
            (names of layers), "compiled" and "takes_cache" (of RTX's runtime cache).
    """
    names = names_of(version) | behaviour.get("more_names", {})
    trt: Any = types.ModuleType("stand_in")
    trt.__version__ = version
    trt.calls = []
    trt.ranges = {}
    trt.precisions = {}
    trt.output_types = {}
    for name, entry in names.items():
        if "enum" in entry:
            setattr(trt, name, enum.IntEnum(name, entry["enum"]))

    def record(call: str, *args: Any) -> None:
        trt.calls.append((call, *args))

    loggers: list[Any] = []

    def take_logger(logger: Any) -> None:
        """TensorRT keeps the first logger that it is given, and writes to no other."""
        loggers.append(logger)
        assert all(one is loggers[0] for one in loggers), "TensorRT was given a second logger, which it would not use"

    class ILogger:
        ERROR, WARNING, INFO, INTERNAL_ERROR, VERBOSE = 1, 2, 3, 0, 4

    class ITensor:
        def __init__(self, data: TensorData) -> None:
            self.__dict__["name"], self.__dict__["shape"] = data.name, data.shape
            self.__dict__["dtype"] = getattr(trt.DataType, data.dtype)
            self.__dict__["is_shape_tensor"] = data.shape_tensor

        def set_dynamic_range(self, low: float, high: float) -> bool:
            trt.ranges[self.name] = (low, high)
            return True

    class ILayer:
        def __init__(self, data: LayerData, tensors: dict[str, Any]) -> None:
            self.__dict__["name"], self.__dict__["type"] = data.name, getattr(trt.LayerType, data.kind)
            self.__dict__["_in"] = [tensors.get(name) for name in data.inputs]
            self.__dict__["_out"] = [tensors[tensor.name] for tensor in data.outputs]
            self.__dict__["_weights"] = np.asarray(data.weights, np.float32)

        num_inputs = property(lambda self: len(self._in))
        num_outputs = property(lambda self: len(self._out))
        precision = property(lambda self: trt.precisions.get(self.name), lambda self, value: trt.precisions.__setitem__(self.name, value))

        def get_input(self, index: int) -> Any:
            return self._in[index]

        def get_output(self, index: int) -> Any:
            return self._out[index]

        def set_output_type(self, index: int, dtype: Any) -> None:
            trt.output_types[self._out[index].name] = dtype

    class IConstantLayer:
        """What a layer becomes when its `__class__` is set, as the bindings want it."""

        weights = property(lambda self: self._weights)
        get_output = ILayer.get_output
        num_outputs = property(lambda self: len(self._out))
        num_inputs = 0

    class INetworkDefinition:
        def _fill(self) -> None:
            tensors = {data.name: trt.ITensor(data) for data in graph.inputs}
            for layer in graph.layers:
                tensors.update({data.name: trt.ITensor(data) for data in layer.outputs})
            self.__dict__["_inputs"] = [tensors[data.name] for data in graph.inputs]
            self.__dict__["_layers"] = [trt.ILayer(layer, tensors) for layer in graph.layers]

        num_layers = property(lambda self: len(self._layers))
        num_inputs = property(lambda self: len(self._inputs))

        def get_layer(self, index: int) -> Any:
            return self._layers[index]

        def get_input(self, index: int) -> Any:
            return self._inputs[index]

    class ParserError:
        def __init__(self, error: tuple[str, str, str]) -> None:
            self.__dict__["_error"] = error

        def desc(self) -> str:
            return self._error[2]

        def node(self) -> int:
            return 7

        def node_name(self) -> str:
            return self._error[0]

        def node_operator(self) -> str:
            return self._error[1]

    class OnnxParser:
        def __init__(self, network: Any, logger: Any) -> None:
            take_logger(logger)
            self.__dict__["_network"] = network

        num_errors = property(lambda self: len(graph.errors))

        def parse_from_file(self, path: str) -> bool:
            record("parse", Path(path).name)
            self._network._fill()
            return not graph.errors

        def get_error(self, index: int) -> Any:
            return trt.ParserError(graph.errors[index])

    class IHostMemory(bytes):
        pass

    class ITimingCache:
        def serialize(self) -> bytes:
            return b"timing"

    class IOptimizationProfile:
        def set_shape(self, name: str, low: Any, best: Any, high: Any) -> None:
            record("set_shape", name, low, best, high)

    class IBuilderConfig:
        def __setattr__(self, name: str, value: Any) -> None:
            if not hasattr(type(self), name):
                raise AttributeError(name)
            record("set", name, value)
            self.__dict__["_" + name] = value

        def set_flag(self, flag: Any) -> None:
            record("set_flag", flag.name)

        def clear_flag(self, flag: Any) -> None:
            record("clear_flag", flag.name)

        def set_memory_pool_limit(self, pool: Any, size: int) -> None:
            record("set_memory_pool_limit", pool.name, size)

        def create_timing_cache(self, data: bytes) -> Any:
            record("create_timing_cache", data)
            return trt.ITimingCache()

        def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
            return True

        def get_timing_cache(self) -> Any:
            return trt.ITimingCache()

        def set_calibration_profile(self, profile: Any) -> bool:
            record("set_calibration_profile")
            return True

        def add_optimization_profile(self, profile: Any) -> int:
            record("add_optimization_profile")
            return 0

        def can_run_on_DLA(self, layer: Any) -> bool:  # noqa: N802
            return layer.name not in behaviour.get("not_on_dla", ())

    class Builder:
        def __init__(self, logger: Any) -> None:
            take_logger(logger)
            self.__dict__["_logger"] = logger
            if behaviour.get("old_driver"):
                logger.log(trt.ILogger.ERROR, "6: CUDA initialization failure with error: 35")
                raise TypeError("pybind11::init(): factory function returned nullptr")

        num_DLA_cores = behaviour.get("dla_cores", 0)  # noqa: N815

        def create_network(self, flags: int) -> Any:
            record("create_network", flags)
            return trt.INetworkDefinition()

        def create_builder_config(self) -> Any:
            return trt.IBuilderConfig()

        def create_optimization_profile(self) -> Any:
            return trt.IOptimizationProfile()

        def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
            record("build")
            for severity, line in behaviour.get("log", ()):
                self._logger.log(severity, line)
            monitor = config.__dict__.get("_progress_monitor")
            steps = behaviour.get("steps", 3)
            if monitor is not None:
                monitor.phase_start("Building engine", None, steps)
                for step in range(steps):
                    if not monitor.step_complete("Building engine", step):
                        return None
                monitor.phase_finish("Building engine")
            calibrator = config.__dict__.get("_int8_calibrator")
            if calibrator is not None:
                record("calibration_cache", calibrator.read_calibration_cache())
            engine: Any = behaviour.get("engine", b"an engine")
            return engine(trt.calls) if callable(engine) else engine  # type: ignore[no-any-return]

    class IProgressMonitor:
        pass

    class IInt8EntropyCalibrator2:
        pass

    def freed(what: str) -> None:
        """Note among the CUDA calls when an object goes: it must while its context stands."""
        if "cuda" in behaviour:
            behaviour["cuda"].calls.append(f"free {what}")

    class Runtime:
        def __del__(self) -> None:
            if not behaviour.get("old_driver"):
                freed("runtime")

        num_DLA_cores = behaviour.get("dla_cores", 0)  # noqa: N815
        engine_host_code_allowed = False

        def __init__(self, logger: Any) -> None:
            take_logger(logger)
            self.__dict__["_logger"] = logger
            if behaviour.get("old_driver"):
                logger.log(trt.ILogger.ERROR, "6: CUDA initialization failure with error: 35")
                raise TypeError("pybind11::init(): factory function returned nullptr")

        def deserialize_cuda_engine(self, data: bytes) -> Any:
            record("deserialize", data)
            for severity, line in behaviour.get("log", ()):
                self._logger.log(severity, line)
            return trt.ICudaEngine() if behaviour.get("loads", True) else None

    class ICudaEngine:
        """`behaviour["io"]`: name → (mode, dtype, shape); `behaviour["profile"]`: three shapes of the input."""

        def __del__(self) -> None:
            freed("engine")

        num_io_tensors = property(lambda self: len(behaviour["io"]))
        device_memory_size = device_memory_size_v2 = 123_000_000

        def get_tensor_name(self, index: int) -> str:
            return list(behaviour["io"])[index]

        def get_tensor_mode(self, name: str) -> Any:
            return getattr(trt.TensorIOMode, behaviour["io"][name][0])

        def get_tensor_dtype(self, name: str) -> Any:
            return getattr(trt.DataType, behaviour["io"][name][1])

        def get_tensor_shape(self, name: str) -> Any:
            return behaviour["io"][name][2]

        def get_tensor_profile_shape(self, name: str, profile: int) -> Any:
            return behaviour["profile"]

        def create_execution_context(self, runtime_config: Any = None) -> Any:
            record("create_execution_context", runtime_config)
            return trt.IExecutionContext() if behaviour.get("context", True) else None

        def create_runtime_config(self) -> Any:
            return trt.IRuntimeConfig()

        def create_engine_inspector(self) -> Any:
            return trt.EngineInspector()

    class IRuntimeConfig:
        """Of TensorRT for RTX; `behaviour["compiled"]`: what its cache holds in the end."""

        def create_runtime_cache(self) -> Any:
            return trt.IRuntimeCache()

        def set_runtime_cache(self, runtime_cache: Any) -> bool:
            record("set_runtime_cache", runtime_cache)
            return True

    class IRuntimeCache:
        def deserialize(self, data: bytes) -> bool:
            record("deserialize_cache", data)
            return bool(behaviour.get("takes_cache", True))

        def serialize(self) -> bytes:
            compiled: bytes = behaviour.get("compiled", b"")
            return compiled

    class EngineInspector:
        def get_engine_information(self, form: Any) -> Any:
            return behaviour["layers"]

    class IExecutionContext:
        """Runs `behaviour["network"](address by tensor, input shape)` on the stream when its turn comes."""

        def __del__(self) -> None:
            freed("context")

        def __init__(self) -> None:
            self.__dict__["_addresses"] = {}
            self.__dict__["_shape"] = None

        def set_input_shape(self, name: str, shape: Any) -> bool:
            record("set_input_shape", tuple(shape))
            self.__dict__["_shape"] = tuple(shape)
            return True

        def get_tensor_shape(self, name: str) -> Any:
            return behaviour["shape_of"](name, self._shape)

        def set_tensor_address(self, name: str, address: int) -> bool:
            self._addresses[name] = address
            return True

        def execute_async_v3(self, handle: int) -> bool:
            record("execute_async_v3")
            if behaviour.get("launches", lambda: True)():
                bound, shape = dict(self._addresses), self._shape
                behaviour["cuda"].streams[handle].queue.append(lambda: behaviour["network"](bound, shape))
                return True
            self.__dict__["_failed"] = True
            return False

    local = dict(locals())
    for name, entry in names.items():
        if "members" in entry:
            setattr(trt, name, _limited(name, local.get(name), entry["members"]))
    return trt


def _limited(name: str, behaviour: type | None, members: list[str]) -> type:
    """A class with exactly these public names: the behaviour where there is one, an inert attribute elsewhere."""
    given = dict(vars(behaviour)) if behaviour is not None else {}
    body = {key: value for key, value in given.items() if key.startswith("_") and key not in ("__dict__", "__weakref__")}
    body.update({member: given.get(member) for member in members})

    def strict(self: Any, attribute: str, value: Any) -> None:
        if attribute not in (*members, "__class__") and type(self).__module__ == __name__ and type(self).__name__ == name:
            raise AttributeError(f"{name} has no attribute {attribute}")
        if attribute == "__class__":
            object.__setattr__(self, attribute, value)
            return
        descriptor = getattr(type(self), attribute, None)
        if isinstance(descriptor, property):
            descriptor.__set__(self, value)
        else:
            self.__dict__[attribute] = value

    body.setdefault("__setattr__", strict)
    body["__module__"] = __name__
    return type(name, (behaviour.__base__ if behaviour is not None and behaviour.__base__ is bytes else object,), body)


def pose_graph(*, decodes: bool = False, dtype: str = "FLOAT") -> GraphData:
    """image → scaling → conv1 → PReLU → maps (a convolution) → and, where it decodes, max-pooling, comparison, concat and TopK.

    The slopes come as TensorRT's parser gives them: a constant, broadcast by a SHUFFLE.
    """
    image = TensorData("image", dtype, (1, 3, 64, 64))
    layers = [
        LayerData("input/Mul_0", "ELEMENTWISE", ["image"], [TensorData("scaled")]),
        LayerData("weights", "CONSTANT", [], [TensorData("w")]),
        LayerData("conv1", "CONVOLUTION", ["scaled", "w"], [TensorData("conv1_out")]),
        LayerData("slopes", "CONSTANT", [], [TensorData("slope")], [0.1, -0.25]),
        LayerData("slopes_broadcast", "SHUFFLE", ["slope"], [TensorData("slope_out")]),
        LayerData("relu1", "PARAMETRIC_RELU", ["conv1_out", "slope_out"], [TensorData("relu1_out")]),
        LayerData("maps", "CONVOLUTION", ["relu1_out"], [TensorData("heatmaps")]),
    ]
    if decodes:
        layers += [
            LayerData("peak_max", "POOLING", ["heatmaps"], [TensorData("highest")]),
            LayerData("is_peak", "ELEMENTWISE", ["heatmaps", "highest"], [TensorData("flag", "BOOL")]),
            LayerData("choose", "SELECT", ["flag", "heatmaps"], [TensorData("chosen")]),
            LayerData("joined", "CONCATENATION", ["chosen", "highest"], [TensorData("joined_out")]),
            LayerData("size", "SHAPE", ["joined_out"], [TensorData("size_out", "FLOAT", (4,), shape_tensor=True)]),
            LayerData("best", "TOPK", ["joined_out"], [TensorData("peaks"), TensorData("where", "INT32")]),
        ]
    return GraphData([image], layers)
