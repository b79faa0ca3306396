"""What sinks take as their argument: a place, and options after a question mark."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from posetrt.runtime.errors import UsageError


def split_options(argument: str, known: Mapping[str, str], what: str) -> tuple[str, dict[str, str]]:
    """`out.mcap?image=no` → ("out.mcap", {"image": "no"}).

    Args:
        argument: as given.
        known: name of each option → what it says, for errors.
        what: the argument's form, for errors.

    Raises:
        UsageError: no place, an unknown option, or one without a value or given twice.
    """
    place, _, query = argument.partition("?")
    if not place:
        raise UsageError(f"give a place: {what}")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise UsageError(f"options are written NAME=VALUE with & between them, as in {what}; got {query!r}") from error
    options = dict(pairs)
    unknown = sorted(options.keys() - known.keys())
    if unknown or len(options) != len(pairs) or "" in options.values():
        told = ", ".join(f"{name} ({meaning})" for name, meaning in known.items())
        raise UsageError(
            f"{argument}: the options, each once and with a value, are {told}" + (f"; not {', '.join(unknown)}" if unknown else "")
        )
    return place, options


def yes_or_no(options: Mapping[str, str], name: str, usual: bool) -> bool:
    """An option that is yes or no.

    Raises:
        UsageError: something else.
    """
    value = options.get(name, "yes" if usual else "no").lower()
    if value not in ("yes", "no"):
        raise UsageError(f"{name} is yes or no; got {value!r}")
    return value == "yes"


def whole_number(options: Mapping[str, str], name: str, usual: int, least: int, most: int) -> int:
    """An option that is a whole number.

    Raises:
        UsageError: none, or one out of range.
    """
    value = options.get(name, str(usual))
    if not value.isdecimal() or not least <= int(value) <= most:
        raise UsageError(f"{name} is a whole number, {least} to {most}; got {value!r}")
    return int(value)
