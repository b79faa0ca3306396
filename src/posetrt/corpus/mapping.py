"""`posetrt map`: the people of every clip of a corpus, resumable, on this machine or on a cluster."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from posetrt.corpus.fleet import check_place, outcomes
from posetrt.corpus.label import Wanted
from posetrt.corpus.listing import check_sources, clips
from posetrt.corpus.records import Record, Results
from posetrt.corpus.work import Job, Outcome
from posetrt.runtime.engines.choose import as_precision, default_precision
from posetrt.runtime.engines.triton import is_remote, remote_address
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.files import sha256_of
from posetrt.runtime.model.folder import open_folder
from posetrt.runtime.pose import PoseOptions
from posetrt.runtime.sources.names import readable

MOST_LISTED = 50
"""Failed clips that are held and printed; manifest.jsonl has all."""


@dataclass
class NodeShare:
    """What one machine did."""

    clips: int = 0
    frames: int = 0
    busy_s: float = 0.0


@dataclass
class Tally:
    """How a run of `map` stands.

    Attributes:
        listed: clips found so far; all of them once `whole`.
        whole: the list is at its end.
        earlier: clips that an earlier call did.
        done: clips that this call did, also those of which only a part could be read.
        failed: clips without a result, in this call or for good in an earlier one.
        frames, people: of this call.
        failures: the first of them with their errors.
        incomplete: the first clips of which a part could not be read, with what was missing.
        nodes: by the name of the machine.
        began_s: on the clock of `time.perf_counter`, and
        first_s: when the first worker had begun; None before the first outcome.
    """

    listed: int = 0
    whole: bool = False
    earlier: int = 0
    done: int = 0
    failed: int = 0
    frames: int = 0
    people: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    incomplete: list[tuple[str, str]] = field(default_factory=list)
    nodes: dict[str, NodeShare] = field(default_factory=dict)
    began_s: float = field(default_factory=time.perf_counter)
    first_s: float | None = None

    def line(self) -> str:
        """Progress in a line: clips, failures and rates."""
        spent = max(time.perf_counter() - self.began_s, 1e-9)
        of = f" of {self.listed}" if self.whole else ""
        return (
            f"{self.earlier + self.done + self.failed}{of} clips ({self.earlier} done earlier, {self.failed} failed); "
            f"{60 * self.done / spent:.1f} clips per minute, {self.frames / spent:.1f} frames per second"
        )

    def shares(self) -> list[str]:
        """What each machine did, a line each."""
        return [f"{name}: {one.clips} clips, {one.frames} frames, {one.busy_s:.0f} s of work" for name, one in sorted(self.nodes.items())]

    def add_failure(self, source: str, error: str) -> None:
        """Count a clip without a result."""
        self.failed += 1
        if len(self.failures) < MOST_LISTED:
            self.failures.append((source, error))

    def add_incomplete(self, source: str, notes: Sequence[str]) -> None:
        """Note a clip of which only a part could be read."""
        if len(self.incomplete) < MOST_LISTED:
            self.incomplete.append((source, "; ".join(notes)))


@dataclass(frozen=True)
class Place:
    """Where the work is done.

    Attributes:
        on: "local", "auto" or `ray://HOST:PORT`.
        workers: how many; 0 takes all that there is room for.
        threads: of each.
    """

    on: str = "local"
    workers: int = 0
    threads: int = 1


class ClipJob(Job, Protocol):
    """A job whose items are `Wanted` clips, and whose values are `Shard`s with a file for each of its sinks."""

    @property
    def sinks(self) -> Sequence[str]:
        """Names in `shards.SINKS`."""


def map_clips(
    job: ClipJob,
    sources: Sequence[str],
    output: Path,
    place: Place,
    *,
    note: Mapping[str, Any],
    retry_failed: bool = False,
    say: Callable[[str], None] = lambda _: None,
    progress: Callable[[Tally], None] = lambda _: None,
) -> Tally:
    """Label what is missing of a corpus.

    Args:
        job: what is done to each clip.
        sources: as `listing.clips` takes them.
        output: the folder of results; see `Results`.
        place: where the work is done.
        note: what decides the results; see `job_note`.
        retry_failed: try clips again that failed for good in an earlier call.
        say: takes lines for people.
        progress: is told after each clip.

    Raises:
        UsageError: a source that names nothing, or a folder of another model.
        PosetrtError: workers cannot be started, or the results cannot be written; what was written before is whole, and the same call
            goes on from there.
    """
    tally = Tally()
    check_place(place.on, place.workers)
    check_sources(sources)
    with Results(output, note) as results:
        missing = _missing(job, sources, results, tally, retry_failed=retry_failed)
        try:
            for outcome in outcomes(job, missing, place.on, place.workers, threads=place.threads, say=say):
                _keep(outcome, results, tally)
                progress(tally)
        except BaseException:
            with contextlib.suppress(PosetrtError):  # the disk is still full
                results.manifest()
            raise
        results.manifest()
    return tally


def _missing(job: ClipJob, sources: Sequence[str], results: Results, tally: Tally, *, retry_failed: bool) -> Iterator[Wanted]:
    for clip in clips(sources):
        tally.listed += 1
        record = results.record(clip)
        same = record is not None and (record.size, record.mtime_ns) == (clip.size, clip.mtime_ns)
        if record is not None and record.state in ("done", "incomplete") and set(job.sinks) <= set(record.files):
            if not same:
                yield Wanted(clip, record.sha256)
                continue
            tally.earlier += 1
            if record.state == "incomplete":
                tally.add_incomplete(record.source, record.notes)
        elif record is not None and record.state == "failed" and same and not retry_failed:
            tally.add_failure(record.source, record.error)
        else:
            yield Wanted(clip)
    tally.whole = True


def _keep(outcome: Outcome, results: Results, tally: Tally) -> None:
    try:
        _write(outcome, results, tally)
    except PosetrtError as error:
        raise PosetrtError(f"{error} {tally.done} clips were done in this call; the same command goes on from there") from error


def _write(outcome: Outcome, results: Results, tally: Tally) -> None:
    clip, shard = outcome.item.clip, outcome.value
    share = tally.nodes.setdefault(outcome.node or "not known", NodeShare())
    share.busy_s += outcome.busy_s
    if tally.first_s is None:
        tally.first_s = time.perf_counter() - outcome.busy_s
    if shard is None:
        tally.add_failure(readable(clip.path), outcome.error)
        results.fail(clip, outcome.error, outcome.attempts, lasting=outcome.lasting)
        return
    if not shard.files:
        record: Record | None = results.record(clip)
        if record is not None:
            results.touch(clip, record)
            tally.earlier += 1
            return
    results.keep(clip, shard)
    share.clips, share.frames = share.clips + 1, share.frames + shard.frames
    tally.done, tally.frames, tally.people = tally.done + 1, tally.frames + shard.frames, tally.people + shard.people
    if not shard.complete:
        tally.add_incomplete(readable(clip.path), shard.notes)


def job_note(network: Path, options: PoseOptions, *, track: bool) -> dict[str, Any]:
    """What decides the results of a job: the hash of each network, precision and options. Two jobs with the same note give the same bytes.

    Raises:
        PosetrtError: a network is not there.
    """
    import posetrt

    others = {"detector": options.detector, "hands": options.hands, "face": options.face}
    precisions = {"detector": options.detector_precision, "hands": options.hands_precision, "face": options.face_precision}
    return {
        "format": 1,
        "network": _identity(network, options.engine.precision),
        **{name: _identity(Path(path), precisions[name]) for name, path in others.items() if path is not None},
        "backend": options.engine.backend,
        "threads": options.engine.threads,
        "preset": options.preset,
        "boxes": None if options.boxes is None else str(options.boxes),
        "detector_score": options.detector_score,
        "grow": options.grow,
        "scales": list(options.scales),
        "track": track,
        "posetrt": posetrt.__version__,
    }


def _identity(path: Path, precision: str | None) -> dict[str, str]:
    if is_remote(path):
        return {"server": str(remote_address(path)), **({"precision": precision} if precision else {})}
    if path.is_file():
        return {"file": sha256_of(path)}
    folder = open_folder(path)
    chosen = as_precision(precision) if precision else default_precision(folder)
    # The ranges of INT8 change nothing in other precisions.
    hashes = {what: digest for what, digest in folder.hashes().items() if what == "model" or chosen == "int8"}
    return {**hashes, "precision": chosen}
