"""Names of files as they may be printed, written and used to name other files: readable, and each different from the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from posetrt.runtime.errors import UsageError


def readable(name: str) -> str:
    """The name without what UTF-8, a terminal or a line of a table cannot take: such bytes become %XX, as in an address.

    Python gives a byte of a file's name that is no UTF-8 as a lone surrogate (PEP 383).
    """
    return "".join(_escaped(character) for character in name)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"%{code - 0xDC00:02X}"
    if code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code <= 0xDFFF or code in (0x2028, 0x2029):
        return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
    return character


def frame_names(paths: Sequence[Path]) -> list[str]:
    """A name for each photograph that no other has, also where files differ by suffix alone: the stem, else the whole name, else numbered.

    Names that differ in case alone count as the same, since many file systems take them for one.
    """
    stems = [readable(path.stem) for path in paths]
    counts = Counter(stem.casefold() for stem in stems)
    names = [stem if counts[stem.casefold()] == 1 else readable(path.name) for stem, path in zip(stems, paths, strict=True)]
    # A stem that is nobody else's keeps its name; a whole name that meets one is numbered.
    taken = {stem.casefold() for stem in stems if counts[stem.casefold()] == 1}
    given = []
    for name, stem in zip(names, stems, strict=True):
        if counts[stem.casefold()] > 1:
            name = _free(name, taken)
            taken.add(name.casefold())
        given.append(name)
    return given


def source_labels(labels: Sequence[str]) -> list[str]:
    """A different label for each source, also as a part of a path: a second `camera` is `camera-2`, and `door_1` beside `door 1` is `door_1-2`.

    Frames are called LABEL_NAME, so none may begin with another one and an underscore either: beside `cam_1`, `cam` is `cam-1`.
    """
    given: list[str] = []
    for label in labels:
        taken = {path_part(other).casefold() for other in given}
        others = [other.casefold() for other in labels if other != label]
        first = any(other.startswith(f"{label.casefold()}_") for other in others)
        given.append(_free(label, taken, start=1 if first else 2, form=path_part))
    return given


def path_part(label: str) -> str:
    """A source's label as one part of a topic's or an entity's path: letters, digits and `_-.`, never empty."""
    return "".join(letter if letter.isalnum() or letter in "_-." else "_" for letter in label) or "source"


def _free(name: str, taken: set[str], start: int = 2, form: Callable[[str], str] = str) -> str:
    """The name, or the first of name-start, name-(start + 1), ... whose `form` is not taken; from 1 on also where the name itself is free."""
    if start > 1 and form(name).casefold() not in taken:
        return name
    number = start
    while form(f"{name}-{number}").casefold() in taken:
        number += 1
    return f"{name}-{number}"


def check_image_ids(names: Sequence[str], image_id: Callable[[int], int]) -> None:
    """Refuse photographs that would share an image id.

    Raises:
        UsageError: names two of them, and the number.
    """
    seen: dict[int, str] = {}
    for place, name in enumerate(names):
        number = image_id(place)
        if number in seen:
            raise UsageError(
                f"{seen[number]} and {name} would both be image {number}: COCO's image ids are the numbers at the end of the names. "
                "Rename them, run each folder alone, or write --jsonl or --write-json, which go by the name"
            )
        seen[number] = name
