"""TensorRT's lines, as it prints them, in the user's terms."""

from __future__ import annotations

import sys
import threading

import pytest

from posetrt.runtime.engines.trt_log import Log, logger_for, meaning_of
from tests.trt_stand_in import pose_graph, stand_in


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


def test_an_error_is_never_noise_even_where_it_says_deprecated() -> None:
    log = Log()
    log.take("warning", "The FP16 flag is deprecated.")
    log.take("error", "3: [builder.cpp] Error Code 3: setFlag: a deprecated flag cannot be used with kSTRONGLY_TYPED")
    assert not log.warnings
    assert "kSTRONGLY_TYPED" in log.reason("it gives no reason")


def test_what_was_dealt_with_is_no_reason_for_what_fails_later() -> None:
    log = Log()
    log.take("error", "of the frame before")
    log.settle()
    with log.handled():
        log.take("error", "Invalid timing cache, version mismatch")
    assert log.reason("it gives no reason") == "it gives no reason"
    log.take("error", "10: Could not find any implementation for node conv1.")
    assert log.reason("?").startswith("TensorRT has no way to compute conv1")


def test_tensors_without_a_range_are_gathered_and_not_shown_one_by_one() -> None:
    shown: list[str] = []
    log = Log(lambda level, line: shown.append(line))
    for name in ("(Unnamed Layer* 3) [Constant]_output", "maps, joined"):
        log.take("warning", f"Missing scale and zero-point for tensor {name}, expect fall back to non-int8 implementation for any layer")
    assert log.without_range == ["(Unnamed Layer* 3) [Constant]_output", "maps, joined"]
    assert shown == []


def test_tensorrt_gets_one_logger_for_ever_and_each_work_its_own_lines() -> None:
    """TensorRT keeps a single pointer: the second engine's errors went to the first one's log, and a collected logger dangles."""
    trt = stand_in("10.3.0", pose_graph())
    logger = logger_for(trt)
    body, hands = Log(), Log()
    with body.listening():
        with hands.listening():
            assert logger_for(trt) is logger
            logger.log(trt.ILogger.ERROR, "of the hands")
        logger.log(trt.ILogger.ERROR, "of the body")
        worker = threading.Thread(target=logger.log, args=(trt.ILogger.ERROR, "from a thread of TensorRT's"))
        worker.start()
        worker.join()
    logger.log(trt.ILogger.ERROR, "after all")
    assert [line for line, _ in hands.errors] == ["of the hands", "after all"]
    assert [line for line, _ in body.errors] == ["of the body", "from a thread of TensorRT's"]
    assert sys.getrefcount(logger) > 3, "nothing may collect it"


def test_two_threads_at_work_do_not_read_each_others_errors() -> None:
    trt = stand_in("10.3.0", pose_graph())
    logger, both, logs = logger_for(trt), threading.Barrier(2), [Log(), Log()]

    def work(index: int) -> None:
        with logs[index].listening():
            both.wait()
            logger.log(trt.ILogger.ERROR, f"of engine {index}")
            both.wait()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [[line for line, _ in log.errors] for log in logs] == [["of engine 0"], ["of engine 1"]]
