"""The sidecar: what an engine was built from, by what and for what; checked before any library is handed the engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from posetrt.runtime.engines.base import PRECISIONS, Precision
from posetrt.runtime.errors import EngineMismatch, PosetrtError
from posetrt.runtime.fields import Fields, read_fields
from posetrt.runtime.files import sha256_of, write_text
from posetrt.runtime.model.folder import open_folder
from posetrt.runtime.model.manifest import Manifest, manifest_from_dict, manifest_of_onnx

FORMAT = 1
_REMEDY = "Build the engine again with: posetrt build"


@dataclass(frozen=True)
class Sidecar:
    """What stands beside an engine, in `NAME.json`.

    Attributes:
        backend: "onnxruntime" or "tensorrt" or "tensorrt-rtx".
        precision: what was asked for.
        library_version: of ONNX Runtime or TensorRT, as that library prints it.
        device: what the engine is for: CPU features, or {"sm": 87, "dla": null, "name": "Orin NX"}.
        engine_sha256: of the engine file.
        graph: the graph it was built from, relative to the folder, as in "variants/int8-ort.onnx".
        made_from: SHA-256 of "graph", "model" and, for int8, "calibration".
        manifest: in full.
        options: what else the user asked of the build.
        build_s: how long it took, in seconds.
    """

    backend: str
    precision: Precision
    library_version: str
    device: Mapping[str, Any]
    engine_sha256: str
    graph: str
    made_from: Mapping[str, str]
    manifest: Manifest
    options: Mapping[str, Any] = field(default_factory=dict)
    build_s: float = 0.0


def sidecar_path(engine: Path) -> Path:
    """`engines/x.engine` → `engines/x.engine.json`."""
    return engine.with_name(engine.name + ".json")


def sidecar_text(sidecar: Sidecar) -> str:
    """The JSON of a sidecar's file."""
    fields = asdict(sidecar)
    fields["manifest"] = sidecar.manifest.to_dict()
    return json.dumps({"format": FORMAT, **fields}, indent=1, allow_nan=False) + "\n"


def write_sidecar(engine: Path, sidecar: Sidecar) -> None:
    """Write the sidecar beside an engine that is there, whole or not at all."""
    write_text(sidecar_path(engine), sidecar_text(sidecar))


def read_sidecar(engine: Path) -> Sidecar:
    """Read the sidecar of an engine.

    Raises:
        EngineMismatch: there is none, or it is not of this format.
    """
    path = sidecar_path(engine)
    if not path.is_file():
        raise EngineMismatch(
            f"{engine.name} is no model folder and no .onnx file; if it is an engine, its sidecar {path.name} is missing, so nothing is known of "
            "what it was built for. Copy the sidecar along, or build again with: posetrt build"
        )
    given = read_fields(path, "sidecar", _REMEDY, EngineMismatch)
    if given.values.get("format") != FORMAT:
        given.refuse("format", given.values.get("format"), f"format {FORMAT}")
    try:
        manifest = manifest_from_dict(given.inner("manifest").values, str(path))
    except PosetrtError as error:
        raise EngineMismatch(f"{error}. {_REMEDY}") from error
    return Sidecar(
        backend=given.text("backend"),
        precision=given.text("precision", one_of=PRECISIONS),  # type: ignore[arg-type]
        library_version=given.text("library_version", longest=100),
        device=_device(given.inner("device")),
        engine_sha256=given.sha256("engine_sha256"),
        graph=_graph(given),
        made_from={what: given.inner("made_from").sha256(what) for what in given.inner("made_from").values},
        manifest=manifest,
        options=_options(given.inner("options")) if "options" in given else {},
        build_s=given.number("build_s", 0, default=0.0),
    )


def _device(device: Fields) -> Mapping[str, Any]:
    """What an engine is for: GPU, or architecture and instruction sets of a CPU."""
    for name, (low, high) in {"sm": (10, 999), "dla": (0, 15)}.items():
        if name in device:
            device.whole(name, low, high)
    for name in ("name", "machine"):
        device.text(name, "")
    device.texts("features", ())
    return device.values


def _graph(given: Fields) -> str:
    """The graph, which lies in the folder: triton hands that file on."""
    graph = PurePosixPath(given.text("graph"))
    if graph.is_absolute() or ".." in graph.parts:
        given.refuse("graph", str(graph), "a file inside the model folder")
    return str(graph)


def _options(options: Fields) -> Mapping[str, Any]:
    """What was asked of the build; what is read from it again has the types that its readers expect."""
    if isinstance(options.values.get("runs_on"), Mapping):
        for end in ("from", "below"):
            options.inner("runs_on").text(end, longest=100, form=r"\d+(\.\d+)*")
    if options.values.get("profile"):
        shapes = options.values["profile"]
        if not isinstance(shapes, list) or len(shapes) != 3:
            options.refuse("profile", shapes, "a list of three shapes: smallest, best, largest")
        for index, shape in enumerate(shapes):
            Fields({"shape": shape}, options.where, options.remedy, options.error, f"options.profile[{index}].").wholes(
                "shape", 0, 2**31 - 1
            )
    for name in ("flags", "without_range", "fell_back"):
        options.texts(name, ())
    for name in ("version_compatible", "hardware_compatible", "strongly_typed"):
        options.flag(name, default=False)
    return options.values


def check_engine_file(engine: Path, sidecar: Sidecar) -> None:
    """Refuse an engine whose bytes are not those that were built.

    Raises:
        EngineMismatch: truncated or changed since.
    """
    found = sha256_of(engine)
    if found != sidecar.engine_sha256:
        raise EngineMismatch(
            f"{engine.name} is not the file that was built (sha256 {found[:12]}, its sidecar says {sidecar.engine_sha256[:12]}): "
            "truncated or changed. Copy it again, or build again with: posetrt build"
        )


def manifest_of(path: Path) -> Manifest:
    """The manifest of whatever the commands take: a model folder, a bare .onnx, or an engine with its sidecar.

    Raises:
        PosetrtError: there is none, or it cannot be read.
    """
    if path.is_dir():
        return open_folder(path).manifest()
    if path.suffix == ".onnx" and not sidecar_path(path).is_file():
        return manifest_of_onnx(path)
    return read_sidecar(path).manifest
