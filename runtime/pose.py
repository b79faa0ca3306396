"""Pose networks as one call: frame in, people out. The steps are methods, so that the pipeline can overlap them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.engines.base import Engine
from posetrt.runtime.engines.choose import EngineOptions, open_engine
from posetrt.runtime.errors import UsageError
from posetrt.runtime.find.boxes import grown, whole_frame
from posetrt.runtime.find.cropped import Cropped, boxes_from
from posetrt.runtime.find.detected import Detected
from posetrt.runtime.find.inputs import check_picture
from posetrt.runtime.find.refine import open_refiner
from posetrt.runtime.find.stage import CropStage
from posetrt.runtime.find.tiles import OVERLAP, Tiles, tiles_from
from posetrt.runtime.find.top_down import TopDown, open_top_down
from posetrt.runtime.find.whole_frame import WholeFrame, open_detector
from posetrt.runtime.heads.base import DecodeOptions, Preset
from posetrt.runtime.model.manifest import Manifest
from posetrt.runtime.model.shipped import network_folder, shipped_model
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People, nobody
from posetrt.runtime.placement import crop
from posetrt.runtime.sources.base import Frame, picture_wh

if TYPE_CHECKING:
    from typing_extensions import Self

    from posetrt.runtime.pipeline.counts import RunStats
    from posetrt.runtime.sinks.base import Result
    from posetrt.runtime.sources import Source


class Pose:
    """Networks that find people: one that looks at whole frames, then those that look at crops. Use it as a context manager.

    It may be called from several threads: calls of one network wait for each other, and each thread decodes for itself.

    Args:
        whole: looks at the whole frame; None where boxes come from elsewhere, and the first stage gives the people.
        stages: look at people in crops, one after the other. All are closed with this object.
        detect_every: in a stream, look at whole frames in every so many of them, or when somebody is lost; in the others the people are
            followed from box to box. For a first stage that takes the boxes of detected people. A call looks at each frame whole.

    Raises:
        UsageError: there is neither; or people cannot be followed by these networks.
    """

    def __init__(self, whole: WholeFrame | None, stages: Sequence[CropStage] = (), *, detect_every: int = 1) -> None:
        if whole is None and not stages:
            raise UsageError("a Pose needs a network: one for whole frames, or one for crops with their boxes")
        if detect_every < 1:
            raise UsageError(f"a detector looks at every frame (1), or at every so many; got {detect_every}")
        if detect_every > 1 and (whole is None or not stages or not isinstance(stages[0], Detected)):
            raise UsageError(
                "detect_every says how often a detector looks: give a detector, and a pose network for crops (--detector FOLDER)"
            )
        self.whole, self.stages, self.detect_every = whole, tuple(stages), detect_every
        self._lock = threading.Lock()

    @property
    def manifest(self) -> Manifest:
        """Of the network whose key points people have in the end."""
        own = [stage.manifest for stage in self.stages if stage.manifest is not None]
        if own:
            return own[-1]
        assert self.whole is not None
        return self.whole.manifest

    @property
    def skeleton(self) -> Skeleton:
        """Of the key points that people have in the end."""
        return self.manifest.skeleton

    @property
    def skeletons(self) -> dict[str, Skeleton]:
        """Of each of the people's extras, by its name."""
        return {name: skeleton for stage in self.stages for name, skeleton in stage.skeletons.items()}

    @property
    def networks(self) -> dict[str, TopDown]:
        """Those that look at crops, by what they look at."""
        return {what: network for stage in self.stages for what, network in stage.networks.items()}

    @property
    def engine(self) -> Engine:
        """Of the network that looks at each frame first."""
        return self.whole.engine if self.whole is not None else next(iter(self.networks.values())).engine

    @property
    def people_engine(self) -> Engine:
        """Of the network whose key points people have in the end."""
        for stage in reversed(self.stages):
            if stage.manifest is not None:
                return next(iter(stage.networks.values())).engine
        return self.engine

    def __call__(self, frame: NDArray[np.uint8]) -> People:
        """Find the people in a frame.

        Args:
            frame: (H, W, 3) uint8 BGR, of any size; where the network was exported with `--camera`, of that size, and with
                `--pixel-format nv12` also NV12: (3 H / 2, W) uint8.

        Returns:
            People in pixels of the frame (centres at integers), best first; with hands and faces where their networks were opened too.

        Raises:
            PosetrtError: the frame is no such array, or a network failed.
        """
        check_picture(frame, self.engine.manifest.input)
        people = self.nobody() if self.whole is None else self.whole.find(frame)
        return self.look_closer(Frame(frame, "frame", 0, 0.0), people)

    def nobody(self) -> People:
        """No person, before any network has looked."""
        skeleton = self.whole.skeleton if self.whole is not None else self.skeleton
        return replace(nobody(len(skeleton.parts)), skeleton=skeleton)

    def look_closer(self, frame: Frame, people: People, *, after: int = 0) -> People:
        """What the networks for crops make of a frame's people, those `after` so many stages; the people themselves where there are none."""
        with self._lock:
            for stage in self.stages[after:]:
                people = stage(frame, people)
        return people

    def network_input(self, image: NDArray[np.uint8]) -> NDArray[Any]:
        """What the first network is fed with for a frame, alone, as to time it: of one for crops, the whole frame as one crop."""
        if self.whole is not None:
            prepared = self.whole.prepare(image)
            own: NDArray[Any] = prepared.tensor[:1].copy()
            self.whole.give_back(prepared.tensor)
            return own
        network = next(iter(self.networks.values()))
        size = network.manifest.input.size_wh
        return network.tensor_of(image, [crop(grown(whole_frame(picture_wh(image)), size)[0], size)])

    def warm_up(self) -> None:
        """Call each network once, so that the first real frame does not wait for what they set up."""
        if self.whole is not None:
            width, height = self.whole.manifest.input.picture_wh
            self.whole.find(np.full((height, width, 3), 128, np.uint8))
        for network in self.networks.values():
            network.warm_up()

    def stream(
        self,
        source: str | Path | Source,
        *,
        track: bool = True,
        smooth: bool = False,
        stats: RunStats | None = None,
        say: Callable[[str], None] | None = None,
        wait: bool = False,
    ) -> Generator[Result, None, None]:
        """People of every frame of a source: `for result in pose.stream("csi://0"): print(result.people.ids)`.

        Of a live source that outruns the network or the loop the newest frame wins; files come in order and whole. Reading, the
        networks and decoding work in threads of their own while the loop's body runs; leaving the loop ends them.

        Args:
            source: what `posetrt run --source` takes, or an open source.
            track: give people stable ids; photographs have none.
            smooth: smooth key points with a One-Euro filter.
            stats: counted up meanwhile: rates, drops, ages.
            say: takes a line when a camera goes away or comes back, or a stage fails and goes on.
            wait: for a camera that is not there yet; else it is an error after five tries.

        Raises:
            UsageError: there is no such source.
            PosetrtError: the source or a network failed.
        """
        from posetrt.runtime.pipeline import pipeline
        from posetrt.runtime.sources import Photos, open_source

        opened = open_source(source, say, wait=wait) if isinstance(source, (str, Path)) else source
        # Photographs are no frames of one scene: nobody in them is somebody of the one before.
        options = pipeline.Options(track=track and not isinstance(opened, Photos), smooth=smooth, say=say)
        yield from pipeline.results(self, opened, stats, options=options)

    def close(self) -> None:
        """Free the engines."""
        for stage in self.stages:
            stage.close()
        if self.whole is not None:
            self.whole.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


