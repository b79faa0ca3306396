"""The manifest: all that the runtime must know of a network. It travels inside the ONNX file and beside each engine."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.fields import Fields
from posetrt.runtime.files import parse_json
from posetrt.runtime.heads.base import Head
from posetrt.runtime.heads.registry import head_from_dict
from posetrt.runtime.model.onnx_metadata import metadata_of_onnx
from posetrt.runtime.model.skeleton import Skeleton, skeleton_from_dict
from posetrt.runtime.placement import Fit

FORMAT = 2
METADATA_KEY = "posetrt"

Layout = Literal["NCHW", "NHWC"]
Colour = Literal["BGR", "RGB"]
DType = Literal["float32", "uint8", "int32"]
PixelFormat = Literal["bgr", "nv12"]
PIXEL_FORMATS: tuple[PixelFormat, ...] = ("bgr", "nv12")
LARGEST_SIDE = 8192
"""Width and height of an input lie below this: a larger number is a mistake, and would take gigabytes."""


@dataclass(frozen=True)
class InputSpec:
    """What the network wants to see.

    Attributes:
        name: input tensor.
        layout: "NCHW" is `(N, 3, H, W)`, "NHWC" is `(N, H, W, 3)`.
        size_wh: width and height that the folder is meant for, in network pixels.
        min_wh, max_wh: bounds where the size is dynamic; both equal `size_wh` where it is fixed.
        colour: order of the channels that the graph is fed with.
        mean, scale: per channel in `colour` order: fed = (value - mean) * scale, value 0 to 255.
        in_graph: the graph normalises; the runtime feeds 0 to 255.
        max_batch: the largest batch that the graph takes; 0 where it is unbounded.
        dtype: type of the tensor. "uint8" with "NHWC" and "BGR" takes a camera's bytes as they are.
        fit: how a picture is placed in the input.
        camera_wh: of a graph that takes a camera's whole frame and places it itself, as `fit` says: the frame's size. `size_wh` is then
            that of the network behind. None: the runtime places.
        pixel_format: of that frame: "bgr", `(N, H, W, 3)`; "nv12", `(N, 3 H / 2, W)`: luma rows, then rows of U, V in turns, BT.601, 16 to 235.
    """

    name: str
    layout: Layout
    size_wh: tuple[int, int]
    min_wh: tuple[int, int]
    max_wh: tuple[int, int]
    colour: Colour = "BGR"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    in_graph: bool = False
    max_batch: int = 1
    dtype: DType = "float32"
    fit: Fit = field(default_factory=Fit)
    camera_wh: tuple[int, int] | None = None
    pixel_format: PixelFormat = "bgr"

    def __post_init__(self) -> None:
        problems = []
        for label, value, known in (
            ("layout", self.layout, ("NCHW", "NHWC")),
            ("colour", self.colour, ("BGR", "RGB")),
            ("dtype", self.dtype, ("float32", "uint8", "int32")),
        ):
            if value not in known:
                problems.append(f"{label} is one of {', '.join(known)}, not {value!r}")
        for label, size in (("size_wh", self.size_wh), ("min_wh", self.min_wh), ("max_wh", self.max_wh)):
            if len(size) != 2 or not all(isinstance(side, int) and 1 <= side <= LARGEST_SIDE for side in size):
                problems.append(f"{label} is width and height, 1 to {LARGEST_SIDE} pixels each, not {list(size)}")
        for label, values in (("mean", self.mean), ("scale", self.scale)):
            if len(values) != 3 or not all(math.isfinite(value) for value in values) or (label == "scale" and 0 in values):
                problems.append(f"{label} is three numbers{', none of them 0' if label == 'scale' else ''}, not {list(values)}")
        if not 0 <= self.max_batch <= 4096:
            problems.append(f"max_batch is 0 to 4096, not {self.max_batch}")
        if self.dtype != "float32" and not self.in_graph and (any(self.mean) or set(self.scale) != {1.0}):
            problems.append(f"a graph that takes {self.dtype} is fed 0 to 255 as it is: mean 0 and scale 1")
        if self.pixel_format not in PIXEL_FORMATS:
            problems.append(f"pixel_format is one of {', '.join(PIXEL_FORMATS)}, not {self.pixel_format!r}")
        if self.camera_wh is not None:
            problems += self._camera_problems(self.camera_wh)
        elif self.pixel_format != "bgr":
            problems.append(f"{self.pixel_format} is the format of a camera's whole frame, and there is no camera_wh")
        if problems:
            raise UsageError("input: " + "; ".join(problems))

    def _camera_problems(self, camera_wh: tuple[int, int]) -> list[str]:
        if len(camera_wh) != 2 or not all(isinstance(side, int) and 2 <= side <= LARGEST_SIDE for side in camera_wh):
            return [f"camera_wh is width and height, 2 to {LARGEST_SIDE} pixels each, not {list(camera_wh)}"]
        problems = []
        if self.pixel_format == "nv12" and (camera_wh[0] % 2 or camera_wh[1] % 2):
            problems.append(f"an nv12 frame has even sides, not {camera_wh[0]}x{camera_wh[1]}")
        if (self.dtype, self.layout, self.colour) != ("uint8", "NHWC", "BGR") or self.dynamic:
            problems.append("a graph that takes a camera's frame takes bytes, and has one size")
        return problems

    @property
    def picture_wh(self) -> tuple[int, int]:
        """Width and height of the pictures that the graph is fed with: the camera's, where it takes those, else the network's own."""
        return self.camera_wh or self.size_wh

    def shape(self, count: int = 1, size_wh: tuple[int, int] | None = None) -> tuple[int, ...]:
        """Shape of the input tensor for so many pictures; `size_wh` where the size is dynamic, None for the usual one."""
        width, height = self.camera_wh or size_wh or self.size_wh
        if self.pixel_format == "nv12":
            return (count, height * 3 // 2, width)
        return (count, 3, height, width) if self.layout == "NCHW" else (count, height, width, 3)

    @property
    def dynamic(self) -> bool:
        """Whether the size may change from call to call."""
        return self.min_wh != self.max_wh

    @property
    def takes_bytes(self) -> bool:
        """Whether a camera's bytes go in as they are."""
        return self.dtype == "uint8" and self.layout == "NHWC" and self.colour == "BGR"


