"""Which events are looked for: rules from a TOML file.

[[event]]
kind = "raised-hand"

[[event]]
kind = "line"
name = "door"
from = [0.2, 0.9]
to = [0.8, 0.9]
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.events.base import Rule
from posetrt.runtime.events.bodies import LEAST_SCORE, part_numbers
from posetrt.runtime.events.motions import Fallen, Wave
from posetrt.runtime.events.places import Line, Zone
from posetrt.runtime.events.postures import Angle, Lying, RaisedHand, Sitting
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.packages import install_hint

KINDS: dict[str, type[Rule]] = {each.kind: each for each in (Angle, RaisedHand, Wave, Lying, Fallen, Sitting, Line, Zone)}
"""Each kind of event by the name that rules files give it."""

_IN_FILE = {"start": "from", "end": "to"}
"""Fields whose names a rules file has as plain words."""

LOST_S = 2.0
"""Events of a person who is not seen for so long are over: as long as the tracker keeps an id."""


@dataclass(frozen=True)
class Rules:
    """The events looked for.

    Attributes:
        rules: one for each event; their names differ.
        least_score: from which a part counts as seen.
        lost_s: events of a person who is not seen for so long are over.
    """

    rules: tuple[Rule, ...]
    least_score: float = LEAST_SCORE
    lost_s: float = LOST_S

    def __post_init__(self) -> None:
        if not self.rules:
            raise UsageError(f"there is no rule; give one [[event]] at least, with kind = {' or '.join(KINDS)}")
        names = [rule.name for rule in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UsageError(f"two events are called {', '.join(twice)}: give each its own name = ...")
        if not 0 <= self.least_score <= 1:
            raise UsageError(f"least_score lies between 0 and 1; got {self.least_score:g}")
        if not 0 <= self.lost_s <= 3600:
            raise UsageError(f"lost_s lies between 0 and 3600 seconds; got {self.lost_s:g}")

    def check(self, skeleton: Skeleton) -> None:
        """Refuse a skeleton that lacks what a rule looks at.

        Raises:
            UsageError: it names the rules and the parts.
        """
        has = set(part_numbers(skeleton))
        lines = []
        for rule in self.rules:
            missing = [[part for part in way if part not in has] for way in rule.ways]
            if missing and all(missing):
                lines.append(f"  {rule.name} ({rule.kind}) needs {' or '.join(' and '.join(way) for way in rule.ways)}")
        if lines:
            parts = ", ".join(skeleton.parts[:30]) or "no parts: it is a detector's"
            raise UsageError(f"skeleton {skeleton.name!r} does not show what these events need; it has {parts}", *lines)


def load_rules(path: str | Path) -> Rules:
    """Rules from a TOML file.

    Raises:
        UsageError: no such file, no TOML, or an event, key or value that there is not; names those that there are.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the rules in {path}: {getattr(error, 'strerror', None) or error}") from error
    return rules_from(_parsed(text, path), str(path))


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        import tomllib
    except ModuleNotFoundError:
        try:
            import tomli as tomllib  # Python 3.10
        except ModuleNotFoundError as error:
            raise PosetrtError(f"rules files need the package tomli on Python 3.10: {install_hint('tomli')}") from error
    try:
        fields: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    return fields


def rules_from(fields: Mapping[str, Any], where: str) -> Rules:
    """Rules from what a TOML file holds; `where` names it in errors.

    Raises:
        UsageError: as `load_rules`.
    """
    own = {"event", "least_score", "lost_s"}
    unknown = sorted(fields.keys() - own)
    if unknown:
        raise UsageError(
            f"{where}: a rules file has [[event]], least_score and lost_s; it does not have {', '.join(unknown)}. Keys of an event stand below its [[event]]"
        )
    events = fields.get("event", [])
    if not isinstance(events, list) or not all(isinstance(each, Mapping) for each in events):
        raise UsageError(f"{where}: each event begins with [[event]], in double brackets")
    more = {name: _value(f"{where}: {name}", fields[name], float) for name in ("least_score", "lost_s") if name in fields}
    rules = [_rule(each, f"{where}: event {number}") for number, each in enumerate(events, 1)]
    try:
        return Rules(tuple(rules), **more)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def _rule(fields: Mapping[str, Any], where: str) -> Rule:
    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        lines = [f"  {name}: {each.summary}" for name, each in KINDS.items()]
        raise UsageError(
            f"{where}: there is no kind {kind!r}; kinds of event are" if kind else f"{where} has no kind; kinds of event are", *lines
        )
    made = KINDS[kind]
    where = f"{where} ({fields.get('name') or kind})"
    types = get_type_hints(made)
    known = {_IN_FILE.get(each.name, each.name): each.name for each in dataclasses.fields(made)}
    unknown = sorted(fields.keys() - known.keys() - {"kind"})
    if unknown:
        raise UsageError(f"{where}: a {kind} has the keys {', '.join(known)}; it does not have {', '.join(unknown)}")
    needed = [key for key in ("from", "to", "polygon", "joint") if key in known and key not in fields]
    if needed:
        raise UsageError(f"{where}: a {kind} needs {' and '.join(needed)}")
    given = {known[key]: _value(f"{where}: {key}", value, types[known[key]]) for key, value in fields.items() if key != "kind"}
    try:
        return made(**{"name": kind, **given})
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def _value(where: str, value: Any, kind: Any) -> Any:
    """A value as the field has it: numbers as numbers, lists as tuples.

    Raises:
        UsageError: another type.
    """
    if get_origin(kind) in (Union, UnionType):
        kind = next(each for each in get_args(kind) if each is not type(None))
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is float and is_number:
        return float(value)
    if kind is int and is_number and value == int(value):
        return int(value)
    if kind is float or kind is int:
        raise UsageError(f"{where} is a {'whole ' if kind is int else ''}number; got {value!r}")
    if get_origin(kind) is tuple:
        return _places(where, value, several=get_args(kind)[-1] is Ellipsis)
    if not isinstance(value, str) or not value:
        raise UsageError(f"{where} is a text; got {value!r}")
    return value


def _places(where: str, value: Any, *, several: bool) -> Any:
    def place(one: Any) -> tuple[float, float]:
        numbers = (
            isinstance(one, Sequence)
            and len(one) == 2
            and all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in one)
        )
        if not numbers:
            raise UsageError(f"{where}: a place is [x, y]; got {one!r}")
        return float(one[0]), float(one[1])

    if not several:
        return place(value)
    if not isinstance(value, list):
        raise UsageError(f"{where} is a list of places, [[x, y], [x, y], [x, y]]; got {value!r}")
    return tuple(place(each) for each in value)
