"""What a frame comes to in the formats that have a record a frame: key points rounded, people with ids."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from posetrt.runtime.sinks.base import Result


def people_record(result: Result) -> list[dict[str, Any]]:
    """A dictionary a person: `person_id` (-1 without a tracker), `score`, `keypoints` as [x, y, score] a part."""
    people = result.people
    points = np.round(people.keypoints.astype(np.float64), 2)
    points[..., 2] = np.round(people.keypoints[..., 2], 4)
    return [
        {
            "person_id": int(people.ids[index]) if people.ids is not None else -1,
            "score": round(float(people.scores[index]), 4),
            "keypoints": points[index].tolist(),
        }
        for index in range(len(people))
    ]


def json_line(result: Result) -> bytes:
    """One line: `frame`, `time_s`, `source`, `name` and `people`."""
    frame = result.frame
    fields = {
        "frame": frame.index,
        "time_s": round(frame.time_s, 4),
        "source": frame.label,
        "name": frame.name,
        "people": people_record(result),
    }
    return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode() + b"\n"
