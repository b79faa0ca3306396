"""Parse and build an ONNX graph with TensorRT for RTX, which needs no GPU for either: a real TensorRT parser and builder."""

from __future__ import annotations

from typing import Any

import pytest

SizeRange = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def build_with_rtx(model: Any, profile: dict[str, SizeRange] | None = None, capability: str = "SM86") -> bytes:
    """The serialised engine.

    Args:
        model: onnx.ModelProto or its bytes.
        profile: for each input of changing size its least, usual and largest shape.
        capability: what it is built for.

    Raises:
        AssertionError: the parser or the builder refuses; the message holds what they said.
    """
    trt = pytest.importorskip("tensorrt_rtx")
    said: list[str] = []

    class Log(trt.ILogger):  # type: ignore[name-defined,misc]
        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.WARNING:
                said.append(message)

    log = Log()
    builder = trt.Builder(log)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    data = model if isinstance(model, bytes) else model.SerializeToString()
    if not parser.parse(data):
        raise AssertionError("\n".join(str(parser.get_error(index)) for index in range(parser.num_errors)))
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, capability), 0)
    if profile:
        shapes = builder.create_optimization_profile()
        for name, sizes in profile.items():
            shapes.set_shape(name, *sizes)
        config.add_optimization_profile(shapes)
    engine = builder.build_serialized_network(network, config)
    assert engine is not None, "\n".join(said)
    return bytes(engine)
