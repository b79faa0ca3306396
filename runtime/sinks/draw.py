"""Pictures of people, heat maps and PAFs over a frame, in the papers' manner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.people import People
from posetrt.runtime.placement import check_frame
from posetrt.runtime.sinks.base import Result


def draw_people(result: Result) -> NDArray[np.uint8]:
    """As `draw`, of a result."""
    return draw(result.frame.image, replace(result.people, skeleton=result.manifest.skeleton, skeletons=result.skeletons))


def draw(frame: NDArray[np.uint8], people: People) -> NDArray[np.uint8]:
    """The frame with one skeleton per person: limbs in the colours of the rainbow, joints as dots, ids where there are some; hands and
    faces in thinner lines; boxes where there are no key points.

    Args:
        frame: (H, W, 3) uint8 BGR; stays as it is.
        people: in pixels of the frame, with their skeleton.

    Returns:
        A new (H, W, 3) uint8 BGR.

    Raises:
        UsageError: the people have no skeleton.
        PosetrtError: the frame is no picture.
    """
    import cv2

    check_frame(frame)
    image: NDArray[np.uint8] = frame.copy()
    skeleton = people.named()
    colours = _rainbow(len(skeleton.limbs))
    unit = max(1, round(min(image.shape[:2]) / 240))
    units = [_unit_of(person, unit) for person in people.keypoints]
    limbs = image.copy()
    for person, own in zip(people.keypoints, units, strict=True):
        for (a, b), colour in zip(skeleton.limbs, colours, strict=True):
            if person[a, 2] > 0 and person[b, 2] > 0 and not _is_redundant(skeleton.parts[a], skeleton.parts[b]):
                cv2.line(limbs, _pixel(person[a]), _pixel(person[b]), colour, 2 * own, cv2.LINE_AA)
    cv2.addWeighted(limbs, 0.75, image, 0.25, 0, dst=image)
    part_colours = _rainbow(len(skeleton.parts))
    if people.boxes is not None and not skeleton.parts:
        for x, y, across, down in people.boxes:
            cv2.rectangle(image, (round(float(x)), round(float(y))), (round(float(x + across)), round(float(y + down))), (0, 255, 0), unit)
    for index, person in enumerate(people.keypoints):
        for point, colour in zip(person, part_colours, strict=True):
            if point[2] > 0:
                cv2.circle(image, _pixel(point), 2 * units[index], colour, -1, cv2.LINE_AA)
        found = person[person[:, 2] > 0]
        if people.ids is not None and len(found):
            top = found[np.argmin(found[:, 1])]
            place = (int(top[0]), max(10, int(top[1]) - 4 * unit))
            text = str(int(people.ids[index]))
            # A black outline: white alone is lost on a white wall.
            for colour, width in (((0, 0, 0), 3 * unit), ((255, 255, 255), unit)):
                cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5 * unit, colour, width, cv2.LINE_AA)
    _draw_hands_and_faces(image, people, unit)
    return image


def _unit_of(person: NDArray[np.float32], unit: int) -> int:
    """Half the thickness of a person's limbs in pixels: that of the picture, less where the person is so small that dots would hide it."""
    found = person[person[:, 2] > 0, :2]
    return max(1, min(unit, round(float(np.ptp(found, axis=0).max()) / 50))) if len(found) else unit


def _draw_hands_and_faces(image: NDArray[np.uint8], people: People, unit: int) -> None:
    """Hands in the colours of the rainbow, a finger a colour or so; faces in white, as OpenPose shows them."""
    import cv2

    for name, array in people.extras.items():
        skeleton = people.skeletons.get(name)
        if skeleton is None:
            continue
        coloured = name != "face"
        limb_colours = _rainbow(len(skeleton.limbs)) if coloured else [(255, 255, 255)] * len(skeleton.limbs)
        part_colours = _rainbow(len(skeleton.parts)) if coloured else [(255, 255, 255)] * len(skeleton.parts)
        for points in array:
            for (a, b), colour in zip(skeleton.limbs, limb_colours, strict=True):
                if points[a, 2] > 0 and points[b, 2] > 0:
                    cv2.line(image, _pixel(points[a]), _pixel(points[b]), colour, unit, cv2.LINE_AA)
            for point, colour in zip(points, part_colours, strict=True):
                if point[2] > 0:
                    cv2.circle(image, _pixel(point), unit, colour, -1, cv2.LINE_AA)


