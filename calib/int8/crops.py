"""Crops of people for a network that looks at one person: it never sees whole photographs, so they must not set its ranges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from posetrt.calib.int8.photographs import read_photograph
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.find.boxes import grown, inside, person_boxes
from posetrt.runtime.find.whole_frame import WholeFrame
from posetrt.runtime.model.manifest import InputSpec
from posetrt.runtime.picture import cut
from posetrt.runtime.placement import crop

LEAST_SIDE = 24  # px of a box: smaller people are smears when they fill an input
MOST = 4  # crops of one photograph, so that a crowd does not outvote the others


def cut_crops(
    spec: InputSpec,
    paths: Sequence[Path],
    detector: WholeFrame,
    folder: Path,
    *,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Path]:
    """Store what the network will see of each photograph: up to four people, the surest first, each as a picture of the input's size.

    Args:
        spec: input of the network for crops.
        paths: photographs; unreadable ones are passed over.
        detector: says where people are; left open.
        folder: gets the crops, as PNG named by photograph and person.
        progress: called with photographs done and in all.

    Returns:
        The crops' paths.

    Raises:
        PosetrtError: nobody is found in any photograph.
    """
    import cv2

    made: list[Path] = []
    for number, path in enumerate(paths):
        progress(number + 1, len(paths))
        try:
            frame = read_photograph(path)
        except (OSError, PosetrtError):
            continue
        boxes = person_boxes(detector.find(frame))
        boxes = boxes[(boxes[:, 2:].min(axis=1, initial=1e9) >= LEAST_SIDE) & inside(boxes, frame.shape)][:MOST]
        for person, box in enumerate(grown(boxes, spec.size_wh, spec.fit.grow).tolist()):
            picture = cut(frame, crop(box, spec.size_wh), spec.fit.pad)
            made.append(folder / f"{number:05d}_{path.stem}_{person}.png")
            if not cv2.imwrite(str(made[-1]), picture):
                raise PosetrtError(f"{made[-1]} cannot be written; is the disk full?")
    if not made:
        raise UsageError(f"the detector finds nobody in {len(paths)} photographs; give photographs of people, or another --detector")
    return made
