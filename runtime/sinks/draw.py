"""Pictures of people, heat maps and PAFs over a frame, in the papers' manner."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.sinks.base import Result


def draw_people(result: Result) -> NDArray[np.uint8]:
    """The frame with a skeleton a person: limbs in the colours of the rainbow, joints as dots; hands and faces in thinner lines.

    Returns a new (H, W, 3) uint8 BGR.
    """
    import cv2

    image: NDArray[np.uint8] = result.frame.image.copy()
    skeleton = result.manifest.skeleton
    colours = _rainbow(len(skeleton.limbs))
    unit = max(1, round(min(image.shape[:2]) / 240))
    limbs = image.copy()
    for person in result.people.keypoints:
        for (a, b), colour in zip(skeleton.limbs, colours, strict=True):
            if person[a, 2] > 0 and person[b, 2] > 0 and not _is_redundant(skeleton.parts[a], skeleton.parts[b]):
                cv2.line(limbs, _pixel(person[a]), _pixel(person[b]), colour, 2 * unit, cv2.LINE_AA)
    cv2.addWeighted(limbs, 0.75, image, 0.25, 0, dst=image)
    part_colours = _rainbow(len(skeleton.parts))
    for index, person in enumerate(result.people.keypoints):
        for point, colour in zip(person, part_colours, strict=True):
            if point[2] > 0:
                cv2.circle(image, _pixel(point), 2 * unit, colour, -1, cv2.LINE_AA)
        found = person[person[:, 2] > 0]
        if result.people.ids is not None and len(found):
            top = found[np.argmin(found[:, 1])]
            place = (int(top[0]), max(10, int(top[1]) - 4 * unit))
            cv2.putText(
                image, str(int(result.people.ids[index])), place, cv2.FONT_HERSHEY_SIMPLEX, 0.5 * unit, (255, 255, 255), unit, cv2.LINE_AA
            )
    _draw_hands_and_faces(image, result, unit)
    return image


def _draw_hands_and_faces(image: NDArray[np.uint8], result: Result, unit: int) -> None:
    """Hands in the colours of the rainbow, a finger a colour or so; faces in white, as OpenPose shows them."""
    import cv2

    people = result.people
    for kind, arrays in (("hands", (people.left_hands, people.right_hands)), ("face", (people.faces,))):
        skeleton = result.skeletons.get(kind)
        if skeleton is None:
            continue
        limb_colours = _rainbow(len(skeleton.limbs)) if kind == "hands" else [(255, 255, 255)] * len(skeleton.limbs)
        part_colours = _rainbow(len(skeleton.parts)) if kind == "hands" else [(255, 255, 255)] * len(skeleton.parts)
        for points in (person for array in arrays if array is not None for person in array):
            for (a, b), colour in zip(skeleton.limbs, limb_colours, strict=True):
                if points[a, 2] > 0 and points[b, 2] > 0:
                    cv2.line(image, _pixel(points[a]), _pixel(points[b]), colour, unit, cv2.LINE_AA)
            for point, colour in zip(points, part_colours, strict=True):
                if point[2] > 0:
                    cv2.circle(image, _pixel(point), unit, colour, -1, cv2.LINE_AA)


def draw_heatmaps(result: Result) -> NDArray[np.uint8]:
    """The frame under the strongest of the parts' heat maps at each place, cold to hot. Returns a new (H, W, 3) uint8 BGR."""
    import cv2

    heatmaps = result.outputs.heatmaps if result.outputs is not None else None
    if heatmaps is None:
        raise PosetrtError("this network decodes inside its graph and gives no heat maps to draw; export it without --decode in-graph")
    strongest = heatmaps[0, : len(result.manifest.skeleton.parts)].max(axis=0).astype(np.float32)
    value = _over_frame(strongest[..., None], result)[..., 0]
    heat = cv2.applyColorMap(np.clip(value * 255, 0, 255).astype(np.uint8), cv2.COLORMAP_JET)
    return np.asarray(cv2.addWeighted(result.frame.image, 0.5, heat, 0.5, 0), np.uint8)


def draw_pafs(result: Result) -> NDArray[np.uint8]:
    """The frame under all PAFs: hue is direction, brightness is strength. Returns a new (H, W, 3) uint8 BGR."""
    import cv2

    pafs = result.outputs.pafs if result.outputs is not None else None
    if pafs is None:
        raise PosetrtError("this network gives no PAFs to draw: it has heat maps only, or decodes inside its graph")
    channels = np.asarray(result.manifest.skeleton.paf_channels)
    fields = pafs[0].astype(np.float32)[channels]
    strength = np.hypot(fields[:, 0], fields[:, 1])
    strongest = strength.argmax(axis=0)[None, None]
    chosen = np.take_along_axis(fields, np.broadcast_to(strongest, (1, 2, *strongest.shape[2:])), axis=0)[0]
    field = _over_frame(np.moveaxis(chosen, 0, -1), result)
    angle = np.degrees(np.arctan2(field[..., 1], field[..., 0])) % 360
    hsv = np.empty((*field.shape[:2], 3), np.uint8)
    hsv[..., 0] = angle / 2
    hsv[..., 1] = 255
    hsv[..., 2] = np.clip(np.hypot(field[..., 0], field[..., 1]) * 255, 0, 255)
    colour = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), np.uint8)
    weight = hsv[..., 2:].astype(np.float32) / 255
    return (result.frame.image * (1 - 0.5 - 0.5 * weight) + colour * (0.5 + 0.5 * weight) * weight).astype(np.uint8)


DRAWINGS: dict[str, Callable[[Result], NDArray[np.uint8]]] = {"people": draw_people, "heatmaps": draw_heatmaps, "pafs": draw_pafs}


def _over_frame(maps: NDArray[np.float32], result: Result) -> NDArray[np.float32]:
    """Resize (h, w, C) maps of the network's grid to the frame, half-pixel, without the padding."""
    import cv2

    height, width = result.frame.image.shape[:2]
    net_wh = result.box.size_wh
    full = cv2.resize(maps, net_wh, interpolation=cv2.INTER_CUBIC)
    right, bottom = result.box.scaled_wh
    scaled = cv2.resize(full[:bottom, :right], (width, height), interpolation=cv2.INTER_LINEAR)
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
    return [(int(b), int(g), int(r)) for b, g, r in cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0]]
