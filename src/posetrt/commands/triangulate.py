"""Put the key points of several calibrated cameras together to points in space.

  posetrt run person/ --source left.mp4  --write-json left/
  posetrt run person/ --source right.mp4 --write-json right/
  posetrt triangulate cameras.json left/ right/ -o space/

cameras.json is a list of 3x4 matrices K [R | t], one a view and in the order of the views, for pixels without lens distortion. Each view is
a folder of OpenPose's JSON, a file a frame; the cameras' frames must be of the same moments, and the first person of each file is the one
that is put together, as OpenPose's own 3-D module does. space/ gets the files of the first view with pose_keypoints_3d filled: x, y, z in
the units of t, and score, a part. Views that disagree with the others by more than --max-error are left out, part by part.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUMMARY = "several calibrated cameras to points in space"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt triangulate`."""
    parser.add_argument("cameras", metavar="CAMERAS", type=Path, help="JSON: a list of 3x4 matrices, one a view")
    parser.add_argument("views", metavar="VIEW", type=Path, nargs="+", help="a folder of OpenPose's JSON, from run --write-json")
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, required=True, help="where the files of the first view go, with 3-D points"
    )
    parser.add_argument("--max-error", metavar="PX", type=float, default=10.0, help="how far a view may be off (default: 10)")
    parser.add_argument("--json", action="store_true", help="for machines, on stdout")


def run(args: argparse.Namespace) -> int:
    """Triangulate frame by frame, and say how well the views agree."""
    import numpy as np

    from posetrt.runtime.errors import PosetrtError, UsageError
    from posetrt.runtime.files import write_text
    from posetrt.runtime.triangulate import triangulate

    cameras = _cameras(args.cameras)
    if len(cameras) != len(args.views):
        raise UsageError(
            f"{args.cameras} has {len(cameras)} cameras, and {len(args.views)} views were given; give one a view, in the same order"
        )
    if any(args.output.resolve() == view.resolve() for view in args.views):
        raise UsageError(f"{args.output} is one of the views; give another folder to write to")
    files = [sorted(view.glob("*_keypoints.json")) for view in args.views]
    counts = [len(view) for view in files]
    if not all(counts) or len(set(counts)) > 1:
        told = ", ".join(f"{view} has {count}" for view, count in zip(args.views, counts, strict=True))
        raise UsageError(f"each view needs a NAME_keypoints.json for each of the same frames; {told}")
    seen = np.zeros(len(cameras), np.int64)
    used = np.zeros_like(seen)
    errors: list[float] = []
    possible = 0
    for frame in zip(*files, strict=True):
        records = [_record(path) for path in frame]
        views = _first_people([record["people"] for record in records], frame)
        if views is not None:
            found = triangulate(views, cameras, max_error_px=args.max_error)
            records[0]["people"][0]["pose_keypoints_3d"] = np.round(found.keypoints, 6).ravel().tolist()
            possible += int(((views[..., 2] > 0).sum(axis=0) >= 2).sum())
            seen += (views[..., 2] > 0).sum(axis=1)
            used += found.used.sum(axis=1)
            errors += found.errors[found.scores > 0].tolist()
        write_text(args.output / frame[0].name, json.dumps(records[0], allow_nan=False))
    if not errors:
        raise PosetrtError(
            f"the views agree on no point of {counts[0]} frames: are the matrices those of these views, in this order, and the frames of "
            "the same moments?" + ("" if seen.any() else " Nobody is seen in the first view and another one of the same frame.")
        )
    summary = {
        "frames": counts[0],
        "points": len(errors),
        "seen_by_two": possible,
        "median_error_px": float(np.median(errors)),
        "views": [{"view": str(view), "seen": int(a), "left_out": int(a - b)} for view, a, b in zip(args.views, seen, used, strict=True)],
    }
    print(f"wrote {counts[0]} files to {args.output}", file=sys.stderr)
    if 2 * len(errors) < possible:
        print(
            "the views disagree on most points: are these their matrices, in this order, and the frames of the same moments?",
            file=sys.stderr,
        )
    for view, has, kept in zip(args.views, seen.tolist(), used.tolist(), strict=True):
        if has > 2 * kept:
            print(f"{view} disagrees with the others on most of its key points: is its matrix that of this camera?", file=sys.stderr)
    print(json.dumps(summary, indent=1) if args.json else _told(summary))
    return 0


def _told(summary: dict[str, Any]) -> str:
    points = f"{summary['points']} of {summary['seen_by_two']} points that two views or more have"
    lines = [f"{summary['frames']} frames, {points}, median error {summary['median_error_px']:.2f} px"]
    lines += [f"{one['view']}: {one['seen']} key points, {one['left_out']} left out" for one in summary["views"]]
    return "\n".join(lines)


def _cameras(path: Path) -> NDArray[np.float64]:
    """(V, 3, 4)."""
    import numpy as np

    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.files import read_json

    fields = read_json(path, "list of camera matrices")
    try:
        cameras = np.array(fields, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"{path} is a list of 3x4 matrices of numbers: [[[…], […], […]], …] ({error})") from error
    if cameras.ndim != 3 or cameras.shape[1:] != (3, 4):
        raise UsageError(f"{path} is a list of 3x4 matrices, one a view; this one has the shape {cameras.shape}")
    flat = cameras.reshape(len(cameras), -1)
    # A projection has rank 3; NaN and infinity have none.
    useless = [index for index, one in enumerate(flat) if not np.isfinite(one).all() or np.linalg.matrix_rank(one.reshape(3, 4)) < 3]
    if useless:
        raise UsageError(
            f"{path}: matrix {useless[0]} is no camera's: twelve finite numbers that make a projection of rank 3 were expected"
        )
    return cameras


def _record(path: Path) -> dict[str, Any]:
    from posetrt.runtime.errors import PosetrtError
    from posetrt.runtime.files import read_json

    record = read_json(path, "frame in OpenPose's format")
    people = record.get("people") if isinstance(record, dict) else None
    if not isinstance(people, list) or any("pose_keypoints_2d" not in person for person in people):
        raise PosetrtError(f"{path} is not OpenPose's JSON: people, each with pose_keypoints_2d, was expected")
    return dict(record)


def _first_people(people: list[list[dict[str, Any]]], frame: tuple[Path, ...]) -> NDArray[np.float64] | None:
    """(V, K, 3) of the first person of each view, zeros for a view with nobody; None where the first view or all others have nobody."""
    import numpy as np

    from posetrt.runtime.errors import PosetrtError

    first = [np.array(view[0]["pose_keypoints_2d"], np.float64) if view else None for view in people]
    lengths = {len(one) for one in first if one is not None}
    if len(lengths) > 1 or any(length % 3 for length in lengths):
        raise PosetrtError(f"{frame[0].name}: the views have different numbers of key points; run one network on all of them")
    if first[0] is None or all(one is None for one in first[1:]):
        return None
    return np.stack([np.zeros(lengths.copy().pop()) if one is None else one for one in first]).reshape(len(people), -1, 3)
