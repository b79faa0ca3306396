"""From a model folder and photographs to calibration.json and the INT8 graphs: one pass over the images."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.heads.hooks import shows_anybody
from posetrt.calib.int8.bias import PHOTOGRAPHS, bias_corrections
from posetrt.calib.int8.calibration import Calibration, read_calibration, write_calibration
from posetrt.calib.int8.channels import by_channel, with_channel_ranges
from posetrt.calib.int8.curves import curve_behind
from posetrt.calib.int8.equalise import divisors, equalised, not_equalised, watched
from posetrt.calib.int8.foreign import is_quantised
from posetrt.calib.int8.fp8 import quantize_fp8
from posetrt.calib.int8.kept import kept_by_default
from posetrt.calib.int8.observe import Observation, channel_ends, channel_peaks, observe
from posetrt.calib.int8.photographs import read_photograph, set_hash
from posetrt.calib.int8.plan import fused_activations
from posetrt.calib.int8.quantize import quantize
from posetrt.calib.int8.ranges import Range, check_method, find_range
from posetrt.calib.int8.rounding import PHOTOGRAPHS as ROUNDING_PHOTOGRAPHS
from posetrt.calib.int8.rounding import rounded_by_outputs
from posetrt.calib.int8.scales import Layout
from posetrt.calib.int8.trained import trained_ranges
from posetrt.export.graph.camera import CAMERA_PREFIX
from posetrt.export.graph.float16 import half_around_int8
from posetrt.export.graph.graph import Graph, load_graph
from posetrt.export.graph.onnx_file import describe, save_model
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import sha256_of, written_together
from posetrt.runtime.model.folder import ModelFolder
from posetrt.runtime.model.manifest import Manifest
from posetrt.runtime.picture import network_input

DEFAULT_METHOD = "mse"
FEW_IMAGES = 50


@dataclass(frozen=True)
class Calibrated:
    """What a calibration gave.

    Attributes:
        calibration: as written to calibration.json.
        observation: what every tensor held.
        warnings: sentences for the user.
        skipped: images that could not be read.
        speed: how many times as fast as FP32 a layout runs on this computer, where that was measured.
    """

    calibration: Calibration
    observation: Observation
    warnings: tuple[str, ...]
    skipped: tuple[Path, ...]
    speed: Mapping[str, float] = field(default_factory=dict)


def calibrate(
    folder: ModelFolder,
    images: Sequence[Path],
    *,
    method: str = DEFAULT_METHOD,
    equalise: bool = True,
    chosen: str = "all",
    trained: Path | None = None,
    all_int8: bool = False,
    write: bool = True,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Calibrated:
    """Find INT8 ranges on photographs, write calibration.json and the graphs made with them.

    Args:
        folder: with model.onnx; its variants are replaced.
        images: photographs, any size; they are letterboxed as the runtime does.
        method: "minmax", "percentile", "percentile-99.9", "entropy" or "mse". Maps (outputs of convolutions without an
            activation, and what concatenates them) keep min-max in every method: their peaks are rare, and they are the people.
        equalise: scale channels of depthwise inputs to one reach in the weights.
        chosen: a word on how the images were chosen, for the file.
        trained: a Q/DQ ONNX of the same network whose ranges go before those that the images give; nothing is equalised then.
        all_int8: put every convolution into INT8, also those that are kept in float by default (`kept_by_default`).
        write: False where `budget.fit_budget` goes on from here, which writes once, at its end.
        progress: called with images done and images in all.

    Raises:
        UsageError: no images, or no such method.
        PosetrtError: none of the images can be read, or an activation is NaN or infinite.
    """
    check_method(method)
    paths = list(images)
    if not paths:
        raise UsageError("no images to calibrate with: give photographs of people, 50 or more")
    manifest = folder.manifest()
    graph = load_graph(folder.onnx)
    if is_quantised(graph):
        raise UsageError(
            f"{folder.onnx} is quantised already (it has QuantizeLinear nodes), and int8 runs it as it is: "
            f"posetrt build {folder.quoted} --precision int8. For INT8 of ours, export the float network"
        )
    own = trained_ranges(trained, graph) if trained is not None else {}
    equalise = equalise and not own
    skipped: list[Path] = []
    scales = _scales(graph, manifest, paths) if equalise else {}
    base = equalised(graph, scales)
    seen = _observe(base, manifest, paths, skipped, progress)
    if seen.count == 0:
        raise PosetrtError(f"none of the {len(paths)} images can be read as an image (the first is {paths[0]}); nothing was changed")
    used = [path for path in paths if path not in set(skipped)]
    ends = channel_ends(base, by_channel(base), _inputs(_mixed(used), manifest, []))
    ranges = {**with_channel_ranges(find_ranges(base, seen, method), ends), **own}
    shapes = seen.shapes
    unequal = not_equalised(graph) if equalise else {}
    weights = {} if own else rounded_by_outputs(base, _inputs(_mixed(used)[:ROUNDING_PHOTOGRAPHS], manifest, []))
    calibration = Calibration(
        model_sha256=sha256_of(folder.onnx),
        method=method,
        size_wh=manifest.input.size_wh,
        images={
            "count": seen.count,
            "sha256": set_hash(used),
            "chosen": chosen,
            "skipped": len(skipped),
            "without_people": seen.empty,
        },
        ranges=ranges,
        scales=scales,
        not_equalised=unequal,
        bursts=find_bursts(base, seen),
        bias=_bias(base, ranges, manifest, used, weights),
        weights=weights,
        kept_float=() if all_int8 else kept_by_default(base, shapes, "trt", unequal),
        kept_float_ort=() if all_int8 else kept_by_default(base, shapes, "ort", unequal),
    )
    if write:
        write_variants(folder, calibration, graph)
    return Calibrated(calibration, seen, _warnings(seen, skipped), tuple(skipped))


def find_ranges(graph: Graph, seen: Observation, method: str) -> dict[str, Range]:
    """A range for each observed tensor of the equalised graph, in the order of the nodes.

    Photographs on which a tensor bursts take no part in its range: two of a hundred would make the grid too wide for all others.
    """
    maps = keep_peaks(graph)
    found = {}
    for name, one in seen.tensors.items():
        whole = one.distribution()
        usual = whole if name in maps else one.distribution(bursts=False)
        ends = min(whole.low, 0.0), max(whole.high, 0.0)
        one_range = find_range(usual, "minmax") if name in maps else find_range(usual, method, curve_behind(graph, name))
        found[name] = replace(one_range, seen_low=ends[0], seen_high=ends[1])
    # A ReLU's input is never rounded: every engine computes both as one. Where an engine asks for its range, it is the ReLU's.
    fused = fused_activations(graph)
    return {name: found[fused.get(name, name)] for name in graph.float_tensors if fused.get(name, name) in found}


def find_bursts(graph: Graph, seen: Observation) -> dict[str, dict[str, Any]]:
    """Tensors that reach much further on a few photographs than on the others, with those photographs, in the order of the nodes.

    Returns:
        by tensor: "usual" and "furthest" magnitude, how many "photographs" burst, and the "names" of those that reach furthest.
    """
    found = {}
    for name in graph.float_tensors:
        one = seen.tensors.get(name)
        bursts = one.bursts() if one is not None else {}
        if one is None or not bursts or name in keep_peaks(graph):
            continue
        usual = one.distribution(bursts=False)
        count = sum(part.count for part in bursts.values())
        found[name] = {
            "usual": float(np.float32(max(-usual.low, usual.high))),
            "furthest": float(np.float32(one.furthest[0][0])),
            "photographs": count,
            "names": [photograph for _, photograph in one.furthest[:count]],
        }
    return found


def keep_peaks(graph: Graph) -> set[str]:
    """Tensors whose rare peaks are the people: what the caller feeds, and maps, which are outputs of convolutions with no
    activation that leave the network or are concatenated, and the concatenations that hold such."""
    maps = {*graph.inputs, *graph.outputs}
    for node in graph.nodes:
        if node.op_type == "Concat":
            bare = [name for name in node.input if name in graph.producers and graph.producers[name].op_type == "Conv"]
            maps.update([*bare, node.output[0]] if bare else [])
    return maps


def write_variants(folder: ModelFolder, calibration: Calibration, graph: Graph | None = None, *, fp8: bool = False) -> tuple[str, ...]:
    """Write calibration.json, and the graphs that it makes: int8-base (float, equalised), int8-ort, int8-trt and int8-trt-fp16; with `fp8` fp8-trt too.

    There is no int8-trt-fp16 where float16 cannot hold a layer that stays in float: `build` then takes int8-trt, with float32 around INT8.

    All of them or none, but for a kill between two renames, which leaves graphs that say that they belong to another calibration.

    Returns:
        Sentences for the user on graphs that were asked for and could not be made.
    """
    missing = []
    graph = graph if graph is not None else load_graph(folder.onnx)
    manifest = folder.manifest().to_json()
    base = equalised(graph, calibration.scales)
    models: dict[str, Any] = {"int8-base": base.copy().model}
    models["int8-ort"] = quantize(base, calibration.ranges, "ort", calibration.kept_float_ort, calibration.corrections("ort"))
    models["int8-trt"] = quantize(base, calibration.ranges, "trt", calibration.kept_float, calibration.corrections("trt"))
    with contextlib.suppress(PosetrtError):
        models["int8-trt-fp16"] = half_around_int8(models["int8-trt"], folder.onnx.name)
    if fp8:
        try:
            models["fp8-trt"] = half_around_int8(quantize_fp8(base, calibration.ranges, calibration.kept_float), folder.onnx.name)
        except PosetrtError as error:
            missing.append(f"no float8 graph, whose other layers are in float16: {error}")
    with written_together(folder.calibration, *map(folder.variant, models)) as temporaries:
        write_calibration(temporaries[0], calibration)
        made_from = {"model": calibration.model_sha256, "calibration": sha256_of(temporaries[0])}
        for temporary, model in zip(temporaries[1:], models.values(), strict=True):
            save_model(temporary, describe(model, manifest, made_from))
    for name in ("int8-trt-fp16", "fp8-trt"):
        if name not in models:
            folder.variant(name).unlink(missing_ok=True)  # it was made from the calibration before
    return tuple(missing)


def folder_calibration(folder: ModelFolder) -> Calibration:
    """The calibration of a folder.

    Raises:
        EngineMismatch: it was made for another model.
        PosetrtError: there is none, or it cannot be read.
    """
    return read_calibration(folder.calibration, sha256_of(folder.onnx))


def _scales(graph: Graph, manifest: Manifest, paths: Sequence[Path]) -> dict[str, NDArray[np.float64]]:
    """Divisors of the channels that may be scaled, from how far they reach on some of the images, in whatever order they come."""
    names = watched(graph)
    inputs = _inputs(_mixed(paths), manifest, [])
    return divisors(graph, channel_peaks(graph, names, inputs, people_in=partial(_people_in, manifest)) if names else {})


def _bias(
    base: Graph, ranges: Mapping[str, Range], manifest: Manifest, paths: Sequence[Path], weights: Mapping[str, NDArray[np.float32]]
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """By layout, what is taken from the biases, measured on some of the images."""
    layouts: tuple[Layout, ...] = ("ort", "trt")
    few = list(_inputs(_mixed(paths)[:PHOTOGRAPHS], manifest, []))
    return {layout: bias_corrections(base, ranges, layout, few, weights) for layout in layouts}


def _mixed(paths: Sequence[Path]) -> list[Path]:
    """The paths in an order that does not hang on theirs, nor on their names."""
    ordered = sorted(paths, key=lambda path: (path.name, str(path)))
    return [ordered[place] for place in np.random.default_rng(0).permutation(len(ordered))]


def _observe(
    graph: Graph, manifest: Manifest, paths: Sequence[Path], skipped: list[Path], progress: Callable[[int, int], None]
) -> Observation:
    """Run the images through the graph; unreadable ones are put into `skipped`."""
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done + len(skipped), len(paths))

    people_in = partial(_people_in, manifest)
    # What a camera's frame goes through stays in float, and is large.
    unseen = {name for node in graph.nodes if node.name.startswith(CAMERA_PREFIX) for name in node.output} | set(fused_activations(graph))
    return observe(graph, _inputs(paths, manifest, skipped), unseen=unseen, people_in=people_in, progress=step)


def _inputs(paths: Sequence[Path], manifest: Manifest, skipped: list[Path]) -> Iterator[tuple[Path, NDArray[Any]]]:
    """Each image as the network's input; unreadable ones are put into `skipped`."""
    for path in paths:
        try:
            frame = read_photograph(path)
        except (OSError, PosetrtError):
            skipped.append(path)
            continue
        yield path, network_input(frame, manifest.input)


def _people_in(manifest: Manifest, outputs: dict[str, NDArray[np.float32]]) -> bool:
    """Whether a network's outputs, by name, show anybody."""
    return shows_anybody(manifest.head, manifest.skeleton, outputs, manifest.input.size_wh)


def _warnings(seen: Observation, skipped: Sequence[Path]) -> tuple[str, ...]:
    """What the user should know before trusting these ranges."""
    found = []
    if skipped:
        found.append(f"{len(skipped)} images could not be read and were left out, the first of them {skipped[0]}")
    if seen.empty == seen.count:
        found.append(
            "no people were seen in any image: the maps' ranges would clip the peaks of real people. "
            "Calibrate again with photographs of people, in sizes and numbers as the camera will see them"
        )
    elif seen.empty * 2 > seen.count:
        found.append(f"{seen.empty} of {seen.count} images show nobody; photographs with people give better ranges")
    if seen.count < FEW_IMAGES:
        found.append(f"{seen.count} image{'s are' if seen.count != 1 else ' is'} few; from {FEW_IMAGES} on the ranges hardly change")
    return tuple(found)
