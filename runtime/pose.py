"""A pose network as one call: frame in, people out. The stages are methods, so that the pipeline can overlap them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.engines.base import Engine, Outputs
from posetrt.runtime.engines.choose import open_engine
from posetrt.runtime.find.closer import Closer
from posetrt.runtime.find.hands_and_face import open_hands_and_face
from posetrt.runtime.heads.paf.parser import PafParser
from posetrt.runtime.letterbox import Letterbox, cells_to_frame, check_frame, letterbox_for, place, to_input
from posetrt.runtime.people import People
from posetrt.runtime.sources.base import Frame

if TYPE_CHECKING:
    from typing_extensions import Self

    from posetrt.runtime.pipeline.counts import RunStats
    from posetrt.runtime.sinks.base import Result
    from posetrt.runtime.sources import Source


@dataclass(frozen=True)
class Prepared:
    """A frame ready for the network: `tensor` in the manifest's layout, `box` the way back."""

    tensor: NDArray[np.float32] | NDArray[np.uint8]
    box: Letterbox


class Pose:
    """An engine with its parser. Use it as a context manager, from one thread at a time.

    Args:
        engine: closed with this object.
        preset: of the parser: "balanced", "precise" or "all".
        closer: a second look at the people, such as hands and face; closed with this object.
    """

    def __init__(self, engine: Engine, *, preset: str = "balanced", closer: Closer | None = None) -> None:
        self.engine, self.closer = engine, closer
        self.manifest = engine.manifest
        self.parser = PafParser(engine.manifest.skeleton, preset=preset)

    def __call__(self, frame: NDArray[np.uint8]) -> People:
        """Find the people in a frame.

        Args:
            frame: (H, W, 3) uint8 BGR, of any size.

        Returns:
            People in pixels of the frame (centres at integers), best first; with hands and faces where their networks were opened too.

        Raises:
            PosetrtError: the frame is no such array, or the network failed.
        """
        prepared = self.prepare(frame)
        return self.look_closer(Frame(frame, "frame", 0, 0.0), self.finish(self.engine.infer(prepared.tensor), prepared.box))

    def prepare(self, frame: NDArray[np.uint8]) -> Prepared:
        """Letterbox and normalise a frame; may run in another thread than `finish`."""
        check_frame(frame)
        box = letterbox_for((frame.shape[1], frame.shape[0]), self.manifest.input.size_wh)
        return Prepared(to_input(place(frame, box), self.manifest.input), box)

    def finish(self, outputs: Outputs, box: Letterbox) -> People:
        """Parse the network's outputs for one frame into people in pixels of that frame."""
        people = self.parser.parse_outputs(outputs)[0]
        return replace(people, keypoints=cells_to_frame(people.keypoints, self.manifest.stride, box))

    def look_closer(self, frame: Frame, people: People) -> People:
        """The second look; the people themselves where there is none."""
        return people if self.closer is None else self.closer(frame, people)

    def stream(
        self,
        source: str | Path | Source,
        *,
        track: bool = True,
        smooth: bool = False,
        stats: RunStats | None = None,
        say: Callable[[str], None] | None = None,
    ) -> Generator[Result, None, None]:
        """People of every frame of a source: `for result in pose.stream("csi://0"): print(result.people.ids)`.

        Of a live source that outruns the network or the loop the newest frame wins; files come in order and whole. Reading, the
        network and the parser work in threads of their own while the loop's body runs; leaving the loop ends them.

        Args:
            source: what `posetrt run --source` takes, or an open source.
            track: give people stable ids.
            smooth: smooth key points with a One-Euro filter.
            stats: counted up meanwhile: rates, drops, ages.
            say: takes a line when a camera goes away or comes back, or a stage fails and goes on.

        Raises:
            UsageError: there is no such source.
            PosetrtError: the source or the network failed.
        """
        from posetrt.runtime.pipeline import pipeline
        from posetrt.runtime.sources import open_source

        opened = open_source(source, say) if isinstance(source, (str, Path)) else source
        options = pipeline.Options(track=track, smooth=smooth, say=say)
        yield from pipeline.results(self, opened, stats, options=options)

    def close(self) -> None:
        """Free the engines."""
        if self.closer is not None:
            self.closer.close()
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_pose(
    path: str | Path,
    precision: str | None = None,
    backend: str = "auto",
    *,
    hands: str | Path | None = None,
    face: str | Path | None = None,
    hands_precision: str | None = None,
    face_precision: str | None = None,
    preset: str = "balanced",
    threads: int = 0,
    trust: bool = False,
    cuda_graph: bool = True,
) -> Pose:
    """Open a model folder (or a bare .onnx, or an engine) for use: `with posetrt.open("person/") as pose: people = pose(frame)`.

    Args and errors as `engines.choose.open_engine`; `preset` as `parser.PafParser`; `hands`, `face` and their precisions as
    `whole_body.hands_and_face.open_hands_and_face`: networks that look at the hands and faces of the people found.
    """
    engine = open_engine(path, precision, backend, threads=threads, trust=trust, cuda_graph=cuda_graph)
    try:
        closer = open_hands_and_face(
            engine.manifest.skeleton,
            hands,
            face,
            hands_precision=hands_precision,
            face_precision=face_precision,
            backend=backend,
            threads=threads,
            trust=trust,
        )
        return Pose(engine, preset=preset, closer=closer)
    except BaseException:
        engine.close()
        raise
