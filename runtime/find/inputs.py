"""Memory that networks are fed from: made once, written again, and page-locked where the engine lends its own."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.engines.base import Engine
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.model.manifest import InputSpec
from posetrt.runtime.picture import to_nv12
from posetrt.runtime.placement import check_frame
from posetrt.runtime.scaling import Scratch

_KEPT = 4
"""Arrays that wait to be used again: a frame is written, one waits, and a GPU works on two."""


class Inputs:
    """Input tensors of one engine. They may be taken and given back in different threads.

    Args:
        engine: may lend its own memory; what it does not lend comes from here.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._free: list[NDArray[Any]] = []
        self._taken: dict[int, NDArray[Any]] = {}

    def take(self, size_wh: tuple[int, int], count: int) -> NDArray[Any]:
        """A tensor for `count` pictures of a size, in the manifest's layout and type; what it holds is left over."""
        spec = self._engine.manifest.input
        shape = spec.shape(count, size_wh)
        lent = self._engine.lend_input(shape)
        if lent is not None:
            return lent
        with self._lock:
            for place, tensor in enumerate(self._free):
                if tensor.shape == shape:
                    del self._free[place]
                    break
            else:
                tensor = np.empty(shape, np.dtype(spec.dtype))
            # One that is never given back, after an error, may be freed like any other array.
            self._taken = dict(list(self._taken.items())[-_KEPT:])
            self._taken[id(tensor)] = tensor
        return tensor

    def of_camera(self, frames: Sequence[NDArray[np.uint8]], scratch: Scratch) -> NDArray[np.uint8]:
        """The tensor for a graph that takes a camera's whole frames: the frame itself where nothing has to be converted.

        Args:
            frames: (H, W, 3) uint8 BGR of the camera's size; for NV12 also (3 H / 2, W).
            scratch: of this thread.

        Raises:
            PosetrtError: a frame is no such array, or has another size.
        """
        spec = self._engine.manifest.input
        shape = spec.shape(len(frames))
        for frame in frames:
            if not is_nv12_for(frame, spec):
                check_picture(frame, spec)
                _check_size(frame, spec)
        lent = self._engine.lend_input(shape)
        if lent is None and len(frames) == 1 and frames[0].shape == shape[1:] and frames[0].flags.c_contiguous:
            return frames[0][None]
        tensor = lent if lent is not None else self.take(spec.size_wh, len(frames))
        for frame, own in zip(frames, tensor, strict=True):
            if frame.shape == own.shape:
                np.copyto(own, frame)
            else:
                to_nv12(frame, own, scratch)
        return tensor

    def give_back(self, tensor: NDArray[Any]) -> None:
        """Let a tensor be taken again: one that the network has taken in, or that nobody will show it."""
        self._engine.return_input(tensor)
        with self._lock:
            if self._taken.pop(id(tensor), None) is not None:
                self._free = [*self._free, tensor][-_KEPT:]


def is_nv12_for(frame: NDArray[np.uint8], spec: InputSpec) -> bool:
    """Whether a frame is NV12 as a network takes it: (3 H / 2, W) uint8 of its camera's size."""
    return spec.pixel_format == "nv12" and isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.shape == spec.shape()[1:]


def check_picture(frame: NDArray[np.uint8], spec: InputSpec) -> None:
    """Refuse what a network cannot be shown: (H, W, 3) uint8 BGR, or NV12 where its graph takes that.

    Raises:
        PosetrtError: another shape or type.
    """
    if is_nv12_for(frame, spec):
        return
    if isinstance(frame, np.ndarray) and frame.ndim == 2:
        came = f"{frame.dtype} {frame.shape}"
        if spec.pixel_format != "nv12":
            raise PosetrtError(
                f"a frame must be a uint8 array (H, W, 3) in BGR order; got {came}. If it is NV12: export the network again with "
                "--input uint8 --camera WIDTHxHEIGHT --pixel-format nv12, or convert the frame: cv2.cvtColor(frame, cv2.COLOR_YUV2BGR_NV12)"
            )
        (width, height), takes = spec.picture_wh, spec.shape()[1:]
        raise PosetrtError(
            f"this network takes NV12 frames of {width}x{height}: uint8 {takes}, luma rows above chroma rows, or BGR: uint8 "
            f"({height}, {width}, 3); got {came}"
        )
    check_frame(frame)


def _check_size(frame: NDArray[np.uint8], spec: InputSpec) -> None:
    takes, came = ("x".join(map(str, size)) for size in (spec.picture_wh, (frame.shape[1], frame.shape[0])))
    if takes != came:
        raise PosetrtError(
            f"this network was exported with --camera {takes} and takes frames of that size; this one is {came}. Have the source give "
            f"{takes}, or export the network again with --camera {came}, or without --camera for frames of any size"
        )
