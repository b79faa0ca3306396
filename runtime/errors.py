"""The errors that posetrt raises; the command line turns `exit_code` into its own."""

from __future__ import annotations

import unicodedata

# Control characters, invisible formatting (which turns the direction of a text), lone surrogates, line and paragraph separators.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str) -> str:
    """A text on one line, with what a terminal would obey written out (`\\x1b`, `\\n`): a name from a file can then forge nothing."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(one.encode("unicode_escape").decode("ascii") if unicodedata.category(one) in _UNSEEN else one for one in text)


class PosetrtError(Exception):
    """The work failed: a file, a network or a device is not what it must be. Says what was expected, what came, what to do.

    Args:
        message: one line; control characters in it, as a name from a file may hold, are written out.
        details: further lines.
    """

    exit_code = 1

    def __init__(self, message: object = "", *details: object) -> None:
        super().__init__("\n".join(printable(str(part)) for part in (message, *details)))


class UsageError(PosetrtError):
    """The request itself is wrong: an option, a size, a combination that cannot be."""

    exit_code = 2


class EngineMismatch(PosetrtError):
    """An engine, a calibration or a variant does not fit this device, this library or this model."""

    exit_code = 3
