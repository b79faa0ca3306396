"""What a folder of results says of itself: of which model it is, and what became of each clip."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from posetrt.corpus.label import Shard
from posetrt.corpus.listing import Clip
from posetrt.corpus.shards import SINKS
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.fields import read_fields
from posetrt.runtime.files import read_json, write_json, written_together, written_whole
from posetrt.runtime.sources.names import readable

_BYTES_OF_A_STEM = 80
"""Of a clip's name in the names of its files: a name has room for 255 bytes."""


@dataclass(frozen=True)
class Record:
    """What became of a clip.

    Attributes:
        source: its path.
        key: names its files.
        state: "done"; "incomplete": results of what could be read; "failed": the clip cannot be read; "undone": its workers failed, and the
            next call tries it again.
        size, mtime_ns: of the clip, so that one that changed is known without reading it.
        sha256: of its content; "" where it could not be read.
        frames, people: how many.
        files: name of each file below the folder by its sink, and
        bytes: how long each is.
        notes: what could not be read.
        error: why it failed.
        attempts: how often it was tried; 0 where it succeeded.
    """

    source: str
    key: str
    state: str
    size: int
    mtime_ns: int
    sha256: str = ""
    frames: int = 0
    people: int = 0
    files: Mapping[str, str] = field(default_factory=dict)
    bytes: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()
    error: str = ""
    attempts: int = 0


class Results:
    """A folder of results. Use it as a context manager: one command at a time writes to it.

    `job.json` says of which model it is; `done/` has a record a clip, which is written together with the clip's files and after them;
    `manifest.jsonl` has all records, in the order of their keys.

    Args:
        folder: made where absent.
        job: what decides the results: the model's hashes, precision, options.

    Raises:
        UsageError: it holds the results of another model or of other options.
        PosetrtError: it cannot be written, or another command writes to it.
    """

    def __init__(self, folder: Path, job: Mapping[str, Any]) -> None:
        self.folder, self._job = folder, json.loads(json.dumps(job))

    def __enter__(self) -> Results:
        path = self.folder / "job.json"
        if path.is_file():
            theirs = read_json(path, "note of a folder of results")
            if theirs != self._job and not any((self.folder / "done").glob("*/*.json")):
                write_json(path, self._job)  # of a call that could not begin
            elif theirs != self._job:
                raise UsageError(
                    f"{self.folder} holds the results of another job; give another --output. There, and here:",
                    *_differences(theirs, self._job),
                )
        elif any((self.folder / name).exists() for name in ("done", *SINKS)):
            raise UsageError(f"{self.folder} holds results, but no job.json that says of which model; give another --output")
        else:
            write_json(path, self._job)
        self._lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):
            # A file system without locks is not guarded.
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._lock)
                raise PosetrtError(f"another posetrt map writes to {self.folder}; wait for it, or give another --output") from None
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def record(self, clip: Clip) -> Record | None:
        """What is known of a clip; None where nothing is, or where a file of it is gone."""
        path = self._record_path(clip.key)
        if not path.is_file():
            return None
        try:
            record = _record(path)
            whole = all((self.folder / name).stat().st_size == record.bytes[sink] for sink, name in record.files.items())
        except (PosetrtError, OSError, KeyError):
            return None  # damaged or gone: it is made again
        return record if whole and record.source == readable(clip.path) else None

    def keep(self, clip: Clip, shard: Shard) -> None:
        """Write a clip's files and its record; all or nothing.

        Raises:
            PosetrtError: they cannot be written, as on a full disk; what stood there is unchanged.
        """
        stem = os.fsdecode(os.fsencode(readable(Path(clip.path).stem))[:_BYTES_OF_A_STEM])
        names = {sink: f"{sink}/{clip.key[:2]}/{readable(stem)}-{clip.key}.{SINKS[sink].suffix}" for sink in shard.files}
        files, sizes = dict(names), {sink: len(data) for sink, data in shard.files.items()}
        before = self.record(clip)
        if before is not None and before.sha256 == shard.sha256:
            # What other sinks of an earlier call wrote of the same content stays known.
            files, sizes = {**before.files, **files}, {**before.bytes, **sizes}
        record = Record(
            readable(clip.path),
            clip.key,
            "done" if shard.complete else "incomplete",
            clip.size,
            clip.mtime_ns,
            shard.sha256,
            shard.frames,
            shard.people,
            {sink: files[sink] for sink in SINKS if sink in files},
            {sink: sizes[sink] for sink in SINKS if sink in sizes},
            shard.notes,
        )
        with written_together(*(self.folder / name for name in names.values()), self._record_path(clip.key)) as temporaries:
            for temporary, data in zip(temporaries, (*shard.files.values(), _line(record)), strict=True):
                temporary.write_bytes(data)

    def touch(self, clip: Clip, record: Record) -> None:
        """Note that a clip whose date changed has the content that was labelled."""
        self._write(replace(record, size=clip.size, mtime_ns=clip.mtime_ns))

    def fail(self, clip: Clip, error: str, attempts: int, *, lasting: bool) -> None:
        """Note a clip that no attempt could label; `lasting` where the clip itself is at fault."""
        state = "failed" if lasting else "undone"
        self._write(Record(readable(clip.path), clip.key, state, clip.size, clip.mtime_ns, error=error, attempts=attempts))

    def manifest(self) -> Path:
        """Write manifest.jsonl from the records, and give its path."""
        path = self.folder / "manifest.jsonl"
        with written_whole(path) as temporary, temporary.open("wb") as file:
            for line in self._lines():
                file.write(line)
        return path

    def _lines(self) -> Iterator[bytes]:
        done = self.folder / "done"
        for folder in sorted(done.iterdir()) if done.is_dir() else []:
            for path in sorted(folder.glob("[!.]*.json")):
                yield path.read_bytes()

    def _write(self, record: Record) -> None:
        with written_whole(self._record_path(record.key)) as temporary:
            temporary.write_bytes(_line(record))

    def _record_path(self, key: str) -> Path:
        return self.folder / "done" / key[:2] / f"{key}.json"


def _line(record: Record) -> bytes:
    return json.dumps(asdict(record), separators=(",", ":")).encode() + b"\n"


def _record(path: Path) -> Record:
    given = read_fields(path, "record of a clip")
    return Record(**{each.name: given.values[each.name] for each in fields(Record)})


def _differences(theirs: Any, ours: Mapping[str, Any]) -> list[str]:
    there = theirs if isinstance(theirs, Mapping) else {}
    return [f"  {name}: {there.get(name)!r}; {ours.get(name)!r}" for name in {**there, **ours} if there.get(name) != ours.get(name)]
