"""Two stages timed on a clip: detection in each frame beside detection in every few."""

from __future__ import annotations

import pytest

from posetrt.bench.stages_benchmark import bench_stages
from posetrt.cli import main
from posetrt.runtime.find.detected import Detected
from posetrt.runtime.find.top_down import TopDown
from posetrt.runtime.find.whole_frame import WholeFrame
from tests.drawn_hands import Sees
from tests.drawn_people_detector import Boxes
from tests.runtime.find.test_two_stages import moving


def test_both_ways_find_the_same_people_and_the_detector_rests_in_one() -> None:
    whole, part = bench_stages(moving(10), WholeFrame(Boxes()), Detected(TopDown(Sees("mpi14"))), 5)
    assert (whole.detections, part.detections) == (10, 2)
    assert (whole.people, part.people) == (20, 20)
    assert (whole.crops, part.crops) == (20, 20)
    assert (part.found, part.found_sure) == (1.0, 1.0)
    assert whole.cpu_s > 0


def test_somebody_new_is_not_found_before_the_next_detection() -> None:
    _, part = bench_stages(moving(10, new_from=7), WholeFrame(Boxes()), Detected(TopDown(Sees("mpi14"))), 5)
    assert part.people == 20
    assert part.found == 20 / 23


def test_detection_in_each_frame_is_refused_since_it_is_what_all_is_measured_beside(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench-stages", "nano", "--detector", "nano", "--source", "clip.mp4", "--detect-every", "1"]) == 2
    assert "--detect-every takes 2 or more" in capsys.readouterr().err
