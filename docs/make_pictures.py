"""The README's animation: drawn people, found and followed by the network that ships. `make pictures` runs it.

Written as animated WebP, which is small and which GitHub and browsers show.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import posetrt
from posetrt.calib.scenes.scenes import draw_video

SEED, SIZE_WH, PEOPLE, FRAMES, FPS = 1, (456, 256), 3, 30, 10.0


def main() -> None:
    """Write docs/people.webp."""
    pictures = []
    with posetrt.open() as pose:
        tracker = posetrt.Tracker(pose.skeleton)
        for number, scene in enumerate(draw_video(SEED, SIZE_WH, PEOPLE, FRAMES, FPS)):
            people = tracker(pose(scene.image), number / FPS)
            both = np.hstack([scene.image, posetrt.draw(scene.image, people)])
            pictures.append(Image.fromarray(both[..., ::-1]))
    target = Path(__file__).parent / "people.webp"
    pictures[0].save(target, save_all=True, append_images=pictures[1:], duration=round(1000 / FPS), loop=0, quality=45, method=6)


if __name__ == "__main__":
    main()