@dataclass(frozen=True)
class PoseOptions:
    """What `posetrt.open` opens, and how.

    Attributes:
        engine: which engine of the network, and how it runs; the networks beside it run on the same backend and threads.
        preset: how sure a person must be: "balanced", "precise", "all".
        boxes: of a network for crops: "whole" for the frame itself, or a box file.
        detector: of a network for crops: the model folder (.onnx, engine) of a detector, or of a network that finds everybody.
        detector_precision: of that; None takes the folder's default.
        detector_score: least score of a person of the detector; None takes the preset's.
        detect_every: in a stream the detector looks at every so many frames, and when somebody is lost; between them people are followed.
        tiles: cut each frame into so many tiles too, "2x2": small people are found. Of the network that looks at whole frames: the one
            opened, or the detector.
        tile_overlap: share of a tile's side that its neighbour shows too.
        grow: how much wider than its box a person is cut out; None takes what the network's manifest says.
        scales: at which a person in a box is looked at; the maps of all are averaged.
        hands, face: networks that look at the hands and faces of the people found.
        hands_precision, face_precision: of those; None takes each folder's default.
    """

    engine: EngineOptions = field(default_factory=EngineOptions)
    preset: Preset = "balanced"
    boxes: str | Path | None = None
    detector: str | Path | None = None
    detector_precision: str | None = None
    detector_score: float | None = None
    detect_every: int = 1
    tiles: str | None = None
    tile_overlap: float = OVERLAP
    grow: float | None = None
    scales: Sequence[float] = (1.0,)
    hands: str | Path | None = None
    face: str | Path | None = None
    hands_precision: str | None = None
    face_precision: str | None = None


