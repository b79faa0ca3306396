"""Where two networks, or two precisions of one, disagree most in a corpus."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from posetrt.calib.accuracy.agreement import agreement
from posetrt.corpus.label import frames_of, may_use_gpu, opened, source_of
from posetrt.corpus.listing import Clip, clip_at
from posetrt.corpus.work import Outcome
from posetrt.runtime.engines.choose import open_engine
from posetrt.runtime.engines.triton import is_remote
from posetrt.runtime.errors import UsageError
from posetrt.runtime.model.folder import open_folder
from posetrt.runtime.model.manifest import Manifest, manifest_of_onnx
from posetrt.runtime.model.sidecar import read_sidecar, sidecar_path
from posetrt.runtime.model.skeleton import Skeleton, load_skeleton
from posetrt.runtime.people import People, to_coco17
from posetrt.runtime.pose import PoseOptions

BILLION = 1_000_000_000
APART_S = 1.0
"""Between two frames of one clip that are both among the worst: neighbours show the same."""


@dataclass(frozen=True)
class WorstFrame:
    """A frame in which two networks see different people.

    Attributes:
        agreement: OKS between their people, 0 to 1.
        source: path of the clip.
        index, time_s, name: of the frame.
        first, second: the people of each network, in pixels.
    """

    agreement: float
    source: str
    index: int
    time_s: float
    name: str
    first: People = field(compare=False)
    second: People = field(compare=False)

    @property
    def order(self) -> tuple[float, str, int]:
        """Worst first; the same whoever looked at it when."""
        return self.agreement, self.source, self.index


@dataclass(frozen=True)
class Compared:
    """What two networks gave on a clip, or on a corpus.

    Attributes:
        frames: looked at.
        counts_differ: frames with another number of people.
        first, second: people of each network.
        alike: twice the similarities of all matched people, in billionths: whole numbers come to the same sum in any order. Over the number
            of people of both it is their agreement.
        worst: frames that disagree most, the worst first; none within a second of another of its clip.
    """

    frames: int = 0
    counts_differ: int = 0
    first: int = 0
    second: int = 0
    alike: int = 0
    worst: Sequence[WorstFrame] = ()

    @property
    def agreement(self) -> float:
        """OKS between the people of both, 0 to 1; 1 where neither found anybody."""
        people = self.first + self.second
        return self.alike / people / BILLION if people else 1.0

    def joined(self, other: Compared, keep: int) -> Compared:
        """Both together, with the `keep` worst frames."""
        return Compared(
            self.frames + other.frames,
            self.counts_differ + other.counts_differ,
            self.first + other.first,
            self.second + other.second,
            self.alike + other.alike,
            sorted([*self.worst, *other.worst], key=lambda frame: frame.order)[:keep],
        )


@dataclass(frozen=True)
class CompareJob:
    """Let two networks look at the same frames of a clip.

    Attributes:
        networks: two model folders, .onnx files or engines.
        options: how each is opened.
        every: look at every so many frames of a video.
        keep: frames of a clip that may be among the worst.
    """

    networks: tuple[Path, Path]
    options: tuple[PoseOptions, PoseOptions]
    every: int = 1
    keep: int = 12

    @property
    def may_use_gpu(self) -> bool:
        """See `Job.may_use_gpu`."""
        return any(may_use_gpu(path, options.engine) for path, options in zip(self.networks, self.options, strict=True))

    @contextlib.contextmanager
    def open(self) -> Iterator[Callable[[Clip], Compared]]:
        """See `Job.open`."""
        with opened(self.networks[0], self.options[0]) as first, opened(self.networks[1], self.options[1]) as second:
            skeleton, alike = common_skeleton(first.skeleton, second.skeleton)

            def compare(clip: Clip) -> Compared:
                source = source_of(clip)
                step = self.every if source.fps is not None else 1
                frames, found = [], Compared()
                for frame in itertools.islice(frames_of(source), 0, None, step):
                    people = [pose(frame.image) for pose in (first, second)]
                    oks = agreement([alike(people[0])], [alike(people[1])], skeleton).oks
                    counts = [len(one) for one in people]
                    found = replace(
                        found,
                        frames=found.frames + 1,
                        counts_differ=found.counts_differ + (counts[0] != counts[1]),
                        first=found.first + counts[0],
                        second=found.second + counts[1],
                        alike=found.alike + round(oks * sum(counts) * BILLION),
                    )
                    if oks < 1:
                        frames.append(WorstFrame(oks, clip.path, frame.index, frame.time_s, frame.name, people[0], people[1]))
                        if len(frames) > 50 * self.keep:
                            frames = _apart(frames, self.keep)
                return replace(found, worst=_apart(frames, self.keep))

            yield compare

    def check(self, first: Clip) -> None:
        """See `Job.check`."""
        clip_at(first.path)
        with self.open():
            pass


def join(outcomes: Iterator[Outcome], keep: int, failed: Callable[[Outcome], None]) -> Compared:
    """What a corpus comes to, whoever looked at which clip when.

    Args:
        outcomes: of a `CompareJob`.
        keep: frames that are kept.
        failed: takes those of clips that could not be read.
    """
    total = Compared()
    for outcome in outcomes:
        if outcome.value is None:
            failed(outcome)
        else:
            total = total.joined(outcome.value, keep)
    return total


def common_skeleton(first: Skeleton, second: Skeleton) -> tuple[Skeleton, Callable[[People], People]]:
    """The skeleton in which the people of two networks can be compared, and what brings people there.

    Raises:
        UsageError: there is none.
    """
    if first.parts == second.parts:
        return first, lambda people: people
    if not (first.coco17 and second.coco17):
        raise UsageError(
            f"skeletons {first.name} and {second.name} have no key points in common that are known: networks of one skeleton can be compared, "
            "and those whose skeletons have COCO's 17 parts"
        )
    by_parts = {one.parts: one for one in (first, second)}

    def alike(people: People) -> People:
        own = people.named()
        return replace(people, keypoints=to_coco17(people, by_parts.get(own.parts, own)), extras={}, skeleton=None)

    return load_skeleton("coco17"), alike


def manifest_at(path: Path) -> Manifest:
    """Of a model folder, a bare .onnx or an engine, without opening it; of a network on a server.

    Raises:
        PosetrtError: there is none.
    """
    if is_remote(path):
        with open_engine(path) as engine:
            return engine.manifest
    if path.is_dir():
        return open_folder(path).manifest()
    if not path.is_file():
        raise UsageError(f"there is no model folder, .onnx or engine at {path}")
    return read_sidecar(path).manifest if sidecar_path(path).is_file() else manifest_of_onnx(path)


def _apart(frames: Sequence[WorstFrame], keep: int) -> list[WorstFrame]:
    """The worst frames of one clip, none within a second of a worse one; photographs are no neighbours."""
    chosen: list[WorstFrame] = []
    for frame in sorted(frames, key=lambda one: one.order):
        if len(chosen) == keep:
            break
        if frame.time_s == 0 or all(abs(frame.time_s - other.time_s) >= APART_S for other in chosen):
            chosen.append(frame)
    return chosen
