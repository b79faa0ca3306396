"""How far a build is, told from the several threads that TensorRT calls from."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from posetrt.export.engine.progress import Progress


@pytest.fixture(autouse=True)
def _threads_that_change_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_phases_that_come_and_go_in_four_threads_stop_no_build() -> None:
    """The bindings turn an exception into "stop": a dictionary that changed while it was read ended builds without a reason."""
    told: list[float] = []
    progress = Progress(lambda share, phase: told.append(share))
    answers: list[bool] = []
    raised: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for phase in range(300):
                name = f"{number} {phase}"
                progress.start(name, None, 2)
                answers.append(progress.step(name, 0))
                progress.finish(name)
        except RuntimeError as error:
            raised.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raised == []
    assert progress.failure is None
    assert answers == [True] * 1200
    assert told == sorted(told), "progress never goes back"


def test_what_a_report_raises_is_kept_and_the_build_goes_on() -> None:
    calls: list[str] = []

    def report(share: float, phase: str) -> None:
        calls.append(phase)
        raise OSError("no space left on device")

    progress = Progress(report)
    progress.start("build", None, 3)
    assert progress.step("build", 0)
    assert progress.step("build", 1)
    assert str(progress.failure) == "no space left on device"
    assert calls == ["build"], "a report that failed is not asked again"


def test_ctrl_c_inside_a_report_ends_the_build_at_its_next_step() -> None:
    def report(share: float, phase: str) -> None:
        raise KeyboardInterrupt

    progress = Progress(report)
    progress.start("build", None, 3)
    assert not progress.step("build", 0)
    assert progress.failure is None
