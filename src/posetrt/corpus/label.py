"""The job of `posetrt map`: the people of each clip, as files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from posetrt.corpus.listing import Clip, clip_at, content_sha256, photographs_of
from posetrt.corpus.shards import SINKS, arrow
from posetrt.corpus.work import Unreadable
from posetrt.runtime.engines.choose import EngineOptions
from posetrt.runtime.engines.triton import is_remote
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.pose import Pose, PoseOptions, open_pose
from posetrt.runtime.sinks.base import Result
from posetrt.runtime.sources import Photos, Source, open_source
from posetrt.runtime.sources.base import Frame
from posetrt.runtime.track.tracker import Tracker


@dataclass(frozen=True)
class Wanted:
    """A clip to label.

    Attributes:
        clip: which.
        known_sha256: of its content when it was labelled before; the same content is not labelled again.
    """

    clip: Clip
    known_sha256: str = ""


@dataclass(frozen=True)
class Shard:
    """What a clip gives.

    Attributes:
        files: bytes of each file by its sink; none where the content is what was labelled before.
        sha256: of the clip's content.
        frames, people: how many.
        notes: what could not be read of it, a sentence each.
        complete: whether the clip gave all that it promised.
    """

    files: Mapping[str, bytes]
    sha256: str
    frames: int = 0
    people: int = 0
    notes: tuple[str, ...] = ()
    complete: bool = True


@dataclass(frozen=True)
class LabelJob:
    """Find the people of clips.

    Attributes:
        network: a model folder, a bare .onnx or an engine, by a path that every worker has.
        options: how it is opened.
        sinks: names in `SINKS`.
        track: give the people of a video stable ids.
        note: what the files say of where they come from.
    """

    network: Path
    options: PoseOptions
    sinks: tuple[str, ...]
    track: bool
    note: Mapping[str, Any]

    @property
    def may_use_gpu(self) -> bool:
        """See `Job.may_use_gpu`."""
        return may_use_gpu(self.network, self.options.engine)

    @contextlib.contextmanager
    def open(self) -> Iterator[Callable[[Wanted], Shard]]:
        """Open the networks; see `Job.open`."""
        with opened(self.network, self.options) as pose:
            yield lambda wanted: self._label(pose, wanted)

    def check(self, first: Wanted) -> None:
        """See `Job.check`."""
        if "parquet" in self.sinks:
            arrow()
        clip_at(first.clip.path)
        with self.open():
            pass

    def _label(self, pose: Pose, wanted: Wanted) -> Shard:
        try:
            clip = clip_at(wanted.clip.path)
            digest = content_sha256(clip)
        except PosetrtError as error:
            raise Unreadable(str(error)) from error
        if digest == wanted.known_sha256:
            return Shard({}, digest)
        files = {name: SINKS[name](pose.manifest, self.note) for name in self.sinks}
        frames = people = 0
        source, results = people_of_clip(pose, clip, track=self.track)
        for result in results:
            frames, people = frames + 1, people + len(result.people)
            for file in files.values():
                file.add(result)
        notes = (*source.skipped, *((source.shortfall,) if source.shortfall else ()))
        return Shard({name: file.done() for name, file in files.items()}, digest, frames, people, notes, not notes)


def may_use_gpu(network: Path, options: EngineOptions) -> bool:
    """Whether a network runs on a GPU of its worker where there is one."""
    return options.backend != "onnxruntime" and not is_remote(network)


@contextlib.contextmanager
def opened(network: Path, options: PoseOptions) -> Iterator[Pose]:
    """The networks, with OpenCV on as many threads as they have: workers side by side share the cores."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(max(1, options.engine.threads))
    try:
        with open_pose(network, options) as pose:
            yield pose
    finally:
        cv2.setNumThreads(before)


def people_of_clip(pose: Pose, clip: Clip, *, track: bool) -> tuple[Source, Iterator[Result]]:
    """A clip's source, and the people of each of its frames in order, one frame at a time.

    Raises:
        Unreadable: at once or on the way: no decoder reads it.
    """
    source = source_of(clip)
    return source, _results(pose, source, track and source.fps is not None)


def source_of(clip: Clip) -> Source:
    """What gives a clip's frames.

    Raises:
        Unreadable: no decoder reads it.
    """
    path = Path(clip.path)
    try:
        return Photos(photographs_of(path)) if path.is_dir() else open_source(path)
    except PosetrtError as error:
        raise Unreadable(str(error)) from error


def _results(pose: Pose, source: Source, track: bool) -> Iterator[Result]:
    tracker = Tracker(pose.skeleton) if track else None
    for frame in frames_of(source):
        people = pose(frame.image)
        if tracker is not None:
            people = tracker.update(people, frame.time_s)
        yield Result(frame, people, pose.manifest, skeletons=pose.skeletons)


def frames_of(source: Source) -> Iterator[Frame]:
    """The source's frames with its label.

    Raises:
        Unreadable: no decoder reads it.
    """
    frames = iter(source)
    while True:
        try:
            frame = next(frames, None)
        except PosetrtError as error:
            raise Unreadable(str(error)) from error
        if frame is None:
            return
        yield replace(frame, label=source.label)
