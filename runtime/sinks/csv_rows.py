"""A table of key points: a row for each part that was found."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from posetrt.runtime.sinks.appended import Appended
from posetrt.runtime.sinks.base import Result, Sink

COLUMNS = ("source", "frame", "time_s", "person_id", "person_score", "part", "x", "y", "score", "name")


class CsvRows(Sink):
    """Writes RFC 4180 rows, all of a frame in one write.

    Args:
        path: replaced where it exists.
    """

    needs_pictures = False

    def __init__(self, path: Path) -> None:
        self._file = Appended(path)
        self._file.add((",".join(COLUMNS) + "\r\n").encode())

    def write(self, result: Result) -> None:
        """Add the rows of one frame; a frame without people adds none. Parts of hands and face are called `left_hand Thumb1` and so on."""
        text = io.StringIO()
        rows = csv.writer(text)
        frame, people = result.frame, result.people
        kinds = [(result.manifest.skeleton.parts, people.keypoints)]
        for name, array in people.extras.items():
            kinds.append((tuple(f"{name} {part}" for part in result.skeletons[name].parts), array))
        for index in range(len(people)):
            person = int(people.ids[index]) if people.ids is not None else -1
            head = (frame.label, frame.index, round(frame.time_s, 4), person, round(float(people.scores[index]), 4))
            rows.writerows(
                (*head, part, round(float(x), 2), round(float(y), 2), round(float(score), 4), frame.name)
                for parts, keypoints in kinds
                for part, (x, y, score) in zip(parts, keypoints[index], strict=True)
                if score > 0
            )
        if text.tell():
            self._file.add(text.getvalue().encode())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
