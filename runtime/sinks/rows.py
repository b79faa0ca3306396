"""What a frame comes to in the formats that have a record a frame: key points rounded, people with ids."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.sinks.base import Result


def people_record(result: Result) -> list[dict[str, Any]]:
    """A dictionary a person: `person_id` (-1 without a tracker), `score`, `keypoints` as [x, y, score] a part.

    Where a network gives boxes, `box` as [x, y, width, height]. Where hands or faces were looked for, `left_hand`, `right_hand` and `face`
    like `keypoints`.
    """
    people = result.people
    points = _rounded(people.keypoints)
    further = {name: _rounded(array) for name, array in people.extras.items()}
    boxes = None if people.boxes is None else people.boxes.astype(np.float64).round(2).tolist()
    return [
        {
            "person_id": int(people.ids[index]) if people.ids is not None else -1,
            "score": round(float(people.scores[index]), 4),
            "keypoints": points[index].tolist(),
        }
        | ({} if boxes is None else {"box": boxes[index]})
        | {name: array[index].tolist() for name, array in further.items()}
        for index in range(len(people))
    ]


def _rounded(keypoints: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, K, 3): places to a hundredth of a pixel, scores to four digits."""
    points = keypoints.astype(np.float64)
    return np.concatenate([points[..., :2].round(2), points[..., 2:].round(4)], axis=-1)


def json_line(result: Result) -> bytes:
    """One line: `frame`, `time_s`, `source`, `name` and `people`; of a live source also `age_s`, how old the frame is as the line is made.

    Where a person is followed, `target` too: `Target.to_dict`.
    """
    frame, age_s = result.frame, result.age_s
    fields = {
        "frame": frame.index,
        "time_s": round(frame.time_s, 4),
        "source": frame.label,
        "name": frame.name,
        **({} if age_s is None else {"age_s": round(age_s, 4)}),
        "people": people_record(result),
        **({} if result.events is None else {"events": [event.to_dict() for event in result.events]}),
        **({} if result.target is None else {"target": result.target.to_dict()}),
    }
    return _line(fields)


def event_lines(result: Result) -> bytes:
    """A line for each event of a frame: what it is, who, when, and the frame's `frame`, `source` and `name`; nothing where there is none."""
    frame = result.frame
    where = {"frame": frame.index, "source": frame.label, "name": frame.name}
    return b"".join(_line(event.to_dict() | where) for event in result.events or ())


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode() + b"\n"