def open_pose(path: str | Path | None = None, options: PoseOptions | None = None, **changes: Any) -> Pose:
    """Open a model folder (or a bare .onnx, or an engine) for use: `with posetrt.open("person/") as pose: people = pose(frame)`.

    Args:
        path: of the network, or the name of one that ships; None takes the one that ships.
        options: what else is opened, and how.
        changes: any field of `PoseOptions` or `EngineOptions` by its name: `posetrt.open("person/", precision="int8", hands="hand/")`.

    Raises:
        UsageError: no such network or option, or networks that do not go together: one for crops wants `boxes` or a `detector`.
        EngineMismatch: no engine fits this device.
    """
    wish = with_changes(options or PoseOptions(), changes)
    path = network_folder(shipped_model() if path is None else path)
    with ExitStack() as opened:
        stages: list[CropStage] = []
        whole: WholeFrame | None = None
        if wish.boxes is not None and wish.detector is not None:
            raise UsageError("boxes and a detector both say where the people are: give one of them")
        tiles = tiles_from(wish.tiles, wish.tile_overlap) if wish.tiles is not None else None
        if tiles is not None and wish.boxes is not None:
            raise UsageError("tiles are of a network that looks at whole frames, and boxes say where the people are: give one of them")
        given = boxes_from(wish.boxes) if wish.boxes is not None else None
        if given is not None or wish.detector is not None:
            network = open_top_down(path, wish.engine, grow=wish.grow, scales=wish.scales)
            opened.callback(network.close)
            stages.append(Cropped(network, given) if given is not None else Detected(network))
        if wish.detector is not None:
            whole = opened.enter_context(
                open_detector(
                    wish.detector,
                    replace(wish.engine, precision=wish.detector_precision),
                    DecodeOptions(wish.preset, wish.detector_score),
                    tiles,
                )
            )
        elif given is None:
            whole = _whole(path, wish, tiles, opened)
        body = (stages[-1].manifest if stages else None) or (whole.manifest if whole is not None else None)
        assert body is not None
        refiner = open_refiner(
            body.skeleton,
            wish.hands,
            wish.face,
            hands_options=replace(wish.engine, precision=wish.hands_precision),
            face_options=replace(wish.engine, precision=wish.face_precision),
        )
        if refiner is not None:
            stages.append(refiner)
        pose = Pose(whole, stages, detect_every=wish.detect_every)
        opened.pop_all()
    return pose


def _whole(path: str | Path, wish: PoseOptions, tiles: Tiles | None, opened: ExitStack) -> WholeFrame:
    engine = open_engine(path, wish.engine)
    opened.callback(engine.close)
    return WholeFrame(engine, DecodeOptions(wish.preset), tiles)


def with_changes(options: PoseOptions, changes: dict[str, Any]) -> PoseOptions:
    """The options with some fields changed, those of the engine among them, by name.

    Raises:
        UsageError: there is no such field.
    """
    own, engine = ({each.name for each in fields(kind)} for kind in (PoseOptions, EngineOptions))
    unknown = sorted(changes.keys() - own - engine)
    if unknown:
        raise UsageError(
            f"there is no option {', '.join(unknown)}; a network is opened with {', '.join(sorted((own | engine) - {'engine'}))}"
        )
    of_engine = {name: value for name, value in changes.items() if name in engine}
    rest = {name: value for name, value in changes.items() if name in own}
    changed = replace(options, **rest)
    return replace(changed, engine=replace(changed.engine, **of_engine)) if of_engine else changed
