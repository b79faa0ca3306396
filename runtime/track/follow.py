"""One person who is followed: where they are as seen from the camera, whether they are lost, and whether they are back.

The tracker's ids carry most of it. Where an id ends, those who appear from then on may be the person: they are compared by where and how
far away they are, and by what they wear where there are pictures.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.camera import Camera, FieldOfView, bearing_and_elevation
from posetrt.runtime.depth import depth_at
from posetrt.runtime.errors import UsageError
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People
from posetrt.runtime.track.appearance import BINS, UNKNOWN, Appearance, alike, blended
from posetrt.runtime.track.body_distance import USUAL_HEIGHT_M, BodyDistance
from posetrt.runtime.track.choosing import at_point, by_rule, check_rule, in_rectangle, person_box

IDLE, FOLLOWING, LOST, AGAIN = "idle", "following", "lost", "again"
"""Nobody is chosen; the chosen person is in view; is not; has come back within the last second."""

_LOOKS_EVERY_S = 0.15
_UNSURE_S = 0.3
"""An id that was away for longer may have been given to somebody else in the meantime: whoever has it is looked at anew."""
_SAME, _OTHER = 0.93, 0.85
"""Looks that are alike so much are the person's; so little, somebody else's (`appearance.alike`)."""
_FRAMES = 3
"""Somebody is looked at in so many frames before they are taken for the person."""
_UNSEEN_LOOKS_S = 1.0
"""For so long somebody whose clothes cannot be made out is waited for."""
_ROAMS_DEG_S, _ROAMS_DEG = 25.0, 8.0
"""How far from the expected bearing somebody may come back."""
_FARTHER = 1.6
"""By how much the distance may have changed, as a ratio, with a tenth more each second."""
_HIPS_BY_SHOULDERS = 0.5
"""Between the joints of the hips and those of the shoulders, as annotators of key points place them: about a half."""
_FADE_S = 1.5
_SMOOTH_S = 0.25
"""Time constants: how long a lost person is thought to go on as before; and of the smoothing of distances."""


@dataclass(frozen=True)
class FollowOptions:
    """How somebody is followed.

    Attributes:
        height_m: of the person, for the distance from body proportions.
        forget_s: after so long the person is given up, and one chosen by a rule is chosen anew.
        again_s: for how long the state is "again" after a return.
    """

    height_m: float = USUAL_HEIGHT_M
    forget_s: float = 30.0
    again_s: float = 1.0

    def __post_init__(self) -> None:
        if not (0.5 <= self.height_m <= 2.5 and self.forget_s > 0 and self.again_s >= 0):
            raise UsageError(f"a height lies between 0.5 and 2.5 m and times are above 0; got {self}")


@dataclass(frozen=True)
class Target:
    """What is known of the person who is followed, in one frame.

    Attributes:
        state: "idle", "following", "lost" or "again".
        time_s: of the frame.
        person_id: the tracker's id; None while nobody is seen.
        bearing_deg: to the right of the optical axis. While lost: as last seen, and so below; None before.
        elevation_deg: upward from the plane through the optical axis.
        distance_m: from the camera to the hips; None where nothing tells.
        distance_from: "depth" or "body"; None without a distance.
        box: x, y, width, height in pixels, around the parts seen; None while nobody is seen.
        lost_s: for how long nobody has been seen; 0 in view.
    """

    state: str = IDLE
    time_s: float = 0.0
    person_id: int | None = None
    bearing_deg: float | None = None
    elevation_deg: float | None = None
    distance_m: float | None = None
    distance_from: str | None = None
    box: tuple[float, float, float, float] | None = None
    lost_s: float = 0.0

    @property
    def seen(self) -> bool:
        """Whether the person is in view."""
        return self.state in (FOLLOWING, AGAIN)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, rounded, as the JSON lines have them."""
        rounded = {
            name: None if value is None else round(value, 3) for name, value in vars(self).items() if name.endswith(("_deg", "_m", "_s"))
        }
        box = None if self.box is None else [round(value, 2) for value in self.box]
        return {"state": self.state, "person_id": self.person_id, **rounded, "distance_from": self.distance_from, "box": box}


