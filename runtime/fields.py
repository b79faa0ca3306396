"""The values of a JSON file of ours, each read with the type and the range that it must have.

Plain code, not msgspec or pydantic: the same files are read on the robot, where NumPy is all there is, and at the desk, and one reader
gives both the same errors. An error names the file, the field, the value and what is right.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from posetrt.runtime.errors import PosetrtError, printable
from posetrt.runtime.files import read_json

LARGEST_SIDE = 16384  # px of a network's input: four times as wide as any camera that a robot carries
LARGEST_FLOAT32 = 3.4028234663852886e38
LONGEST_TEXT = 4096  # characters: a licence note is the longest text in any of our files
_SHOWN = 60  # characters of a wrong value that an error repeats


@dataclass(frozen=True)
class Fields:
    """One JSON object.

    Attributes:
        values: name → value, as the JSON reader gave them.
        where: the file, for errors.
        remedy: what to do about a wrong value, for errors: a sentence, or "".
        error: what a wrong value raises.
        path: names of the objects around this one, each with a dot behind it.
    """

    values: Mapping[str, Any]
    where: str
    remedy: str = ""
    error: type[PosetrtError] = PosetrtError
    path: str = ""

    def __contains__(self, name: str) -> bool:
        """Whether the field is there and is not null."""
        return self.values.get(name) is not None

    def only(self, known: Collection[str]) -> None:
        """Refuse names that are not known.

        Raises:
            PosetrtError: lists them, and those that are known.
        """
        unknown = sorted(set(self.values) - set(known))
        if unknown:
            self._fail(
                f"{self.where}: {self.path or 'the object'} has {', '.join(map(str, unknown[:8]))}; known are {', '.join(sorted(known))}"
            )

    def text(
        self, name: str, default: str | None = None, *, one_of: Collection[str] = (), longest: int = LONGEST_TEXT, form: str | None = None
    ) -> str:
        """A text without control characters.

        Args:
            default: for a field that is absent or null; None where there must be one.
            one_of: the texts that it may be; empty for any.
            longest: characters.
            form: a regular expression that all of it must match.
        """
        value = self._value(name, default)
        if one_of and value not in one_of:
            self.refuse(name, value, f"one of {', '.join(one_of)}")
        if not isinstance(value, str) or len(value) > longest or value != printable(value) or (form and not re.fullmatch(form, value)):
            self.refuse(name, value, f"a text of at most {longest} printable characters" + (f" of the form {form}" if form else ""))
        return value

    def sha256(self, name: str, default: str | None = None) -> str:
        """A SHA-256 in hex."""
        return self.text(name, default, form="[0-9a-f]{64}|")

    def whole(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number from `low` to `high`."""
        value = self._value(name, default)
        if not _is_number(value) or value != int(value) or not low <= value <= high:
            self.refuse(name, value, f"a whole number from {low} to {high}")
        return int(value)

    def number(self, name: str, low: float = -math.inf, high: float = math.inf, default: float | None = None) -> float:
        """A finite number from `low` to `high`."""
        value = self._value(name, default)
        if not _is_number(value) or not low <= value <= high:
            self.refuse(name, value, f"a number{_span(low, high)}")
        return float(value)

    def flag(self, name: str, default: bool | None = None) -> bool:
        """True or false."""
        value = self._value(name, default)
        if not isinstance(value, bool):
            self.refuse(name, value, "true or false")
        return value

    def texts(self, name: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
        """A list of texts."""
        listed = self._list(name, default, "texts")
        return tuple(self._item(name, index, value).text("") for index, value in enumerate(listed))

    def wholes(self, name: str, low: int, high: int, count: int | None = None, default: Sequence[int] | None = None) -> tuple[int, ...]:
        """A list of whole numbers, `count` of them where given."""
        listed = self._list(name, default, f"whole numbers from {low} to {high}", count)
        return tuple(self._item(name, index, value).whole("", low, high) for index, value in enumerate(listed))

    def numbers(
        self,
        name: str,
        low: float = -math.inf,
        high: float = math.inf,
        count: int | None = None,
        default: Sequence[float] | None = None,
    ) -> tuple[float, ...]:
        """A list of finite numbers, `count` of them where given."""
        listed = self._list(name, default, f"numbers{_span(low, high)}", count)
        return tuple(self._item(name, index, value).number("", low, high) for index, value in enumerate(listed))

    def size_wh(self, name: str) -> tuple[int, int]:
        """Width and height of a network's input, in pixels."""
        width, height = self.wholes(name, 1, LARGEST_SIDE, 2)
        return width, height

    def inner(self, name: str) -> Fields:
        """The object in a field."""
        value = self._value(name, None)
        if not isinstance(value, Mapping):
            self.refuse(name, value, "an object")
        return Fields(value, self.where, self.remedy, self.error, f"{self.path}{name}.")

    def inners(self, name: str) -> list[Fields]:
        """The objects of a list."""
        listed = self._list(name, None, "objects")
        return [self._item(name, index, value).inner("") for index, value in enumerate(listed)]

    def by_name(self, name: str) -> dict[str, Fields]:
        """The objects of an object, by their names there."""
        return {str(key): self.inner(name).inner(key) for key in self.inner(name).values}

    def refuse(self, name: str, value: Any, expected: str) -> NoReturn:
        """Raise the error of a wrong value; `expected` is what would be right."""
        self._fail(f"{self.where}: {self._called(name)} is {_shown(value)}; {expected} was expected")

    def _value(self, name: str, default: Any) -> Any:
        value = self.values.get(name)
        if value is None:
            value = default
        if value is None:
            found = "is null" if name in self.values else "is missing"
            self._fail(f"{self.where}: {self._called(name)} {found}")
        return value

    def _list(self, name: str, default: Sequence[Any] | None, of: str, count: int | None = None) -> Sequence[Any]:
        value = self._value(name, default)
        if not isinstance(value, list | tuple) or (count is not None and len(value) != count):
            self.refuse(name, value, f"a list of {of}" if count is None else f"a list of {count} {of}")
        return value

    def _item(self, name: str, index: int, value: Any) -> Fields:
        """An element of a list as an object whose one field has no name of its own."""
        return Fields({"": value}, self.where, self.remedy, self.error, f"{self.path}{name}[{index}]")

    def _called(self, name: str) -> str:
        return f"{self.path}{name}".rstrip(".") or "the content"

    def _fail(self, said: str) -> NoReturn:
        raise self.error(f"{said}. {self.remedy}" if self.remedy else said)


def fields_of(value: Any, where: str, what: str, remedy: str = "", error: type[PosetrtError] = PosetrtError) -> Fields:
    """The fields of a JSON value that must be an object; `what` names it in the error, as in "sidecar".

    Raises:
        PosetrtError: it is none (or the error given).
    """
    if not isinstance(value, Mapping):
        raise error(f"{where}: the JSON object of a {what} was expected; got {_shown(value)}. {remedy}".rstrip())
    return Fields(value, where, remedy, error)


def read_fields(path: Path, what: str, remedy: str = "", error: type[PosetrtError] = PosetrtError) -> Fields:
    """Read a JSON file that holds one object.

    Raises:
        PosetrtError: missing, unreadable, no JSON, or no object (or the error given).
    """
    try:
        value = read_json(path, what)
    except PosetrtError as wrong:
        raise error(f"{wrong}. {remedy}".rstrip(". ") if remedy else str(wrong)) from wrong
    return fields_of(value, str(path), what, remedy, error)


def is_plain_name(name: str) -> bool:
    """Whether a text can be the name of one file or folder: no separator, no dots alone, nothing hidden or unprintable, not too long."""
    return bool(name) and not name.startswith(".") and not set(name) & set("/\\") and name == printable(name) and len(name.encode()) <= 200


def _is_number(value: Any) -> bool:
    """Whether a value is a number that a float can hold; a JSON true is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 2**1023 if isinstance(value, int) else math.isfinite(value)


def _span(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return ""
    return f" from {low:g} on" if math.isinf(high) else f" up to {high:g}" if math.isinf(low) else f" from {low:g} to {high:g}"


def _shown(value: Any) -> str:
    """A value for an error: short, also where it is long, deep or a number of thousands of digits."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**_SHOWN:
        return "a number of too many digits"
    if isinstance(value, Mapping):
        return f"an object with {', '.join(printable(str(key)) for key in list(value)[:4]) or 'nothing in it'}"
    if isinstance(value, list | tuple):
        inside = ", ".join("[…]" if isinstance(one, list | tuple | Mapping) else _shown(one) for one in value[:4])
        return f"[{inside}{', …' if len(value) > 4 else ''}]"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