def draw_maps(name: str, result: Result) -> NDArray[np.uint8]:
    """The frame under one of the pictures that the network's head can make of its outputs; returns a new (H, W, 3) uint8 BGR.

    A map of 0 to 1 is shown cold to hot; of a field of vectors hue is direction, and brightness strength.

    Args:
        name: one of the head's `picture_names`, as "heatmaps" or "pafs".

    Raises:
        PosetrtError: the head has no such picture, or no network looked at the whole frame.
    """
    head = result.manifest.head
    if result.tensors is None or result.placement is None or name not in head.picture_names():
        can = ", ".join(head.picture_names()) or "people alone"
        raise PosetrtError(f"this network (head {head.kind}) gives no {name} to draw; --draw can show: {can}")
    picture = head.picture(name, result.tensors, result.manifest.skeleton)
    if picture.ndim == 2:
        return _heat(result, _over_frame(picture[..., None], result)[..., 0])
    return _directions(result, _over_frame(np.moveaxis(picture, 0, -1), result))


def _heat(result: Result, value: NDArray[np.float32]) -> NDArray[np.uint8]:
    import cv2

    heat = cv2.applyColorMap(np.clip(value * 255, 0, 255).astype(np.uint8), cv2.COLORMAP_JET)
    return np.asarray(cv2.addWeighted(result.frame.image, 0.5, heat, 0.5, 0), np.uint8)


def _directions(result: Result, field: NDArray[np.float32]) -> NDArray[np.uint8]:
    import cv2

    angle = np.degrees(np.arctan2(field[..., 1], field[..., 0])) % 360
    hsv = np.empty((*field.shape[:2], 3), np.uint8)
    hsv[..., 0] = angle / 2
    hsv[..., 1] = 255
    hsv[..., 2] = np.clip(np.hypot(field[..., 0], field[..., 1]) * 255, 0, 255)
    colour = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), np.uint8)
    weight = hsv[..., 2:].astype(np.float32) / 255
    return (result.frame.image * (1 - 0.5 - 0.5 * weight) + colour * (0.5 + 0.5 * weight) * weight).astype(np.uint8)


def drawing(name: str) -> Callable[[Result], NDArray[np.uint8]]:
    """What draws a result: "people", or a picture of the network's outputs."""
    return draw_people if name == "people" else partial(draw_maps, name)


def _over_frame(maps: NDArray[np.float32], result: Result) -> NDArray[np.float32]:
    """Resize (h, w, C) maps of the network's grid to the frame, half-pixel, without the padding."""
    import cv2

    assert result.placement is not None
    height, width = result.frame.image.shape[:2]
    full = cv2.resize(maps, result.placement.size_wh, interpolation=cv2.INTER_CUBIC)
    # From centres of the frame's pixels to centres of the network's.
    matrix = np.array(result.placement.matrix)
    matrix[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5
    scaled = cv2.warpAffine(full, matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(scaled, np.float32).reshape(height, width, maps.shape[2])


def _is_redundant(first: str, second: str) -> bool:
    """Ear to shoulder: a limb for matching, not for the eye."""
    return "Ear" in first + second and "Shoulder" in first + second


def _pixel(point: NDArray[np.float32]) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))


def _rainbow(count: int) -> list[tuple[int, int, int]]:
    """`count` colours (B, G, R) evenly round the circle of hues."""
    import cv2

    hsv = np.full((1, max(1, count), 3), 255, np.uint8)
    hsv[0, :, 0] = np.arange(max(1, count)) * 180 // max(1, count)
    return [(int(b), int(g), int(r)) for b, g, r in cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, :count]]
