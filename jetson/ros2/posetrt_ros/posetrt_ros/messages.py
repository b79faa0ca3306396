"""People as messages. vision_msgs and hri_msgs are taken where they are installed: each publishes what it can."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import Point, PointStamped, Pose, PoseWithCovariance, Quaternion, Vector3
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA, String
from visualization_msgs.msg import Marker, MarkerArray

from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People
from posetrt.runtime.track.follow import Target
from posetrt_ros.boxes import body_box
from posetrt_ros.skeletons import normalised

try:
    from vision_msgs.msg import (
        BoundingBox2D,
        BoundingBox3D,
        Detection2D,
        Detection2DArray,
        Detection3D,
        Detection3DArray,
        ObjectHypothesis,
        ObjectHypothesisWithPose,
        Point2D,
        Pose2D,
    )
except ModuleNotFoundError:
    Detection2DArray = Detection3DArray = None
try:
    from hri_msgs.msg import IdsList, NormalizedPointOfInterest2D, Skeleton2D
except ModuleNotFoundError:
    IdsList = Skeleton2D = None

_COLOURS = ((1.0, 0.6, 0.1), (0.2, 0.7, 1.0), (0.4, 0.9, 0.3), (1.0, 0.3, 0.5), (0.8, 0.5, 1.0), (1.0, 0.9, 0.2))


def detections(people: People, names: Sequence[str], header) -> Detection2DArray:
    """A box with an id for each person: vision_msgs 4."""
    found = []
    for index, name in enumerate(names):
        box = body_box(people, index)
        if box is None:
            continue
        centre = Pose2D(position=Point2D(x=box.centre_x, y=box.centre_y), theta=0.0)
        hypothesis = ObjectHypothesisWithPose(hypothesis=ObjectHypothesis(class_id="person", score=float(people.scores[index])))
        bbox = BoundingBox2D(center=centre, size_x=box.width, size_y=box.height)
        found.append(Detection2D(header=header, id=name, bbox=bbox, results=[hypothesis]))
    return Detection2DArray(header=header, detections=found)


def skeleton2d(keypoints: NDArray[np.float32], parts: Sequence[str], size_wh: tuple[int, int], header) -> Skeleton2D:
    """One person's 18 points."""
    points = [NormalizedPointOfInterest2D(x=x, y=y, c=c) for x, y, c in normalised(keypoints, parts, size_wh)]
    return Skeleton2D(header=header, skeleton=points)


def ids_list(names: Sequence[str], header) -> IdsList:
    """Who is there."""
    return IdsList(header=header, ids=list(names))


def detections3d(
    space: NDArray[np.float32], scores: Sequence[float], names: Sequence[str], parts: Sequence[str], header
) -> Detection3DArray:
    """One detection a person: the box around the key points, the person first among the results, then each key point by its part's name.

    Args:
        space: (N, K, 4) x, y, z in metres in the header's frame, score; people without a key point in space are left out.
        scores: of the people.
        names: of the people.
        parts: names of the K parts.
    """
    found = []
    for points, score, name in zip(space, scores, names, strict=True):
        known = points[points[:, 3] > 0, :3].astype(float)
        if not len(known):
            continue
        low, high = known.min(axis=0), known.max(axis=0)
        box = BoundingBox3D(center=_pose((low + high) / 2), size=_vector(high - low))
        results = [_at("person", float(score), np.median(known, axis=0))]
        results += [_at(part, float(each[3]), each[:3].astype(float)) for part, each in zip(parts, points, strict=True) if each[3] > 0]
        found.append(Detection3D(header=header, id=name, bbox=box, results=results))
    return Detection3DArray(header=header, detections=found)


def markers(space: NDArray[np.float32], ids: Sequence[int], skeleton: Skeleton, header) -> MarkerArray:
    """Limbs, key points and ids for RViz; those of the frame before are deleted first."""
    made = [Marker(header=header, action=Marker.DELETEALL)]
    for points, identity in zip(space, ids, strict=True):
        seen = points[:, 3] > 0
        if not seen.any():
            continue
        red, green, blue = _COLOURS[identity % len(_COLOURS)]
        colour = ColorRGBA(r=red, g=green, b=blue, a=1.0)
        ends = [_point(points[part]) for limb in skeleton.limbs if seen[list(limb)].all() for part in limb]
        shared = {"header": header, "id": identity, "action": Marker.ADD, "color": colour, "pose": _pose((0.0, 0.0, 0.0))}
        if ends:
            made.append(Marker(ns="limbs", type=Marker.LINE_LIST, scale=Vector3(x=0.03, y=0.0, z=0.0), points=ends, **shared))
        dots = [_point(point) for point in points[seen]]
        made.append(Marker(ns="keypoints", type=Marker.SPHERE_LIST, scale=Vector3(x=0.06, y=0.06, z=0.06), points=dots, **shared))
        top = points[seen][points[seen][:, 1].argmin()]
        label = shared | {"pose": _pose((float(top[0]), float(top[1]) - 0.2, float(top[2])))}
        made.append(Marker(ns="ids", type=Marker.TEXT_VIEW_FACING, text=str(identity), scale=Vector3(x=0.0, y=0.0, z=0.2), **label))
    return MarkerArray(markers=made)


def target_point(target: Target, header) -> PointStamped | None:
    """Where the followed person's hips are in the camera's optical frame; None while lost or without a distance."""
    if not target.seen or target.distance_m is None:
        return None
    bearing, elevation = np.radians([target.bearing_deg, target.elevation_deg])
    flat = target.distance_m * np.cos(elevation)
    point = Point(x=float(flat * np.sin(bearing)), y=float(-target.distance_m * np.sin(elevation)), z=float(flat * np.cos(bearing)))
    return PointStamped(header=header, point=point)


def target_text(target: Target) -> String:
    """All that is known of the followed person, as the JSON lines of `posetrt run` have it."""
    return String(data=json.dumps(target.to_dict()))


def _at(class_id: str, score: float, place) -> ObjectHypothesisWithPose:
    pose = PoseWithCovariance(pose=_pose(place))
    return ObjectHypothesisWithPose(hypothesis=ObjectHypothesis(class_id=class_id, score=score), pose=pose)


def _pose(place) -> Pose:
    x, y, z = (float(value) for value in place)
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=0.0, y=0.0, z=0.0, w=1.0))


def _point(point) -> Point:
    return Point(x=float(point[0]), y=float(point[1]), z=float(point[2]))


def _vector(values) -> Vector3:
    x, y, z = (float(value) for value in values)
    return Vector3(x=x, y=y, z=z)
