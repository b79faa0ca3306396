"""The interface that pipeline, bench and eval drive without knowing which library is behind it."""

from __future__ import annotations

import abc
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.heads.base import Tensors
from posetrt.runtime.model.manifest import Manifest

if TYPE_CHECKING:
    from typing_extensions import Self

Precision = Literal["fp32", "fp16", "fp8", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "fp8", "int8")


class Engine(abc.ABC):
    """A network ready to run on this device. Use it as a context manager; it is driven from one thread at a time.

    Attributes:
        frames_in_flight: how many batches `submit` takes before the first must be collected. A GPU works on one while
            the next is copied to it; ONNX Runtime has one.
        built: `posetrt build` made it for this device; False where a graph runs as it is.
    """

    manifest: Manifest
    precision: Precision
    backend: str
    frames_in_flight: int = 1
    built: bool = True
    _submitted: Tensors | None = None

    @property
    def max_batch(self) -> int:
        """The largest batch that `infer` takes: the graph's; an engine may have been built for less. 0 where it is unbounded."""
        return self.manifest.input.max_batch

    @abc.abstractmethod
    def infer(self, inputs: NDArray[Any]) -> Tensors:
        """Run the network.

        Args:
            inputs: a batch in the manifest's layout and type, of a size that the manifest allows.

        Returns:
            Name of each of the head's output tensors → array with the batch first. The arrays are valid until the engine's next `infer` or
            `collect`: an engine may reuse its buffers.

        Raises:
            PosetrtError: the shape or type is not what the network takes, or the device failed.
        """

    def lend_input(self, shape: tuple[int, ...]) -> NDArray[Any] | None:
        """Memory of the engine that `submit` and `infer` take without a copy, to be written by any one thread; None: it lends none now.

        It may be written until it is submitted or returned, also where the engine is closed meanwhile: `submit` then says so.

        Args:
            shape: of a batch that the engine takes.
        """
        del shape
        return None

    def return_input(self, inputs: NDArray[Any]) -> None:
        """Give back what `lend_input` gave, where it was not submitted; any other array is left alone."""
        del inputs

    def submit(self, inputs: NDArray[Any]) -> None:
        """Begin a batch; `inputs` may be reused when this returns. Results come in the same order from `collect`.

        Raises:
            PosetrtError: as many as `frames_in_flight` wait already, or as `infer`.
        """
        if self._submitted is not None:
            raise PosetrtError("this engine has one frame in flight at most: collect it before the next submit")
        self._submitted = self.infer(inputs)

    def collect(self) -> Tensors:
        """Wait for the oldest batch that was submitted, and give what it came to.

        Raises:
            PosetrtError: nothing was submitted, or the device failed.
        """
        outputs, self._submitted = self._submitted, None
        if outputs is None:
            raise PosetrtError("nothing is in flight: submit a batch before collecting")
        return outputs

    @abc.abstractmethod
    def close(self) -> None:
        """Free what the device holds; closing twice is harmless."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def infer_all(engine: Engine, inputs: NDArray[Any]) -> Tensors:
    """The outputs for any number of pictures, in as few calls as the engine allows, with as many under way as it overlaps.

    Args:
        engine: with nothing in flight.
        inputs: as `Engine.infer` takes them, but for the number.

    Raises:
        PosetrtError: as `Engine.infer`.
    """
    most = engine.max_batch
    if not most or len(inputs) <= most:
        return engine.infer(inputs)
    parts: list[Tensors] = []
    starts = range(0, len(inputs), most)
    for call in range(len(starts) + engine.frames_in_flight - 1):
        if call < len(starts):
            engine.submit(inputs[starts[call] : starts[call] + most])
        if call + 1 >= engine.frames_in_flight and len(parts) < len(starts):
            # The engine's own buffers are filled again by its next call.
            parts.append({name: array.copy() for name, array in engine.collect().items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
