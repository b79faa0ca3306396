"""The command line: `posetrt COMMAND`. Each command stands in its own file of `posetrt.commands`."""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import io
import os
import pkgutil
import signal
import sys
from collections.abc import Sequence

import posetrt
import posetrt.commands
from posetrt.defaults_file import NAME, config_argument, read_defaults, typed_wins, use_defaults
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.packages import install_hint
from posetrt.usage import Parser, check_command, check_options, unknown_options

_ORDER = (
    "export",
    "fetch",
    "calibrate",
    "build",
    "inspect",
    "run",
    "triangulate",
    "map",
    "eval",
    "bench",
    "bench-parser",
    "bench-heads",
    "bench-stages",
    "bench-tiles",
    "bench-events",
    "bench-live",
    "bench-track",
    "bench-map",
    "bench-letterbox",
    "compare",
    "compare-models",
    "verify-gpu",
    "triton",
    "rollout",
    "doctor",
    "demo",
)


_WELCOME = """posetrt finds people in pictures, and takes pose networks to a Jetson.

Start here, with the network that ships (nothing to download):
  posetrt run --source photo.jpg --write-images out/     people in a photograph, drawn
  posetrt run --source /dev/video0 --web 8080            a camera, in the browser
  posetrt doctor                                         what this machine has, and what is missing

With a network of your own:
  posetrt export onnx --weights pose.onnx -o person/     make a model folder
  posetrt calibrate person/ --images photos/             ranges for INT8, once, on any computer
  posetrt build person/ --precision int8                 on the device that will run it
  posetrt run person/ --precision int8 --source clip.mp4 --write-video out.mp4
  posetrt bench person/ --source clip.mp4                fps, latency and memory per precision

All commands: posetrt --help. One command: posetrt run --help."""
"""What `posetrt` alone prints."""


def commands() -> list[str]:
    """Names of the commands, in the order in which a user meets them."""
    names = {module.name.replace("_", "-") for module in pkgutil.iter_modules(posetrt.commands.__path__)}
    return sorted(names, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line. A command module gives `SUMMARY`, `add_arguments(parser)` and `run(args) -> int`."""
    parser = Parser(
        prog="posetrt",
        description="Trained pose networks to ONNX, INT8 and TensorRT engines; people out of photographs, videos and cameras.",
        epilog=f"A file {NAME} in the working directory, or --config FILE, holds defaults of options. "
        "Exit codes: 0 done, 1 the work failed, 2 wrong usage, 3 an engine or model that does not fit this device.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"posetrt {posetrt.__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in commands():
        module = importlib.import_module(f"posetrt.commands.{name.replace('-', '_')}")
        command = subparsers.add_parser(
            name, help=module.SUMMARY, description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.add_arguments(command)
        command.add_argument("--config", metavar="FILE", help=f"defaults of options (default: {NAME} here, where there is one)")
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; print an error's sentence on stderr and return its exit code."""
    closed = _stand_in_for_closed()
    # What OpenCV and its FFmpeg print of a camera that is away is said in a line of our own; read when OpenCV is first used.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "8")
    # A file's name may hold anything, and a figure's Greek letter may be none of the terminal's.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    command = ""
    try:
        typed = list(sys.argv[1:] if argv is None else argv)
        _complete()
        if not typed or typed == ["help"]:
            print(_WELCOME)
            return 0
        parser = build_parser()
        check_command(typed, commands())
        args = _parsed(parser, typed)
        command = f" {args.command}"
        code = int(args.run(args))
        sys.stdout.flush()
        return code
    except PosetrtError as error:
        return _ended(f"posetrt{command}: {error}", error.exit_code)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "posetrt":
            raise
        return _ended(f"posetrt{command}: this needs the package {error.name}, which is not installed: {install_hint(error.name)}", 1)
    except KeyboardInterrupt:
        return _ended(f"posetrt{command}: interrupted; files written so far are whole", 128 + signal.SIGINT)
    except BrokenPipeError:
        # The reader of our stdout has gone (`posetrt ... | head`).
        _let_go_of_stdout()
        return 128 + getattr(signal, "SIGPIPE", 13)
    except OSError as error:
        # What the library reads and writes by name raises PosetrtError: without a name it is standard output.
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EIO, errno.EBADF, errno.EDQUOT, errno.EFBIG):
            raise
        _let_go_of_stdout()
        reason = "it is closed" if closed else error.strerror
        return _ended(f"posetrt{command}: cannot write to standard output: {reason}", 1)


def _parsed(parser: argparse.ArgumentParser, typed: list[str]) -> argparse.Namespace:
    """The options of a command line over the defaults of a file."""
    (subparsers,) = (action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    file = read_defaults(config_argument(typed)) if typed[0] in subparsers and not {"-h", "--help"} & set(typed) else None
    from_file = use_defaults(subparsers, typed[0], *file) if file else []
    if typed[0] in subparsers:
        # Before an unknown option's value is taken for a network.
        check_options(subparsers[typed[0]], typed[0], unknown_options(subparsers[typed[0]], typed[1:]))
    args, unknown = parser.parse_known_args(typed)
    check_options(subparsers[args.command], args.command, unknown)
    if file and from_file:
        typed_wins(subparsers[args.command], args, from_file)
        if not getattr(args, "quiet", False):
            print(f"defaults of {file[0]}: {', '.join(from_file)}", file=sys.stderr)
    return args


def _complete() -> None:
    """Answer the shell that asks for completions, where the package argcomplete is installed; else do nothing."""
    if "_ARGCOMPLETE" not in os.environ:
        return
    try:
        import argcomplete
    except ModuleNotFoundError:
        return
    argcomplete.autocomplete(build_parser())


def _ended(line: str, code: int) -> int:
    """Say why a command failed; what it printed before comes out first, where it can."""
    try:
        sys.stdout.flush()
    except OSError:
        _let_go_of_stdout()
    # Nobody is left to be told where stderr is closed too.
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr)
    return code


class _Closed(io.RawIOBase):
    """Standard output of a program that was started without one: writing to it is an error, as it is in other programs."""

    def writable(self) -> bool:
        """It takes nothing, and says so when it is asked to."""
        return True

    def write(self, data: object) -> int:  # noqa: ARG002
        """Raises: OSError, always."""
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def _stand_in_for_closed() -> bool:
    """Put something under descriptors 0 to 2 that are closed, else the next file to be opened would get what is printed."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        # The lowest that is closed, one after the other.
        continue
    os.close(number)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 open as long as the program
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(_Closed()), encoding="utf-8", write_through=True)
        return True
    return False


def _let_go_of_stdout() -> None:
    """The interpreter must not fail again when it flushes what is left."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(getattr(getattr(sys.stdout, "buffer", None), "raw", None), _Closed):
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 open as long as the program
