"""The people of annotated photographs, found by many workers: what `posetrt eval --on` judges."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from numpy.typing import NDArray

from posetrt.calib.accuracy.people_of import people_of
from posetrt.calib.datasets.base import AnnotatedPhotos
from posetrt.corpus.fleet import outcomes
from posetrt.corpus.label import may_use_gpu
from posetrt.corpus.mapping import Place
from posetrt.runtime.engines.choose import EngineOptions, open_engine
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.find.whole_frame import open_detector
from posetrt.runtime.heads.base import DecodeOptions, Preset
from posetrt.runtime.people import People, nobody

AT_ONCE = 16
"""Photographs in one item: few enough that the last ones do not keep one worker busy while the others wait."""


@dataclass(frozen=True)
class Photographs:
    """Some of a data set's photographs.

    Attributes:
        start: place of the first in the data set.
        paths: of each.
        boxes: of each, the annotated people's; None where nothing is annotated.
    """

    start: int
    paths: tuple[Path, ...]
    boxes: tuple[NDArray[Any] | None, ...] | None


@dataclass(frozen=True)
class EvaluationJob:
    """Find people as `people_of` does.

    Attributes:
        network, engine: which engine is judged.
        detector, detector_engine, detector_score: whose people's boxes are looked at; None for none.
        scales, grow, preset: see `people_of`.
    """

    network: Path
    engine: EngineOptions
    detector: Path | None = None
    detector_engine: EngineOptions | None = None
    detector_score: float | None = None
    scales: tuple[float, ...] | None = None
    grow: float | None = None
    preset: Preset = "evaluate"

    @property
    def may_use_gpu(self) -> bool:
        """See `Job.may_use_gpu`."""
        return may_use_gpu(self.network, self.engine)

    @contextlib.contextmanager
    def open(self) -> Iterator[Callable[[Photographs], list[People | str]]]:
        """See `Job.open`. A photograph that cannot be read gives the reason in place of its people."""
        with contextlib.ExitStack() as held:
            engine = held.enter_context(open_engine(self.network, self.engine))
            detector = None
            if self.detector is not None:
                detector = held.enter_context(
                    open_detector(self.detector, self.detector_engine, DecodeOptions("evaluate", self.detector_score))
                )

            def find(some: Photographs) -> list[People | str]:
                annotated = None if some.boxes is None else cast(AnnotatedPhotos, some)
                reasons: dict[int, str] = {}
                done = [0]

                def broken(error: PosetrtError) -> People:
                    reasons[done[0]] = str(error)
                    return nobody(len(engine.manifest.skeleton.parts))

                found = people_of(
                    engine,
                    some.paths,
                    annotated,
                    detector=detector,
                    scales=self.scales,
                    grow=self.grow,
                    preset=self.preset,
                    progress=lambda count: done.__setitem__(0, count),
                    broken=broken,
                )
                return [reasons.get(place, people) for place, people in enumerate(found)]

            yield find

    def check(self, first: Photographs) -> None:
        """See `Job.check`."""
        if not first.paths[0].is_file():
            raise PosetrtError(f"there is no photograph {first.paths[0]} here")
        with self.open():
            pass


def people_on(
    job: EvaluationJob,
    paths: Sequence[Path],
    annotated: AnnotatedPhotos | None,
    place: Place,
    *,
    progress: Callable[[int], None],
    broken: Callable[[PosetrtError], People],
    say: Callable[[str], None],
) -> list[People]:
    """People of each photograph, in its pixels, in the order of `paths`: those that `people_of` finds on this machine.

    Args:
        job: what is done.
        paths: photographs.
        annotated: its boxes are looked at by a network for one person.
        place: where.
        progress: takes how many photographs are done.
        broken: gives what stands for a photograph that cannot be read.
        say: takes a line that says where the work is done.

    Raises:
        PosetrtError: photographs were lost with their workers, so that no figure would be right; or as `outcomes`.
    """
    absolute = [path.absolute() for path in paths]
    boxes = None if annotated is None else annotated.boxes
    items = (
        Photographs(start, tuple(absolute[start : start + AT_ONCE]), None if boxes is None else tuple(boxes[start : start + AT_ONCE]))
        for start in range(0, len(paths), AT_ONCE)
    )
    found: list[People | str | None] = [None] * len(paths)
    done = 0
    for outcome in outcomes(job, items, place.on, place.workers, threads=place.threads, say=say):
        some: Photographs = outcome.item
        if outcome.value is None:
            raise PosetrtError(
                f"photographs {some.start} to {some.start + len(some.paths) - 1} (from {some.paths[0].name}) could not be worked on, so the "
                f"figures would be wrong: {outcome.error}"
            )
        found[some.start : some.start + len(some.paths)] = outcome.value
        done += len(some.paths)
        progress(done)
    return [broken(PosetrtError(one)) if isinstance(one, str) else one for one in found if one is not None]
