"""The judge: the people that a graph finds on fixed photographs, to be compared with what the float32 graph finds there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.agreement import Agreement, agreement
from posetrt.calib.photographs import read_photograph
from posetrt.runtime.engines.base import Outputs
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.letterbox import cells_to_frame, letterbox_for, place, to_input
from posetrt.runtime.manifest import Manifest
from posetrt.runtime.parser import PafParser
from posetrt.runtime.people import People

Runner = Callable[[NDArray[Any]], Outputs]


class Judge:
    """Photographs held letterboxed in memory (0.35 MB each at 456x256), and the people that the float32 graph finds on them.

    Args:
        manifest: of the network.
        paths: photographs that calibrated nothing; unreadable ones are left out.

    Raises:
        PosetrtError: none of them can be read.
    """

    def __init__(self, manifest: Manifest, paths: Sequence[Path]) -> None:
        self.manifest = manifest
        self.parser = PafParser(manifest.skeleton)
        self.paths: list[Path] = []
        self._placed = []
        for path in paths:
            try:
                frame = read_photograph(path)
            except (OSError, PosetrtError):
                continue
            box = letterbox_for((frame.shape[1], frame.shape[0]), manifest.input.size_wh)
            self._placed.append((place(frame, box), box))
            self.paths.append(path)
        if not self._placed:
            raise PosetrtError(f"none of the {len(paths)} photographs to judge by can be read")

    def __len__(self) -> int:
        return len(self._placed)

    def people(self, run: Runner, look: Callable[[Outputs], None] = lambda _outputs: None) -> list[People]:
        """The people of each photograph, in pixels of the photograph.

        Args:
            look: shown the network's outputs for each photograph.
        """
        found = []
        for canvas, box in self._placed:
            outputs = run(to_input(canvas, self.manifest.input))
            look(outputs)
            people = self.parser.parse_outputs(outputs)[0]
            found.append(People(cells_to_frame(people.keypoints, self.manifest.stride, box), people.scores))
        return found

    def compare(self, reference: Sequence[People], run: Runner) -> Agreement:
        """How far a graph's people agree with those of the reference."""
        return agreement(reference, self.people(run), self.manifest.skeleton)


def runner(model: Any, manifest: Manifest, *, fused: bool = True) -> Runner:
    """A ModelProto on ONNX Runtime.

    Args:
        fused: let ONNX Runtime put Q/DQ and operators together into 8-bit kernels. Without, the graph computes in float with each value
            rounded to its 8-bit grid: what TensorRT's layout says, whatever ONNX Runtime makes of it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not fused:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    session = onnxruntime.InferenceSession(
        model.SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
        # It would put layers that were left in float back into INT8, and every figure about them would lie.
        disabled_optimizers=["WeightBiasQuantization"],
    )
    roles = manifest.outputs.present()

    def run(tensor: NDArray[Any]) -> Outputs:
        values = session.run(list(roles.values()), {manifest.input.name: tensor})
        return Outputs(**{role: np.asarray(value) for role, value in zip(roles, values, strict=True)})

    return run
