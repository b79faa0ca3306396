"""Arguments that several commands take, in one wording."""

from __future__ import annotations

import argparse

from posetrt.runtime.engines.choose import BACKENDS


def add_backend_argument(parser: argparse.ArgumentParser) -> None:
    """`--backend`: "auto" or one of the libraries that run engines; another word is wrong usage."""
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="default: the best that this device has")


def size_wh(text: str) -> tuple[int, int]:
    """`456x256` → (456, 256)."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write WIDTHxHEIGHT, as in 456x256")
    return int(width), int(height)
