"""The errors that posetrt raises; the command line turns `exit_code` into its own."""

from __future__ import annotations


class PosetrtError(Exception):
    """The work failed: a file, a network or a device is not what it must be. Says what was expected, what came, what to do."""

    exit_code = 1


class UsageError(PosetrtError):
    """The request itself is wrong: an option, a size, a combination that cannot be."""

    exit_code = 2


class EngineMismatch(PosetrtError):
    """An engine, a calibration or a variant does not fit this device, this library or this model."""

    exit_code = 3
