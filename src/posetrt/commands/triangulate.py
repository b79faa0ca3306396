"""Put the key points of several calibrated cameras together to points in space.

  posetrt run person/ --source left.mp4  --write-json left/
  posetrt run person/ --source right.mp4 --write-json right/
  posetrt triangulate cameras.json left/ right/ -o space/

cameras.json is a list of 3x4 matrices K [R | t], one per view and in the order of the views, for pixels without lens distortion. Each view
is a folder of OpenPose's JSON, one file per frame. Files whose names end in the same frame number belong together, so frames of one number
must be of the same moment; moments that a view lacks are left out and named. The first person of each file is used, as in OpenPose's own
3-D module. space/ gets the files of the first view with pose_keypoints_3d filled: for each part x, y, z in the units of t, and score. Views
that disagree with the others by more than --max-error are left out, part by part.
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

    from posetrt.runtime.views import Paired

SUMMARY = "several calibrated cameras to points in space"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt triangulate`."""
    parser.add_argument("cameras", metavar="CAMERAS", type=Path, help="JSON: a list of 3x4 matrices, one per view")
    parser.add_argument("views", metavar="VIEW", type=Path, nargs="+", help="a folder of OpenPose's JSON, from run --write-json")
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, required=True, help="where the files of the first view go, with 3-D points"
    )
    parser.add_argument("--max-error", metavar="PX", type=float, default=10.0, help="how far a view may be off (default: 10)")
    parser.add_argument("--overwrite", action="store_true", help="remove the results of an earlier run from -o first")
    parser.add_argument("--json", action="store_true", help="for machines, on stdout")


def run(args: argparse.Namespace) -> int:
    """Triangulate frame by frame, and say how well the views agree."""
    import numpy as np

    from posetrt.runtime.errors import PosetrtError, UsageError
    from posetrt.runtime.files import write_text
    from posetrt.runtime.sinks.earlier import check_free
    from posetrt.runtime.triangulate import triangulate
    from posetrt.runtime.views import SUFFIX, disagreements_in_time, pair_views, read_frame

    cameras = _cameras(args.cameras)
    if len(cameras) != len(args.views):
        raise UsageError(
            f"{args.cameras} has {len(cameras)} cameras, and {len(args.views)} views were given; give one per view, in the same order"
        )
    if any(args.output.resolve() == view.resolve() for view in args.views):
        raise UsageError(f"{args.output} is one of the views; give another folder to write to")
    paired = pair_views(args.views)
    check_free(args.output, f"*{SUFFIX}", overwrite=args.overwrite)
    for line in _left_out(args.views, paired):
        print(line, file=sys.stderr)
    seen = np.zeros(len(cameras), np.int64)
    used = np.zeros_like(seen)
    errors: list[float] = []
    points: list[dict[int | str, NDArray[np.float64]]] = [{} for _ in args.views]
    possible, not_numbers = 0, [0] * len(args.views)
    for moment, paths in paired.common.items():
        frames = [read_frame(path) for path in paths]
        for number, frame in enumerate(frames):
            not_numbers[number] += frame.not_numbers
            if frame.first is not None:
                points[number][moment] = frame.first
        views = _first_people([frame.first for frame in frames], paths)
        record = frames[0].record
        if views is not None:
            found = triangulate(views, cameras, max_error_px=args.max_error)
            record["people"][0]["pose_keypoints_3d"] = np.round(found.keypoints, 6).ravel().tolist()
            possible += int(((views[..., 2] > 0).sum(axis=0) >= 2).sum())
            seen += (views[..., 2] > 0).sum(axis=1)
            used += found.used.sum(axis=1)
            errors += found.errors[found.scores > 0].tolist()
        write_text(args.output / paths[0].name, json.dumps(record, allow_nan=False))
    for view, count in zip(args.views, not_numbers, strict=True):
        if count:
            print(f"{view}: {count} key points are no numbers (NaN or infinite) and count as not found", file=sys.stderr)
    in_time = disagreements_in_time(args.views, points, cameras)
    for line in in_time:
        print(line, file=sys.stderr)
    count = len(paired.common)
    if not errors:
        raise PosetrtError(
            f"the views agree on no point of {count} frames: are the matrices those of these views, in this order, and the frames of "
            "the same moments?" + ("" if seen.any() else " Nobody is seen in the first view and another one of the same frame.")
        )
    summary = {
        "frames": count,
        "points": len(errors),
        "seen_by_two": possible,
        "median_error_px": float(np.median(errors)),
        "left_out": {str(moment): [str(args.views[number]) for number in lacking] for moment, lacking in paired.left_out.items()},
        "disagreements_in_time": in_time,
        "views": [
            {"view": str(view), "seen": int(a), "left_out": int(a - b), "not_numbers": bad}
            for view, a, b, bad in zip(args.views, seen, used, not_numbers, strict=True)
        ],
    }
    print(f"wrote {count} files to {args.output}", file=sys.stderr)
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


def _left_out(views: list[Path], paired: Paired) -> list[str]:
    """A line for each set of views that lack moments, with the moments."""
    lacking: dict[tuple[int, ...], list[str]] = {}
    for moment, numbers in paired.left_out.items():
        lacking.setdefault(numbers, []).append(str(moment))
    lines = []
    for numbers, moments in lacking.items():
        shown = ", ".join(moments[:20]) + (f" and {len(moments) - 20} more" if len(moments) > 20 else "")
        who = " and ".join(str(views[number]) for number in numbers)
        lines.append(f"left out, since {who} {'lacks' if len(numbers) == 1 else 'lack'} them: frames {shown}")
    return lines


def _told(summary: dict[str, Any]) -> str:
    points = f"{summary['points']} of {summary['seen_by_two']} points that two views or more have"
    left_out = f" ({len(summary['left_out'])} left out)" if summary["left_out"] else ""
    lines = [f"{summary['frames']} frames{left_out}, {points}, median error {summary['median_error_px']:.2f} px"]
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
        raise UsageError(f"{path} is a list of 3x4 matrices, one per view; this one has the shape {cameras.shape}")
    for number, camera in enumerate(cameras):
        if not np.isfinite(camera).all() or np.abs(camera).max() > 1e12:
            raise UsageError(f"{path}: camera {number} holds {camera.ravel().tolist()}; finite numbers up to 1e12 were expected")
    return cameras


def _first_people(first: list[NDArray[np.float64] | None], paths: tuple[Path, ...]) -> NDArray[np.float64] | None:
    """(V, K, 3) of the first person of each view, zeros for a view with nobody; None where the first view or all others have nobody."""
    import numpy as np

    from posetrt.runtime.errors import PosetrtError

    shapes = {one.shape for one in first if one is not None}
    if len(shapes) > 1:
        raise PosetrtError(f"{paths[0].name}: the views have different numbers of key points; run one network on all of them")
    if first[0] is None or all(one is None for one in first[1:]):
        return None
    return np.stack([np.zeros(first[0].shape) if one is None else one for one in first])
