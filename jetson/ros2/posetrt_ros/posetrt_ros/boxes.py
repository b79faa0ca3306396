"""A person's box as vision_msgs/BoundingBox2D has it: centre and size. Needs no ROS."""

from __future__ import annotations

from dataclasses import dataclass

from posetrt.runtime.people import People


@dataclass(frozen=True)
class Box:
    """In pixels of the image.

    Attributes:
        centre_x, centre_y: of the box.
        width, height: of the box.
    """

    centre_x: float
    centre_y: float
    width: float
    height: float


def body_box(people: People, index: int) -> Box | None:
    """The network's own box of a person, else the one around the parts that were found; None where none was."""
    if people.boxes is not None:
        left, top, width, height = people.boxes[index].tolist()
        return Box(left + width / 2, top + height / 2, width, height)
    keypoints = people.keypoints[index]
    found = keypoints[keypoints[:, 2] > 0, :2]
    if len(found) == 0:
        return None
    (left, top), (right, bottom) = found.min(axis=0).tolist(), found.max(axis=0).tolist()
    return Box((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