@dataclass
class _Candidate:
    """Somebody who may be the person: frames in which they fitted, since when, and how alike they looked (the sum over those that tell)."""

    frames: int = 0
    alike: float = 0.0
    looked: int = 0
    since_s: float = math.inf


class Follow:
    """Follows one person among tracked people. Give it every frame, in order; choosing is safe from other threads.

    Args:
        skeleton: of the people.
        camera: turns pixels into directions; of a field of view alone each picture is needed.
        options: see `FollowOptions`.
    """

    def __init__(self, skeleton: Skeleton, camera: Camera | FieldOfView, options: FollowOptions | None = None) -> None:
        self._lens, self._options = camera, options or FollowOptions()
        # Of a field of view the camera follows from the first picture's size.
        self._camera = camera if isinstance(camera, Camera) else camera.camera((1, 1))
        self._place = {name: index for index, name in enumerate(skeleton.parts)}
        self._body = BodyDistance(skeleton, self._options.height_m)
        self._appearance = Appearance(skeleton)
        self._lock = threading.Lock()
        self._rule: str | None = None
        self._people: People | None = None
        self._forget()

    def _forget(self) -> None:
        self._id: int | None = None
        self._target = Target()
        self._looks = np.full((1, BINS), np.nan, np.float32)
        self._looked_s = -math.inf
        self._seen_s = self._lost_from_s = self._again_until_s = -math.inf
        self._turning, self._doubts = 0.0, 0
        # When ids were last seen of people who cannot be the person: they were seen together, and without a gap since.
        self._others: dict[int, float] = {}
        self._candidates: dict[int, _Candidate] = {}

    @property
    def target(self) -> Target:
        """As of the last frame."""
        return self._target

    def choose(self, whom: str) -> None:
        """Follow by a rule, as soon as somebody is there.

        Args:
            whom: "largest", "centre" (nearest to the middle of the picture), a tracker's id, or a place as shares of the picture: "0.5,0.4".

        Raises:
            UsageError: none of these.
        """
        check_rule(whom)
        with self._lock:
            self._forget()
            self._rule = whom

    def choose_point(self, x: float, y: float) -> bool:
        """Follow who is at a point, in shares of the picture. Whoever was followed stays so where nobody is there, which gives False."""
        return self._choose_by(lambda people: at_point(people, x, y, self._camera.size_wh))

    def choose_rectangle(self, left: float, top: float, right: float, bottom: float) -> bool:
        """Follow who fills a rectangle best, in shares of the picture; as `choose_point`."""
        return self._choose_by(lambda people: in_rectangle(people, (left, top, right, bottom), self._camera.size_wh))

    def _choose_by(self, finder: Any) -> bool:
        with self._lock:
            row = finder(self._people) if self._people is not None and self._people.ids is not None and len(self._people) else None
            if row is None:
                return False
            assert self._people is not None
            assert self._people.ids is not None
            self._forget()
            self._rule, self._id = None, int(self._people.ids[row])
            return True

    def stop(self) -> None:
        """Follow nobody."""
        with self._lock:
            self._forget()
            self._rule = None

    def update(
        self, people: People, time_s: float, image: NDArray[np.uint8] | None = None, depth: NDArray[np.generic] | None = None
    ) -> Target:
        """Take a frame.

        Args:
            people: with a tracker's ids, in pixels of the camera's pictures.
            time_s: of the frame.
            image: (H, W, 3) uint8 BGR: what people wear tells who comes back.
            depth: (H, W) uint16 millimetres or float32 metres, aligned to the picture: gives the distance where it has no hole.

        Raises:
            UsageError: people without ids, a picture or depth picture of another size than the camera's, or a field of view without a picture.
        """
        if people.ids is None and len(people):
            raise UsageError("following needs a tracker's ids: give people through a Tracker first (run: leave --no-track out)")
        self._fit(image)
        if depth is not None:
            self._camera.check_frame(depth.shape[1::-1])
        with self._lock:
            self._people = people
            ids = [] if people.ids is None else people.ids.tolist()
            if self._id is None and self._rule is not None:
                row = by_rule(people, self._rule, self._camera.size_wh)
                self._id = None if row is None else ids[row]
            if self._id is None:
                self._target = Target(time_s=time_s)
                return self._target
            row = ids.index(self._id) if self._id in ids else None
            if row is not None and self._seen_s > -math.inf and time_s - self._seen_s > _UNSURE_S:
                row = None
            if row is None:
                row = self._back(people, ids, time_s, image)
            if row is not None and image is not None and not self._looks_right(image, people, row, time_s):
                self._others[ids[row]] = time_s
                row = None
            self._target = self._lost(time_s) if row is None else self._seen(people, ids, row, time_s, depth)
            return self._target

    def _fit(self, image: NDArray[np.uint8] | None) -> None:
        if isinstance(self._lens, FieldOfView):
            if image is None:
                raise UsageError("following by a field of view needs each picture, for its size: follow.update(people, time_s, image)")
            if self._camera.size_wh != (image.shape[1], image.shape[0]):
                self._camera = self._lens.camera((image.shape[1], image.shape[0]))
        elif image is not None:
            self._camera.check_frame((image.shape[1], image.shape[0]))

    def _seen(self, people: People, ids: list[int], row: int, time_s: float, depth: NDArray[np.generic] | None) -> Target:
        before, gone = self._target, time_s - self._seen_s
        if before.state == LOST:
            self._again_until_s = time_s + self._options.again_s
        self._id = ids[row]
        if time_s >= self._again_until_s:
            self._others |= {one: time_s for one in ids if one != self._id}
        self._candidates.clear()
        keypoints = people.keypoints[row]
        direction = self._direction(people, row)
        bearing, elevation = bearing_and_elevation(direction)
        if before.bearing_deg is not None and 0 < gone < 1:
            share = min(1.0, gone / _SMOOTH_S)
            self._turning += share * ((bearing - before.bearing_deg) / gone - self._turning)
        distance, source = self._distance(keypoints, direction, depth)
        if distance is None:
            distance, source = before.distance_m, before.distance_from
        elif before.distance_m is not None and before.distance_from == source and gone < 1:
            distance = before.distance_m + (1 - math.exp(-gone / _SMOOTH_S)) * (distance - before.distance_m)
        self._seen_s = time_s
        state = AGAIN if time_s < self._again_until_s else FOLLOWING
        return Target(state, time_s, self._id, bearing, elevation, distance, source, person_box(people, row))

    def _lost(self, time_s: float) -> Target:
        if self._target.state != LOST:
            self._lost_from_s = self._seen_s if self._seen_s > -math.inf else time_s
        lost_s = time_s - self._lost_from_s
        if lost_s > self._options.forget_s:
            self._forget()
            return Target(time_s=time_s)
        return replace(self._target, state=LOST, time_s=time_s, person_id=None, box=None, lost_s=lost_s)

    def _back(self, people: People, ids: list[int], time_s: float, image: NDArray[np.uint8] | None) -> int | None:
        """Row of the person, come back under an id that may be new; None where nobody fits for sure."""
        if self._target.bearing_deg is None:
            return ids.index(self._id) if self._id in ids else None
        self._others = {one: seen_s for one, seen_s in self._others.items() if time_s - seen_s <= _UNSURE_S}
        self._others |= {one: time_s for one in ids if one in self._others}
        new = [row for row, one in enumerate(ids) if one not in self._others]
        if not new:
            return None
        likeness = (
            alike(self._looks, self._looks_of(image, people, new))[0] if image is not None else np.full(len(new), UNKNOWN, np.float32)
        )
        known = likeness != np.float32(UNKNOWN)
        best, best_score = None, -math.inf
        for row, looks, tells in zip(new, likeness.tolist(), known.tolist(), strict=True):
            away = self._misfit(people, row, time_s)
            if away is None:
                continue
            one = self._candidates.setdefault(ids[row], _Candidate())
            one.frames += 1
            one.looked += tells
            one.since_s = min(one.since_s, time_s)
            one.alike += looks if tells else 0.0
            if one.frames < _FRAMES or (image is not None and one.looked < 2 and time_s - one.since_s < _UNSEEN_LOOKS_S):
                continue
            mean = one.alike / one.looked if one.looked else None
            if mean is not None and mean < _SAME:
                continue
            score = (mean if mean is not None else 0.8) - 0.1 * away + 0.05 * (ids[row] == self._id)
            if score > best_score:
                best, best_score = row, score
        return best

    def _misfit(self, people: People, row: int, time_s: float) -> float | None:
        """How far somebody is from where the person may be now, 0 to 1; None beyond."""
        last, gone = self._target, time_s - self._seen_s
        assert last.bearing_deg is not None
        direction = self._direction(people, row)
        expected = last.bearing_deg + self._turning * _FADE_S * (1 - math.exp(-gone / _FADE_S))
        away = abs(bearing_and_elevation(direction)[0] - expected) / (_ROAMS_DEG + _ROAMS_DEG_S * gone)
        distance = self._distance(people.keypoints[row], direction, None)[0]
        if distance is not None and last.distance_m is not None and last.distance_from == "body":
            away = max(away, abs(math.log(distance / last.distance_m)) / math.log(_FARTHER * (1 + 0.1 * gone)))
        return away if away <= 1 else None

    def _looks_right(self, image: NDArray[np.uint8], people: People, row: int, time_s: float) -> bool:
        """Learn what the person looks like; False where whoever has the id has looked like somebody else several times in a row."""
        if time_s - self._looked_s < _LOOKS_EVERY_S:
            return True
        self._looked_s = time_s
        now = self._looks_of(image, people, [row])
        if float(alike(self._looks, now)[0, 0]) < (_OTHER if not np.isnan(self._looks).all() and not np.isnan(now).all() else 0.0):
            self._doubts += 1
            return self._doubts < _FRAMES
        self._doubts = 0
        self._looks = blended(self._looks, now, 0.2)
        return True

    def _looks_of(self, image: NDArray[np.uint8], people: People, rows: list[int]) -> NDArray[np.float32]:
        return self._appearance.of(image, people)[rows]

    def _direction(self, people: People, row: int) -> NDArray[np.float64]:
        """(2,) x/z and y/z of the ray to the hips, else to the middle of what is seen."""
        points = people.keypoints[row]

        def seen(*names: str) -> list[NDArray[np.float32]]:
            return [points[self._place[name], :2] for name in names if name in self._place and points[self._place[name], 2] > 0]

        shoulders = seen("RShoulder", "LShoulder")
        at = seen("RHip", "LHip")
        if len(at) == 1 and len(shoulders) == 2:
            # The other hip lies across by half of what the shoulders are apart.
            side = "R" if seen("RHip") else "L"
            at = [at[0] + np.float32(_HIPS_BY_SHOULDERS) * (np.mean(shoulders, axis=0) - seen(f"{side}Shoulder")[0])]
        at = at or seen("MidHip") or shoulders or seen("Neck")
        if at:
            pixel = np.asarray(np.mean(at, axis=0), np.float64)
        else:
            left, top, width, height = person_box(people, row)
            pixel = np.array([left + width / 2 - 0.5, top + height / 2 - 0.5])
        return np.asarray(self._camera.directions(pixel[None])[0])

    def _distance(
        self, keypoints: NDArray[np.float32], direction: NDArray[np.float64], depth: NDArray[np.generic] | None
    ) -> tuple[float | None, str | None]:
        length = float(np.sqrt(1 + (direction * direction).sum()))
        if depth is not None:
            torso = [self._place[name] for name in ("RShoulder", "LShoulder", "RHip", "LHip", "Neck", "MidHip") if name in self._place]
            points = keypoints[torso]
            # Edges of the body have the background's depth: what lies between shoulders and hips has the body's own.
            inner = points[points[:, 2] > 0, :2]
            if len(inner):
                inner = inner + np.float32(0.3) * (inner.mean(axis=0) - inner)
                ahead = depth_at(depth, inner)
                known = ahead[np.isfinite(ahead)]
                if len(known):
                    return float(np.median(known)) * length, "depth"
        ahead_m = self._body.of(keypoints, self._camera.focal)
        return (None, None) if ahead_m is None else (ahead_m * length, "body")
