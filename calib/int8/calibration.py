"""calibration.json: a range for each tensor, how it was found, and of what model and images. Stable order, made to be diffed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.int8.quantize import Corrections
from posetrt.calib.int8.ranges import Range
from posetrt.calib.int8.scales import Layout
from posetrt.runtime.errors import EngineMismatch, PosetrtError
from posetrt.runtime.fields import LARGEST_FLOAT32, Fields, read_fields
from posetrt.runtime.files import write_json

FORMAT = 2
# Format 1 has no bursts, no corrections of biases and no price.
READ_FORMATS = (1, 2)


@dataclass(frozen=True)
class Calibration:
    """Ranges of a network's tensors.

    Attributes:
        model_sha256: of the model.onnx that was observed.
        method: as the user gave it; each range names its own, since maps keep their peaks.
        size_wh: input size at which it was observed.
        images: what was looked at: "count", "sha256" of the set, "chosen" (how), "skipped", "without_people".
        ranges: by tensor, in the order of the nodes. They hold for the equalised graph (variants/int8-base.onnx).
        scales: divisors of equalised layers, by layer.
        not_equalised: depthwise inputs that could not be, and why.
        bursts: tensors that reach much further on a few photographs than on the others, as `calibrate.find_bursts` gives them.
        bias: by layout, what is taken from the biases of layers in INT8: (out,) by layer.
        weights: of layers, on their 8-bit grid, as `rounding.rounded_by_outputs` gives them. The file does not hold them: the graphs do.
        price: what INT8 costs in each layout on photographs held back, as `calib.sensitivity.price` gives it; None where it was not measured.
        kept_float: layers that TensorRT's outputs keep in float, by name: its layouts, and the builder that works with ranges.
        kept_float_ort: those that ONNX Runtime's layout keeps.
        sensitivity: what `--sensitivity` measured; None before.
    """

    model_sha256: str
    method: str
    size_wh: tuple[int, int]
    images: Mapping[str, Any]
    ranges: Mapping[str, Range]
    scales: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    not_equalised: Mapping[str, str] = field(default_factory=dict)
    bursts: Mapping[str, Any] = field(default_factory=dict)
    bias: Mapping[str, Mapping[str, NDArray[np.float32]]] = field(default_factory=dict)
    weights: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    price: Mapping[str, Any] | None = None
    kept_float: tuple[str, ...] = ()
    kept_float_ort: tuple[str, ...] = ()
    sensitivity: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; `read_calibration` reads it back."""
        return {
            "format": FORMAT,
            "model_sha256": self.model_sha256,
            "method": self.method,
            "size_wh": list(self.size_wh),
            "images": dict(self.images),
            "kept_float": list(self.kept_float),
            "kept_float_ort": list(self.kept_float_ort),
            "tensors": {
                name: {
                    "low": one.low,
                    "high": one.high,
                    "amax": one.amax,
                    "method": one.method,
                    "seen_low": one.seen_low,
                    "seen_high": one.seen_high,
                    **({"lows": list(one.lows), "highs": list(one.highs)} if one.lows else {}),
                }
                for name, one in self.ranges.items()
            },
            "equalised": {name: scale.tolist() for name, scale in self.scales.items()},
            "not_equalised": dict(self.not_equalised),
            "bursts": dict(self.bursts),
            "bias": {layout: {name: one.tolist() for name, one in layers.items()} for layout, layers in self.bias.items()},
            "price": None if self.price is None else dict(self.price),
            "sensitivity": None if self.sensitivity is None else dict(self.sensitivity),
        }

    def corrections(self, layout: Layout) -> Corrections:
        """Of the layers' biases and weights."""
        return Corrections(self.bias.get(layout, {}), self.weights)

    def kept(self, layout: Layout) -> tuple[str, ...]:
        """Names of the layers that a layout keeps in float."""
        return self.kept_float_ort if layout == "ort" else self.kept_float

    def keeping(
        self, kept_float: tuple[str, ...], kept_float_ort: tuple[str, ...], sensitivity: Mapping[str, Any] | None = None
    ) -> Calibration:
        """The same ranges with other layers kept in float."""
        measured = sensitivity if sensitivity is not None else self.sensitivity
        return replace(self, kept_float=kept_float, kept_float_ort=kept_float_ort, sensitivity=measured)


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write calibration.json, whole or not at all."""
    write_json(path, calibration.to_dict())


def read_calibration(path: Path, model_sha256: str | None = None) -> Calibration:
    """Read calibration.json.

    Args:
        model_sha256: of the model that it must belong to; None to take it as it is.

    Raises:
        PosetrtError: missing, unreadable or of another format.
        EngineMismatch: made for another model.
    """
    remedy = f"calibrate again with: posetrt calibrate {shlex.quote(str(path.parent))} --images DIR"
    given = read_fields(path, "calibration", remedy)
    if given.values.get("format") not in READ_FORMATS:
        found = given.values.get("format")
        newer = isinstance(found, int) and found > FORMAT
        way = "install the posetrt that wrote it, or " if newer else ""
        raise PosetrtError(
            f"{path} has format {found!r}, and this posetrt reads {' and '.join(map(str, sorted(READ_FORMATS)))}; {way}{remedy}"
        )
    equalised = given.inner("equalised")
    # Files from before there was a list for each layout keep the same layers in both.
    kept_float = given.texts("kept_float")
    calibration = Calibration(
        model_sha256=given.sha256("model_sha256"),
        method=given.text("method"),
        size_wh=given.size_wh("size_wh"),
        images=dict(given.inner("images").values),
        ranges={name: _range(one) for name, one in given.by_name("tensors").items()},
        scales={name: np.array(equalised.numbers(name, 0, LARGEST_FLOAT32)) for name in equalised.values},
        not_equalised={name: given.inner("not_equalised").text(name) for name in given.inner("not_equalised").values},
        bursts=dict(given.inner("bursts").values) if "bursts" in given else {},
        bias=_biases(given),
        price=given.inner("price").values if given.values.get("price") is not None else None,
        kept_float=kept_float,
        kept_float_ort=given.texts("kept_float_ort", kept_float),
        sensitivity=given.inner("sensitivity").values if "sensitivity" in given else None,
    )
    if model_sha256 is not None and calibration.model_sha256 != model_sha256:
        raise EngineMismatch(
            f"{path} was made for another model (sha256 {calibration.model_sha256[:12]}, model.onnx here has {model_sha256[:12]}); {remedy}"
        )
    return calibration


def _biases(given: Fields) -> dict[str, dict[str, NDArray[np.float32]]]:
    """What is taken from the biases of each layout, by layer; nothing in files of format 1."""
    if "bias" not in given:
        return {}
    return {
        layout: {name: np.array(layers.numbers(name, -LARGEST_FLOAT32, LARGEST_FLOAT32), np.float32) for name in layers.values}
        for layout, layers in given.by_name("bias").items()
    }


def _range(one: Fields) -> Range:
    """A range that has 0 inside, as both layouts need it."""
    return Range(
        low=one.number("low", -LARGEST_FLOAT32, 0),
        high=one.number("high", 0, LARGEST_FLOAT32),
        amax=one.number("amax", 0, LARGEST_FLOAT32),
        method=one.text("method"),
        seen_low=one.number("seen_low", -LARGEST_FLOAT32, LARGEST_FLOAT32),
        seen_high=one.number("seen_high", -LARGEST_FLOAT32, LARGEST_FLOAT32),
        lows=tuple(one.numbers("lows", -LARGEST_FLOAT32, 0)) if "lows" in one else (),
        highs=tuple(one.numbers("highs", 0, LARGEST_FLOAT32)) if "highs" in one else (),
    )
