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
        if problems:
            raise UsageError("input: " + "; ".join(problems))

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
        network: name in the zoo, or "onnx" for a user's own graph.
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
            "input": asdict(self.input),
            "head": self.head.to_dict(),
            "weights_sha256": self.weights_sha256,
            "licence": self.licence,
            "exporter": self.exporter,
        }

    def to_json(self) -> str:
        """One line of JSON, keys in a stable order: the text under "posetrt" in the ONNX file."""
        return json.dumps(self.to_dict())


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
