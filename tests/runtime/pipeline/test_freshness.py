"""Which frame of a camera the network gets: none that is about to be replaced by the next."""

from __future__ import annotations

import threading

import pytest

from posetrt.runtime.pipeline import mailbox
from posetrt.runtime.pipeline.mailbox import Mailbox
from posetrt.runtime.pipeline.stages import pause_for_next


class Clock:
    """Time that a test sets."""

    now_s = 0.0

    def perf_counter(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(mailbox, "time", made)
    return made


def filled(clock: Clock, moments: list[float], sources: int = 1) -> Mailbox[int]:
    box: Mailbox[int] = Mailbox([True] * sources)
    for number, clock.now_s in enumerate(moments):
        box.put(number % sources, number)
    return box


def test_a_steady_cameras_next_frame_is_due_a_period_after_its_last(clock: Clock) -> None:
    assert filled(clock, [0.0, 0.1, 0.21, 0.3, 0.4, 0.5]).due_s() == pytest.approx(0.6)
    assert filled(clock, [0.0, 0.1, 0.2, 0.3, 0.7, 0.8]).due_s() is None, "uneven: a stream that comes in bursts"
    assert filled(clock, [0.0, 0.1]).due_s() is None, "nothing is known yet"
    assert filled(clock, [0.1 * number for number in range(9)], sources=2).due_s() is None, "others wait for the network too"


def test_a_pause_is_worth_a_quarter_of_the_networks_time_and_no_more() -> None:
    assert pause_for_next(10.0, 10.002, 0.010) == pytest.approx(0.0025)
    assert pause_for_next(10.0, 10.003, 0.010) == 0
    assert pause_for_next(10.0, 9.999, 0.010) == 0, "overdue: it may never come"
    assert pause_for_next(10.0, None, 0.010) == 0


def test_whoever_waits_for_the_next_frame_is_woken_by_it_and_by_the_end() -> None:
    box: Mailbox[int] = Mailbox([True])
    for wake in (lambda: box.put(0, 1), box.close):
        waiting = threading.Thread(target=box.wait_put, args=(60.0,))
        waiting.start()
        while waiting.is_alive():
            wake()
            waiting.join(0.01)
    box.wait_put(60.0)
