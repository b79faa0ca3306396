"""The command line: `posetrt COMMAND`. Each command stands in its own file of `posetrt.commands`."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import signal
import sys
from collections.abc import Sequence

import posetrt
import posetrt.commands
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.packages import install_hint

_ORDER = (
    "export",
    "fetch",
    "calibrate",
    "build",
    "inspect",
    "run",
    "triangulate",
    "eval",
    "bench",
    "bench-parser",
    "bench-live",
    "compare",
    "verify-gpu",
    "triton",
    "doctor",
    "demo",
)


def commands() -> list[str]:
    """Names of the commands, in the order in which a user meets them."""
    names = {module.name.replace("_", "-") for module in pkgutil.iter_modules(posetrt.commands.__path__)}
    return sorted(names, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line. A command module gives `SUMMARY`, `add_arguments(parser)` and `run(args) -> int`."""
    parser = argparse.ArgumentParser(
        prog="posetrt",
        description="Trained OpenPose-family networks to ONNX, INT8 and TensorRT, and people out of cameras.",
        epilog="Exit codes: 0 done, 1 the work failed, 2 wrong usage, 3 an engine or model that does not fit this device.",
    )
    parser.add_argument("--version", action="version", version=f"posetrt {posetrt.__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in commands():
        module = importlib.import_module(f"posetrt.commands.{name.replace('-', '_')}")
        command = subparsers.add_parser(
            name, help=module.SUMMARY, description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; print an error's sentence on stderr and return its exit code."""
    args = build_parser().parse_args(argv)
    try:
        return int(args.run(args))
    except PosetrtError as error:
        print(f"posetrt {args.command}: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "posetrt":
            raise
        print(
            f"posetrt {args.command}: this needs the package {error.name}, which is not installed: {install_hint(error.name)}",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print(f"posetrt {args.command}: interrupted; files written so far are whole", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader of our stdout has gone (`posetrt ... | head`): the interpreter must not fail again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
