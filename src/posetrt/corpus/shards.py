"""What a clip's people come to, as the bytes of files: JSON lines, COCO's results, Parquet."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.model.manifest import Manifest
from posetrt.runtime.packages import install_hint
from posetrt.runtime.people import to_coco_results
from posetrt.runtime.sinks.base import Result
from posetrt.runtime.sinks.rows import json_line, people_record


class JsonLines:
    """The lines that `posetrt run --jsonl` writes."""

    suffix = "jsonl"

    def __init__(self, manifest: Manifest, note: Mapping[str, Any]) -> None:
        del manifest, note
        self._text = io.BytesIO()

    def add(self, result: Result) -> None:
        """Add a frame."""
        self._text.write(json_line(result))

    def done(self) -> bytes:
        """The file."""
        return self._text.getvalue()


class Coco:
    """COCO's results, as `posetrt run --write-coco` writes them: `image_id` is the frame's number in its clip."""

    suffix = "json"

    def __init__(self, manifest: Manifest, note: Mapping[str, Any]) -> None:
        del note
        self._skeleton = manifest.skeleton
        self._entries: list[str] = []

    def add(self, result: Result) -> None:
        """Add a frame."""
        rows = to_coco_results(result.people, self._skeleton, result.frame.image_id)
        self._entries += [json.dumps(entry, allow_nan=False) for entry in rows]

    def done(self) -> bytes:
        """The file."""
        return ("[" + ",\n".join(self._entries) + "]\n").encode()


class Parquet:
    """A table with a row for each person; the schema's metadata holds `posetrt`: the model, the parts' names and the number of frames."""

    suffix = "parquet"

    def __init__(self, manifest: Manifest, note: Mapping[str, Any]) -> None:
        self._arrow = arrow()
        self._note = {**note, "skeleton": manifest.skeleton.name, "parts": list(manifest.skeleton.parts)}
        self._columns: dict[str, list[Any]] = {
            name: [] for name in ("source", "frame", "time_s", "name", "person_id", "score", "keypoints")
        }
        self._frames = self._rows = 0

    def add(self, result: Result) -> None:
        """Add a frame."""
        frame = result.frame
        self._frames += 1
        for person in people_record(result):
            row = {"source": frame.label, "frame": frame.index, "time_s": round(frame.time_s, 4), "name": frame.name, **person}
            for name in row.keys() - self._columns.keys():
                self._columns[name] = [None] * self._rows
            self._rows += 1
            for name, column in self._columns.items():
                column.append(row.get(name))

    def done(self) -> bytes:
        """The file."""
        pa = self._arrow
        points = pa.list_(pa.list_(pa.float64()))
        kinds = {"source": pa.string(), "frame": pa.int64(), "time_s": pa.float64(), "name": pa.string(), "person_id": pa.int64()}
        kinds |= {"score": pa.float64(), "box": pa.list_(pa.float64())}
        # In an order that does not depend on which frame had the first hand.
        names = [*list(self._columns)[:7], *sorted(list(self._columns)[7:])]
        schema = pa.schema(
            [(name, kinds.get(name, points)) for name in names],
            metadata={"posetrt": json.dumps({**self._note, "frames": self._frames})},
        )
        table = pa.table({name: self._columns[name] for name in names}, schema=schema)
        import pyarrow.parquet

        sink = pa.BufferOutputStream()
        pyarrow.parquet.write_table(table, sink, compression="zstd")
        data: bytes = sink.getvalue().to_pybytes()
        return data


def arrow() -> Any:
    """The package pyarrow.

    Raises:
        PosetrtError: it is not installed.
    """
    try:
        import pyarrow
    except ModuleNotFoundError as error:
        raise PosetrtError(f"--sinks parquet needs the package pyarrow: {install_hint('pyarrow')}") from error
    return pyarrow


SINKS: dict[str, type[JsonLines] | type[Coco] | type[Parquet]] = {"jsonl": JsonLines, "coco": Coco, "parquet": Parquet}
"""What `--sinks` names."""
