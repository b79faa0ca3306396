"""The manifest: all that the runtime must know of a network. It travels inside the ONNX file and beside each engine."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.model.skeleton import Skeleton, skeleton_from_dict

FORMAT = 1
METADATA_KEY = "posetrt"

Layout = Literal["NCHW", "NHWC"]
Colour = Literal["BGR", "RGB"]


@dataclass(frozen=True)
class InputSpec:
    """What the network wants to see.

    Attributes:
        name: input tensor.
        layout: "NCHW" is float32 `(N, 3, H, W)`, normalised by the runtime unless `in_graph`; "NHWC" is uint8
            `(N, H, W, 3)` in the camera's BGR order, normalised by the graph.
        size_wh: width and height that the folder is meant for, in network pixels.
        min_wh, max_wh: bounds where the size is dynamic; both equal `size_wh` where it is fixed.
        colour: order of the channels that the network was trained on. With "NHWC" the graph reorders.
        mean, scale: per channel in `colour` order: normalised = (value - mean) * scale, value 0 to 255.
        in_graph: the graph normalises; the runtime feeds 0 to 255.
        max_batch: the largest batch that the graph takes; 0 where it is unbounded.
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

    @property
    def dynamic(self) -> bool:
        """Whether the size may change from call to call."""
        return self.min_wh != self.max_wh


@dataclass(frozen=True)
class OutputNames:
    """Names of the output tensors by what they are; None where the graph has none.

    heatmaps `(N, J or J+1, h, w)`, pafs `(N, 2C, h, w)`; or, when the graph decodes, peaks `(N, J, K, 3)` and
    pairs `(N, C, K, K)`.
    """

    heatmaps: str | None = None
    pafs: str | None = None
    peaks: str | None = None
    pairs: str | None = None

    def present(self) -> dict[str, str]:
        """Role to tensor name, for the roles that the graph has."""
        return {role: name for role, name in asdict(self).items() if name is not None}


@dataclass(frozen=True)
class Manifest:
    """All that the runtime must know of a network.

    Attributes:
        network: name in the zoo, or "onnx" for a user's own graph.
        skeleton: in full, so that no lookup is needed on the robot.
        input, outputs: the tensors.
        stride: network pixels a heat-map cell.
        weights_sha256: hash of the file that the weights came from.
        licence: licence note of the weights, as printed by `export`.
        exporter: version of posetrt that wrote it.
    """

    network: str
    skeleton: Skeleton
    input: InputSpec
    outputs: OutputNames
    stride: int
    weights_sha256: str = ""
    licence: str = ""
    exporter: str = ""

    @property
    def decodes(self) -> bool:
        """Whether the graph finds peaks and pair scores itself."""
        return self.outputs.peaks is not None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; `manifest_from_dict` reads it back."""
        fields = asdict(self)
        fields["skeleton"] = self.skeleton.to_dict()
        return {"format": FORMAT, **fields}

    def to_json(self) -> str:
        """One line of JSON, keys in a stable order: the text under "posetrt" in the ONNX file."""
        return json.dumps(self.to_dict())


def manifest_from_dict(fields: Any, where: str) -> Manifest:
    """Read a manifest from its JSON form; `where` names the file in errors.

    Raises:
        PosetrtError: another format version, or a field missing or misshapen.
    """
    if not isinstance(fields, Mapping) or fields.get("format") != FORMAT:
        found = fields.get("format") if isinstance(fields, Mapping) else type(fields).__name__
        raise PosetrtError(
            f"{where}: a manifest of format {FORMAT} was expected, found {found!r}; export the network again with this posetrt"
        )
    try:
        given = dict(fields["input"])
        for key in ("size_wh", "min_wh", "max_wh", "mean", "scale"):
            given[key] = tuple(given[key])
        return Manifest(
            network=str(fields["network"]),
            skeleton=skeleton_from_dict(fields["skeleton"], where),
            input=InputSpec(**given),
            outputs=OutputNames(**fields["outputs"]),
            stride=int(fields["stride"]),
            weights_sha256=str(fields.get("weights_sha256", "")),
            licence=str(fields.get("licence", "")),
            exporter=str(fields.get("exporter", "")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PosetrtError(f"{where}: the manifest lacks or misstates a field ({error}); export the network again") from error


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
    try:
        fields = json.loads(text)
    except json.JSONDecodeError as error:
        raise PosetrtError(f"{path}: the manifest is not JSON ({error}); export the network again") from error
    return manifest_from_dict(fields, str(path))


def metadata_of_onnx(path: Path) -> dict[str, str]:
    """The metadata_props of an ONNX file, read without the onnx package and without loading the weights.

    Raises:
        PosetrtError: no such file, no ONNX file, or a truncated one.
    """
    try:
        with path.open("rb") as file:
            entries = [{key: text for key, text in _fields(io.BytesIO(entry)) if text is not None} for entry in _entries(file)]
            return {entry.get(1, b"").decode("utf-8"): entry.get(2, b"").decode("utf-8") for entry in entries}
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PosetrtError(f"{path} cannot be read as an ONNX file: {reason}") from error


def _entries(file: BinaryIO) -> Iterator[bytes]:
    """Each metadata_props entry: field 14 of ModelProto, a message whose fields 1 and 2 are strings (onnx.proto3)."""
    return (entry for number, entry in _fields(file, only=14) if entry is not None and number == 14)


def _fields(stream: BinaryIO, only: int | None = None) -> Iterator[tuple[int, bytes | None]]:
    """Number and bytes of each length-delimited field of a protobuf message; None in place of bytes where `only` passes them over.

    Raises:
        ValueError: the message is cut short, or is no protobuf message.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)

    def varint() -> int:
        value = shift = 0
        while shift <= 63 and (byte := stream.read(1)):
            value |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:
                return value
            shift += 7
        raise ValueError("truncated, or no ONNX file at all")

    while stream.tell() < size:
        tag = varint()
        kind, number = tag & 7, tag >> 3
        if kind == 0:
            varint()
            continue
        length = varint() if kind == 2 else {1: 8, 5: 4}.get(kind, -1)
        if length < 0 or number == 0 or stream.tell() + length > size:
            raise ValueError("truncated, or no ONNX file at all")
        if kind == 2 and only in (None, number):
            yield number, stream.read(length)
        else:
            stream.seek(length, io.SEEK_CUR)
            if kind == 2:
                yield number, None
