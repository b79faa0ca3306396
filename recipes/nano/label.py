"""Make the distillation data: `python recipes/nano/label.py --data ../shared/data --store FOLDER --chunks 20`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from canvases import CHUNK, Teacher, make_chunk
from photographs import split_photographs, teacher_path


def main() -> None:
    """Make chunks one after the other; a run that was stopped goes on where it was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--chunks", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    split = split_photographs(arguments.data)
    teacher = Teacher(teacher_path(arguments.data))
    arguments.store.mkdir(parents=True, exist_ok=True)
    for chunk in range(arguments.chunks):
        started = time.perf_counter()
        make_chunk(split.train, teacher, chunk, arguments.store, arguments.seed)
        print(f"chunk {chunk}: {CHUNK} canvases in {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
