"""Measure events: precision and recall on drawn motions, the cost of a frame, and what a video sets off.

  posetrt bench-events                                   drawn people who raise hands, wave, sit, lie down, fall, walk
  posetrt bench-events --network person/ --source clip.mp4     what the rules say about a video; no truth is known of it

Drawn people stand in five lanes, do one thing after the other, and are followed by the tracker. Among what they do are things that
look like events and are none: bending over, a hand at the ear, squatting. Rules have the values that they have unless a rules file
gives others. Figures of drawn people say how well the rules follow what a network sees; they say nothing of networks.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from posetrt.arguments import add_backend_argument, add_json_argument, network_path

SUMMARY = "precision and recall of events on drawn motions, their cost, and what a video sets off"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt bench-events`."""
    parser.add_argument("--scenes", metavar="N", type=int, default=20, help="drawn scenes of five people (default: %(default)s)")
    parser.add_argument("--seconds", metavar="S", type=float, default=60.0, help="of each scene (default: %(default)s)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the first scene (default: %(default)s)")
    parser.add_argument(
        "--noise", metavar="SHARE", type=float, default=0.008, help="deviation of each part's place, in body heights (default: %(default)s)"
    )
    parser.add_argument("--network", metavar="FOLDER", type=network_path, help="looks at --source")
    parser.add_argument("--source", metavar="SOURCE", help="a video or a camera: counts what begins in it")
    add_json_argument(parser)
    add_backend_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from posetrt.bench.events_benchmark import bench_cost, bench_drawn, bench_video
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.pose import open_pose
    from posetrt.runtime.sources import open_source

    if bool(args.network) != bool(args.source):
        raise UsageError("--source is a video and --network the model folder that looks at it: give both")
    if args.scenes < 1 or not 5 <= args.seconds <= 3600 or not 0 <= args.noise <= 0.2:
        raise UsageError("--scenes is 1 or more, --seconds 5 to 3600, --noise 0 to 0.2")
    if args.source:
        with open_pose(args.network, backend=args.backend) as pose:
            report: dict[str, Any] = {"video": bench_video(pose, open_source(args.source))}
    else:
        seeds = range(args.seed, args.seed + args.scenes)
        report = {"drawn": bench_drawn(seeds, args.seconds, noise=args.noise), "cost": bench_cost()}
    print(json.dumps(report, indent=1) if args.json else _text(report))
    return 0


def _text(report: dict[str, Any]) -> str:
    def shown(value: float | None, digits: int = 3) -> str:
        return "–" if value is None else f"{value:.{digits}f}"

    if "video" in report:
        video = report["video"]
        lines = [f"{video['frames']} frames, {video['seconds']:.1f} s, {video['people'] / max(1, video['frames']):.2f} people a frame"]
        lines += [f"{row['kind']:<12} {row['events']:3} events, {shown(row['per_hour'], 0)} an hour" for row in video["rows"]]
        lines += [f"  {each['began_s']:8.2f} s  person {each['person_id']}  {each['event']}" for each in video["events"]]
        return "\n".join(lines)
    lines = [f"{'event':<12} {'done':>5} {'told':>5} {'precision':>9} {'recall':>7} {'false/person-hour':>17} {'delay s':>8}"]
    lines += [
        f"{row['kind']:<12} {row['truths']:5} {row['events']:5} {shown(row['precision']):>9} {shown(row['recall']):>7} "
        f"{row['false_per_person_hour']:17.2f} {shown(row['delay_s'], 2):>8}"
        for row in report["drawn"]
    ]
    cost = report["cost"]
    lines.append(
        f"{cost['rules']} rules, {cost['people']} people: {cost['events_ms']:.3f} ms a frame (p99 {cost['events_p99_ms']:.3f}); "
        f"the tracker takes {cost['tracker_ms']:.3f}"
    )
    return "\n".join(lines)
