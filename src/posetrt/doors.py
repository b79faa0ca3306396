"""The four steps of the job as calls; each imports what it needs when it is called."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posetrt.runtime.errors import PosetrtError, UsageError

if TYPE_CHECKING:
    from posetrt.calib.int8.calibrate import Calibrated
    from posetrt.runtime.model.folder import ModelFolder


def export_onnx(weights: str | Path, folder: str | Path, *, force: bool = False, **options: Any) -> ModelFolder:
    """Make a model folder of an ONNX file of your own: `posetrt.export_onnx("yolo.onnx", "person/")`.

    Args:
        weights: the .onnx file.
        folder: to make.
        force: replace the model of a folder that is there.
        options: fields of `posetrt.export.heads.user_graph.GraphOptions`.

    Raises:
        UsageError: no such option, or one that does not fit the graph.
        PosetrtError: the file is no network that is known.
    """
    from posetrt.export.graph.float16 import to_fp16
    from posetrt.export.graph.onnx_model import write_folder
    from posetrt.export.heads.user_graph import GraphOptions, model_from_onnx
    from posetrt.looking import judge_on_drawn_scenes

    try:
        wish = GraphOptions(**{"judge": judge_on_drawn_scenes, **options})
    except TypeError as error:
        raise UsageError(f"export_onnx: {error}") from error
    model, manifest = model_from_onnx(Path(weights), wish)
    fp16 = None
    with contextlib.suppress(PosetrtError):  # weights that float16 cannot hold: fp32 and int8 are still there
        fp16 = to_fp16(model)
    return write_folder(model, manifest, Path(folder), fp16=fp16, force=force)


def calibrate(folder: str | Path, images: str | Path | Sequence[Path], **options: Any) -> Calibrated:
    """Find ranges for INT8, write the graphs that carry them, and measure what they cost: `posetrt.calibrate("person/", "photos/")`.

    `calibration.price` of what it returns is the price, as `posetrt calibrate` prints it: `posetrt.calib.sensitivity.price.table` makes the table.

    Args:
        folder: a model folder.
        images: a folder of photographs, or their paths.
        options: fields of `posetrt.calib.sensitivity.judged.CalibrationOptions`; `say`, a function that is given each line of progress.

    Raises:
        UsageError: no such option, or no images.
        PosetrtError: none of the images can be read, or an activation is NaN or infinite.
    """
    from posetrt.calib.int8.photographs import photographs_in
    from posetrt.calib.sensitivity.judged import CalibrationOptions, calibrate_judged
    from posetrt.runtime.model.folder import open_folder

    say = options.pop("say", lambda _line: None)
    try:
        wish = CalibrationOptions(**options)
    except TypeError as error:
        raise UsageError(f"calibrate: {error}") from error
    paths = photographs_in(Path(images)) if isinstance(images, (str, Path)) else list(images)
    return calibrate_judged(open_folder(folder, to_write=True), paths, wish, say=say)


def build(folder: str | Path, precision: str = "fp32", backend: str = "auto", *, if_needed: bool = True) -> Path:
    """Build an engine for this device: `posetrt.build("person/", "int8")`.

    Args:
        folder: a model folder.
        precision: "fp32", "fp16", "fp8" or "int8".
        backend: "auto" or one backend's name.
        if_needed: keep an engine that fits already.

    Returns:
        The engine's file.
    """
    from posetrt.export.engine.build import build as build_folder
    from posetrt.runtime.engines.choose import as_precision
    from posetrt.runtime.model.folder import open_folder

    return build_folder(open_folder(folder, to_write=True), as_precision(precision), backend, if_needed=if_needed)[0]


def evaluate(folder: str | Path, annotations: str | Path, images: str | Path, **options: Any) -> Mapping[str, float | None]:
    """Accuracy on annotated photographs: `posetrt.evaluate("person/", "person_keypoints.json", "photos/")["ap"]`.

    A network for crops is judged in the boxes of the annotated people.

    Args:
        folder: a model folder, a bare .onnx or an engine.
        annotations: of any data set that `posetrt eval` reads.
        images: the folder of its photographs.
        options: fields of `EngineOptions`, as `precision`.

    Returns:
        Every figure of the data set by its key, the main one first.
    """
    from posetrt.calib.accuracy.people_of import people_of
    from posetrt.calib.datasets.choose import open_dataset
    from posetrt.runtime.engines.choose import EngineOptions, open_engine

    dataset = open_dataset(Path(annotations), Path(images), None, None)
    try:
        wish = EngineOptions(**options)
    except TypeError as error:
        raise UsageError(f"evaluate: {error}") from error
    with open_engine(folder, wish) as engine:
        found = people_of(engine, dataset.photographs, dataset)
        return dataset.judge(found, engine.manifest.skeleton).figures
