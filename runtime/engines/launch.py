"""How the network is put on its stream: kernel by kernel, or as one CUDA graph, with a line where it cannot be one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

from posetrt.runtime.engines.cuda_graph import CudaGraph, capture
from posetrt.runtime.errors import PosetrtError

Shape = tuple[int, ...]


@dataclass
class Graphs:
    """Whether an engine's network is to be captured.

    Attributes:
        wanted: it is; false from the moment on that one capture failed.
        say: told why not, in a line; None gives a Python warning.
    """

    wanted: bool
    say: Callable[[str], None] | None = None

    def check(self, dla: int | None, smallest: Shape, largest: Shape) -> None:
        """Leave graphs out where the engine is known not to allow them: on a DLA, and with inputs of several shapes."""
        if self.wanted and dla is not None:
            self.refuse("a DLA's work cannot be captured")
        elif self.wanted and smallest != largest:
            self.refuse(f"the engine takes inputs from {smallest} to {largest}, and a graph is of one shape")

    def refuse(self, why: str) -> None:
        """Leave them out from now on, and say why."""
        self.wanted = False
        line = f"no CUDA graphs, the network is launched kernel by kernel: {why}. --no-cuda-graph leaves them out from the start"
        if self.say is not None:
            self.say(line)
        else:
            warnings.warn(line, RuntimeWarning, stacklevel=2)


@dataclass
class Launch:
    """The network on the buffers of one slot: as it is the first time, captured at the second, and launched as one from then on.

    TensorRT settles what it needs when it runs for the first time, which is why that is not captured (NvInferRuntime.h, enqueueV3).
    """

    graphs: Graphs
    ran: bool = False
    graph: CudaGraph | None = None

    def run(self, stream: int, enqueue: Callable[[], bool]) -> bool:
        """Put the network on a stream, given by its address; False where TensorRT does not start it.

        Raises:
            PosetrtError: CUDA refuses a graph that it took before.
        """
        if self.graph is None and self.graphs.wanted and self.ran:
            try:
                self.graph = capture(stream, enqueue)
            except PosetrtError as error:
                self.graphs.refuse(str(error))
        if self.graph is not None:
            self.graph.launch(stream)
            return True
        self.ran = enqueue()
        return self.ran

    def close(self) -> None:
        """Free the graph."""
        graph, self.graph = self.graph, None
        if graph is not None:
            graph.close()
