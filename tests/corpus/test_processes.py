"""Workers on this machine."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from posetrt.corpus.fleet import outcomes
from posetrt.runtime.errors import EngineMismatch, UsageError
from tests.corpus.jobs import Faulty


def test_every_item_comes_back_once_whatever_happens_to_it(tmp_path: Path) -> None:
    came = {outcome.item: outcome for outcome in outcomes(Faulty(tmp_path), iter(range(12)), "local", 2)}
    assert sorted(came) == list(range(12))
    good = {number for number, outcome in came.items() if not outcome.error}
    assert good == set(range(12)) - {4, 5, 7}
    assert all(came[number].value == 2 * number for number in good)
    assert (came[3].attempts, came[4].attempts) == (2, 3)
    assert came[4].error == "RuntimeError: the device failed"
    assert came[5].lasting
    assert not came[4].lasting
    assert "3 workers ended while they worked on it, the last by signal 9" in came[7].error


def test_items_are_taken_as_workers_become_free(tmp_path: Path) -> None:
    """A list without an end is no trouble: back-pressure."""
    taken = itertools.count(100)
    results = outcomes(Faulty(tmp_path), taken, "local", 2)
    for _ in range(10):
        next(results)
    results.close()
    assert next(taken) <= 100 + 10 + 2


def test_a_job_that_does_not_open_is_told_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(EngineMismatch, match="no engine here"):
        list(outcomes(Faulty(tmp_path, opens=False), iter(range(3)), "local", 2))


@pytest.mark.parametrize("on", ["somewhere", "ray:/x", ""])
def test_a_place_that_is_none_is_wrong_usage(on: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="local, auto or ray://HOST:PORT"):
        list(outcomes(Faulty(tmp_path), iter([1]), on))
