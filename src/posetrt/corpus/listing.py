"""What `--source` names of a corpus, listed lazily: a million clips take no more memory than ten."""

from __future__ import annotations

import fnmatch
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.sources.files import PHOTO_SUFFIXES, VIDEO_SUFFIXES
from posetrt.runtime.sources.names import readable

_MAGIC = frozenset("*?[")


@dataclass(frozen=True)
class Clip:
    """One source of a corpus: a video, a photograph, or a folder of photographs.

    Attributes:
        path: absolute, so that every worker opens the same file.
        size: bytes; of a folder, of all its photographs.
        mtime_ns: last change; of a folder, the latest of its photographs'.
    """

    path: str
    size: int
    mtime_ns: int

    @property
    def key(self) -> str:
        """Names the clip's files: 16 hexadecimal digits of its path's hash."""
        return hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]


def clip_at(path: str | Path) -> Clip:
    """The clip at a path.

    Raises:
        PosetrtError: there is no such file, or a folder without photographs.
    """
    path = os.path.abspath(path)  # noqa: PTH100 a link stays the name that the user gave
    try:
        if not Path(path).is_dir():
            stat = os.stat(path)  # noqa: PTH116 names may be no UTF-8
            return Clip(path, stat.st_size, stat.st_mtime_ns)
        stats = [one.stat() for one in photographs_of(path)]
    except OSError as error:
        raise PosetrtError(f"cannot read {readable(path)}: {error.strerror or error}") from error
    if not stats:
        raise PosetrtError(f"{readable(path)} holds no photographs")
    return Clip(path, sum(one.st_size for one in stats), max(one.st_mtime_ns for one in stats))


def photographs_of(folder: str | Path) -> list[Path]:
    """The photographs of a folder by their suffix, by name."""
    return sorted(one for one in Path(folder).iterdir() if _is_photograph(one.name) and one.is_file())


def content_sha256(clip: Clip) -> str:
    """The hash of a clip's bytes; of a folder, of its photographs' names and bytes.

    Raises:
        PosetrtError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        folder = Path(clip.path).is_dir()
        for path in photographs_of(clip.path) if folder else [Path(clip.path)]:
            if folder:
                digest.update(os.fsencode(path.name) + b"\0")
            with path.open("rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
    except OSError as error:
        raise PosetrtError(f"cannot read {readable(clip.path)}: {error.strerror or error}") from error
    return digest.hexdigest()


def clips(sources: Sequence[str]) -> Iterator[Clip]:
    """The clips that `--source` names, in no particular order, each found when it is asked for.

    Args:
        sources: each a file; a folder, of which every video below it is a clip, and every folder's photographs are one; a pattern
            (`*`, `?`, `[...]`, and `**` for any folders); or a list, a `.txt` file with a path a line, relative to the list's folder.

    Raises:
        UsageError: a source that names nothing.
        PosetrtError: a list that cannot be read.
    """
    for source in sources:
        found = False
        for path in _paths(source):
            found = True
            try:
                clip = clip_at(path)
            except PosetrtError:
                # It is gone since it was listed, or a list names what is not there: the worker says so.
                clip = Clip(os.path.abspath(path), 0, 0)  # noqa: PTH100
            yield clip
        if not found:
            raise UsageError(
                f"--source {readable(source)} names no video and no photograph; give a file, a folder, a pattern in quotes, or a list"
            )


def check_sources(sources: Sequence[str]) -> None:
    """Find wrong sources before the first clip is worked on. What a pattern matches is known only when it is listed.

    Raises:
        UsageError: nothing stands at a path.
    """
    for source in sources:
        if not os.path.lexists(source) and not _MAGIC & set(source):
            raise UsageError(f"there is no file, folder or list at {readable(source)}")


def _paths(source: str) -> Iterator[str]:
    if not os.path.lexists(source) and _MAGIC & set(source):
        parts = Path(source).parts
        fixed = next(place for place, part in enumerate(parts) if _MAGIC & set(part))
        yield from _matching(str(Path(*parts[:fixed])) if fixed else ".", parts[fixed:])
    elif Path(source).is_dir():
        yield from _below(source)
    elif source.lower().endswith(".txt"):
        yield from _listed(Path(source))
    elif os.path.lexists(source):
        yield source


def _listed(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            for line in file:
                name = os.fsdecode(line.rstrip(b"\r\n"))
                if name:
                    yield str(path.parent / name)
    except OSError as error:
        raise PosetrtError(f"cannot read the list {readable(str(path))}: {error.strerror or error}") from error


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    """What a folder holds, read as it is asked for; a folder that cannot be read holds nothing."""
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError:
        return


def _below(folder: str) -> Iterator[str]:
    photographs = False
    for entry in _entries(folder):
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path)
        elif _suffix(entry.name) in VIDEO_SUFFIXES:
            yield entry.path
        elif _is_photograph(entry.name):
            photographs = True
    if photographs:
        yield folder


def _matching(folder: str, parts: Sequence[str]) -> Iterator[str]:
    """Files, and folders of photographs, below `folder` that match; hidden ones only where the pattern says so."""
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _matching(folder, rest or ("*",))
    elif not _MAGIC & set(part):
        path = str(Path(folder, part))
        if not os.path.lexists(path):
            return
        if rest:
            yield from _matching(path, rest)
        else:
            yield path
        return
    for entry in _entries(folder):
        if entry.name.startswith(".") and not part.startswith("."):
            continue
        if part == "**":
            if entry.is_dir(follow_symlinks=False):
                yield from _matching(entry.path, parts)
        elif fnmatch.fnmatchcase(entry.name, part):
            if rest and entry.is_dir():
                yield from _matching(entry.path, rest)
            elif not rest and (entry.is_file() or any(_is_photograph(each.name) for each in _entries(entry.path))):
                yield entry.path


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122


def _is_photograph(name: str) -> bool:
    return not name.startswith(".") and _suffix(name) in PHOTO_SUFFIXES