@dataclass(frozen=True)
class Manifest:
    """All that the runtime must know of a network.

    Attributes:
        network: name in the zoo, or of the file of a user's own graph.
        skeleton: in full, so that no lookup is needed on the robot.
        input: the picture's tensor.
        head: what the outputs mean, and how they become people.
        weights_sha256: hash of the file that the weights came from.
        licence: licence note of the weights, as printed by `export`.
        exporter: version of posetrt that wrote it.
    """

    network: str
    skeleton: Skeleton
    input: InputSpec
    head: Head
    weights_sha256: str = ""
    licence: str = ""
    exporter: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; `manifest_from_dict` reads it back."""
        return {
            "format": FORMAT,
            "network": self.network,
            "skeleton": self.skeleton.to_dict(),
            "input": _input_fields(self.input),
            "head": self.head.to_dict(),
            "weights_sha256": self.weights_sha256,
            "licence": self.licence,
            "exporter": self.exporter,
        }

    def to_json(self) -> str:
        """One line of JSON, keys in a stable order: the text under "posetrt" in the ONNX file."""
        return json.dumps(self.to_dict())


def _input_fields(spec: InputSpec) -> dict[str, Any]:
    """What only a graph for a camera's frame has is left out elsewhere, so that a posetrt that does not know it reads the rest."""
    fields = asdict(spec)
    if spec.camera_wh is None:
        del fields["camera_wh"], fields["pixel_format"]
    return fields


def manifest_from_dict(fields: Any, where: str) -> Manifest:
    """Read a manifest from its JSON form; `where` names the file in errors. Format 1 is read as well.

    Raises:
        PosetrtError: a later format, a field missing or misshapen, or a head of a kind that is not installed.
    """
    if not isinstance(fields, Mapping) or fields.get("format") not in (1, FORMAT):
        found = fields.get("format") if isinstance(fields, Mapping) else type(fields).__name__
        later = isinstance(found, int) and found > FORMAT
        raise PosetrtError(
            f"{where}: a manifest of format 1 or {FORMAT} was expected, found {found!r}; "
            + ("it was written by a later posetrt: update this one" if later else "export the network again with this posetrt")
        )
    if fields["format"] == 1:
        from posetrt.runtime.model.format1 import as_format2

        fields = as_format2(fields, where)
    texts = Fields(fields, where, "export the network again")
    try:
        given = dict(fields["input"])
        for key in ("size_wh", "min_wh", "max_wh", "mean", "scale"):
            given[key] = tuple(given[key])
        if given.get("camera_wh") is not None:
            given["camera_wh"] = tuple(given["camera_wh"])
        given["fit"] = Fit(**given["fit"])
        manifest = Manifest(
            network=texts.text("network"),
            skeleton=skeleton_from_dict(fields["skeleton"], where),
            input=InputSpec(**given),
            head=head_from_dict(fields["head"], where),
            weights_sha256=texts.text("weights_sha256", ""),
            licence=texts.text("licence", ""),
            exporter=texts.text("exporter", ""),
        )
        manifest.head.check(manifest.skeleton)
    except (KeyError, TypeError, ValueError, UsageError) as error:
        raise PosetrtError(f"{where}: the manifest lacks or misstates a field ({error}); export the network again") from error
    return manifest


def manifest_of_onnx(path: Path) -> Manifest:
    """Read the manifest from an ONNX file, without the onnx package and without loading the weights.

    Raises:
        PosetrtError: no such file, no ONNX file, a truncated one, or one without a manifest.
    """
    text = metadata_of_onnx(path).get(METADATA_KEY)
    if text is None:
        raise PosetrtError(
            f"{path.name} is an ONNX file without posetrt's manifest; make a model folder of it with: "
            f"posetrt export onnx --weights {path} -o FOLDER"
        )
    return manifest_from_dict(parse_json(text, str(path), "manifest"), str(path))
