"""nano on a processor, as a user runs it, and compared with another processor's. Run by tests/arm64.sh, first here, then emulated:

python tests/arm64_network.py FOLDER           copies nano there, builds it, draws a scene, keeps its maps and people
python tests/arm64_network.py FOLDER OTHER     the same on the other's scene; prints how far both are apart, exit code 1 where too far
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.scenes.scenes import draw_scene
from posetrt.export.engine.build import build
from posetrt.runtime.model.folder import open_folder
from posetrt.runtime.model.shipped import shipped_model
from posetrt.runtime.pose import open_pose

# Float kernels add in another order; int8 kernels round a sum that lies between two levels differently.
LIMITS = {"fp32": 1e-5, "int8": 0.05}


def maps_and_people(folder: Path, precision: str, frame: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """What `posetrt build` and the library give."""
    build(open_folder(folder), precision, backend="onnxruntime")  # type: ignore[arg-type]
    with open_pose(folder, precision=precision) as pose:
        outputs = pose.engine.infer(pose.network_input(frame))
        people = pose(frame).keypoints
    return {f"{precision} heat maps": outputs["heatmaps"], f"{precision} PAFs": outputs["pafs"], f"{precision} people": people}


def main(folder: Path, other: Path | None) -> int:
    """Build, run, keep; compare with the other's where there is one."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(shipped_model(), folder / "nano")
    frame = draw_scene(7).image if other is None else np.load(other / "frame.npy")
    np.save(folder / "frame.npy", frame)
    found = {}
    for precision in LIMITS:
        found |= maps_and_people(folder / "nano", precision, frame)
    np.savez(folder / "found.npz", **found)  # type: ignore[arg-type]
    if other is None:
        return 0
    code = 0
    with np.load(other / "found.npz") as theirs:
        for name, ours in found.items():
            if name.endswith("people"):
                same = len(ours) == len(theirs[name])
                print(f"{name}: {len(ours)}, on the other processor {len(theirs[name])}")
                code = code if same or name.startswith("int8") else 1
                continue
            apart = float(np.abs(ours - theirs[name]).max())
            print(f"{name}: at most {apart:.2g} apart")
            code = code if apart <= LIMITS[name[:4]] else 1
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None))
