"""TensorRT's lines, as it prints them, in the user's terms."""

from __future__ import annotations

import pytest

from posetrt.runtime.engines.trt_log import Log, meaning_of


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "6: The engine plan file is not compatible with this version of TensorRT, expecting library version 8.6.1.6 got 8.5.2.2, please rebuild.",
            "another TensorRT; build it again",
        ),
        (
            "1: [stdArchiveReader.cpp::StdArchiveReader::42] Error Code 1: Serialization (Serialization assertion stdVersionRead == "
            "serializationVersion failed.Version tag does not match. Note: Current Version: 236, Serialized Engine Version: 228)",
            "another TensorRT",
        ),
        (
            "6: The engine plan file is generated on an incompatible device, expecting compute 8.7 got compute 7.2, please rebuild.",
            "built for another GPU",
        ),
        (
            "Missing scale and zero-point for tensor (Unnamed Layer* 3) [Constant]_output, expect fall back to non-int8 implementation for any layer",
            "tensor (Unnamed Layer* 3) [Constant]_output has no INT8 range",
        ),
        ("Default DLA is enabled but layer relu1 is not supported on DLA, falling back to GPU.", "relu1 cannot run on the DLA"),
        (
            "10: Could not find any implementation for node {ForeignNode[decode/Cast...decode/Concat]}.",
            "no way to compute {ForeignNode[decode/Cast...decode/Concat]}",
        ),
        (
            "Tactic Device request: 1128MB Available: 922MB. Device memory is insufficient to use tactic.",
            "needs 1128MB of memory and 922MB is free",
        ),
        ("2: [virtualMemoryBuffer.cpp::resizePhysical::145] Error Code 2: OutOfMemory (no further information)", "too little free memory"),
        ("6: CUDA initialization failure with error: 35", "driver is older"),
        ("CUDA initialization failure with error: 999", "error 999"),
        ("something new", "something new"),
    ],
)
def test_a_line_is_said_in_the_users_terms(line: str, says: str) -> None:
    assert says in (meaning_of(line) or "")


@pytest.mark.parametrize(
    "line",
    [
        "Your ONNX model has been generated with INT64 weights, while TensorRT does not natively support INT64. Attempting to cast down to INT32.",
        "CUDA lazy loading is not enabled. Enabling it can significantly reduce device memory usage.",
        "Calibrator is not being used. Users must provide dynamic range for all tensors that are not Int32 or Bool.",
    ],
)
def test_what_a_user_cannot_act_on_is_left_out(line: str) -> None:
    assert meaning_of(line) is None


def test_a_line_is_shown_once_and_the_first_error_with_a_meaning_is_the_reason() -> None:
    shown: list[tuple[str, str]] = []
    log = Log(lambda level, line: shown.append((level, line)))
    for _ in range(3):
        log.take("warning", "Detected invalid timing cache, setup a local cache instead")
    log.take("info", "ignored")
    log.take("error", "4: [network.cpp::validate::1] Error Code 4: something internal")
    log.take("error", "10: Could not find any implementation for node conv1.")
    assert [level for level, _ in shown] == ["warning", "error", "error"]
    assert log.reason("?").startswith("TensorRT has no way to compute conv1")
    assert "(TensorRT: 10: Could not" in log.reason("?")
    assert Log().reason("it gives no reason") == "it gives no reason"
