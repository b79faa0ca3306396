"""Say what a model folder holds and what an engine is: what it was built from and for, and on a device that can load it, its layers.

  posetrt inspect person/engines/orin-sm87_trt10.3.0_int8.engine
  posetrt inspect person/

The table counts layers by the precision that they really run in: who asked for int8 wants to know how much of it there
is. Without a GPU the sidecar alone is shown. --json prints a list of engines; of a folder without any, an object that describes its model.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posetrt.arguments import network_path

if TYPE_CHECKING:
    from posetrt.runtime.model.folder import ModelFolder

SUMMARY = "what a model folder holds; what an engine is made of and runs in"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt inspect`."""
    parser.add_argument(
        "engine", metavar="ENGINE|FOLDER", type=network_path, help="an engine with its sidecar, or a model folder for all of its engines"
    )
    parser.add_argument("--layers", action="store_true", help="list every layer")
    parser.add_argument("--json", action="store_true", help="for machines; always with every layer")


def run(args: argparse.Namespace) -> int:
    """Print a description of each engine."""
    from posetrt.runtime.engines.choose import built_engines
    from posetrt.runtime.errors import UsageError
    from posetrt.runtime.model.folder import open_folder
    from posetrt.runtime.model.sidecar import check_engine_file, read_sidecar

    folder = open_folder(args.engine) if args.engine.is_dir() else None
    if folder is not None:
        engines = built_engines(folder)
    elif args.engine.is_file():
        engines = {args.engine: read_sidecar(args.engine)}
        check_engine_file(args.engine, engines[args.engine])
    else:
        raise UsageError(f"there is no engine or model folder at {args.engine}")
    described = [describe(path, sidecar) for path, sidecar in engines.items()]
    model = describe_model(folder) if folder is not None else None
    if args.json:
        print(json.dumps(described or model, indent=1))
    else:
        whole = [] if model is None else [_model_text(model, no_engine=not described)]
        print("\n\n".join([*whole, *(_text(one, every_layer=args.layers) for one in described)]))
    return 0


def describe_model(folder: ModelFolder) -> dict[str, Any]:
    """What a model folder holds beside engines: the network, its calibration, its variants ("" where one serves, else why not), what comes next."""
    from posetrt.runtime.errors import PosetrtError
    from posetrt.runtime.files import sha256_of

    manifest = folder.manifest()

    def why_not(name: str) -> str:
        try:
            folder.checked_variant(name)
        except PosetrtError as error:
            return str(error)
        return ""

    calibrated = folder.calibration.is_file()
    following = [] if calibrated else [f"posetrt calibrate {folder.quoted} --images DIR"]
    return {
        "folder": str(folder.path),
        "model_sha256": sha256_of(folder.onnx),
        "size_bytes": folder.onnx.stat().st_size,
        "manifest": manifest.to_dict(),
        "head": manifest.head.summary(),
        "calibrated": calibrated,
        "variants": {path.stem: why_not(path.stem) for path in sorted(folder.variant("any").parent.glob("*.onnx"))},
        "engines": [],
        "next": [*following, f"posetrt build {folder.quoted} --precision {'int8' if calibrated else 'fp32'}"],
    }


def _model_text(one: dict[str, Any], *, no_engine: bool) -> str:
    manifest = one["manifest"]
    spec, skeleton = manifest["input"], manifest["skeleton"]
    size = "x".join(map(str, spec["size_wh"]))
    if spec["min_wh"] != spec["max_wh"]:
        size += f" (from {'x'.join(map(str, spec['min_wh']))} to {'x'.join(map(str, spec['max_wh']))})"
    pixels = (
        "normalised in the graph" if spec["in_graph"] else f"(value - {spec['mean']}) * {[float(f'{each:.4g}') for each in spec['scale']]}"
    )
    parts = f"skeleton {skeleton['name']}, {len(skeleton['parts'])} parts" if skeleton["parts"] else "a detector, no parts"
    lines = [
        f"model.onnx: network {manifest['network']}, {one['size_bytes'] / 1e6:.1f} MB, sha256 {one['model_sha256'][:12]}",
        f"  head {one['head']}; {parts}",
        f"  input {spec['name']}: {size}, {spec['layout']} {spec['dtype']} {spec['colour']}, {pixels}; picture {spec['fit']['how']}",
    ]
    if manifest["licence"]:
        lines.append(f"  licence of the weights: {manifest['licence']}")
    lines.append(f"calibration.json: {'there' if one['calibrated'] else 'none; INT8 needs it'}")
    lines += [f"variants/{name}.onnx: {why or 'made from this model'}" for name, why in one["variants"].items()]
    if no_engine:
        lines += ["engines: none yet", *(f"next: {command}" for command in one["next"])]
    return "\n".join(lines)


def describe(path: Path, sidecar: Any) -> dict[str, Any]:
    """All that is known of an engine; "layers" is None where this device cannot load it, and "why" says so.

    A damaged engine or one that is gone has a description too: one bad file must not hide the others.
    """
    from posetrt.runtime.engines.choose import why_not
    from posetrt.runtime.engines.layers import layers_of, share
    from posetrt.runtime.engines.library import as_library, installed
    from posetrt.runtime.errors import PosetrtError
    from posetrt.runtime.model.sidecar import check_engine_file

    result: dict[str, Any] = {
        "engine": path.name,
        "size_bytes": path.stat().st_size if path.is_file() else None,
        "backend": sidecar.backend,
        "version": sidecar.library_version,
        "precision": sidecar.precision,
        "device": dict(sidecar.device),
        "graph": sidecar.graph,
        "made_from": dict(sidecar.made_from),
        "options": dict(sidecar.options),
        "build_s": sidecar.build_s,
        "input": list(sidecar.manifest.input.size_wh),
        "layers": None,
        "why": "",
    }
    # Whether it was built from the folder's present model is no matter here: it is described as it is.
    reason = why_not(path, sidecar, sidecar.made_from)
    if path.is_file():
        try:
            check_engine_file(path, sidecar)
        except PosetrtError as error:
            reason = str(error).removeprefix(f"{path.name} ")
    if reason is None and sidecar.backend == "onnxruntime":
        reason = "is ONNX Runtime's, which tells no precisions of its layers"
    if reason is None and sidecar.options.get("version_compatible"):
        reason = "is version-compatible, and would bring code of its own: it is not loaded to be looked at"
    if reason is not None:
        result["why"] = reason
        return result
    try:
        layers = layers_of(path, installed(as_library(sidecar.backend)), sidecar.device.get("dla"))
    except PosetrtError as error:
        result["why"] = str(error)
        return result
    count, macs = share(layers, sidecar.precision)
    result["layers"] = [asdict(layer) for layer in layers]
    result["share"] = {"precision": sidecar.precision, "of_layers": count, "of_multiply_adds": macs}
    return result


def _text(one: dict[str, Any], *, every_layer: bool) -> str:
    options = one["options"]
    size = "no file" if one["size_bytes"] is None else f"{one['size_bytes'] / 1e6:.1f} MB"
    lines = [
        f"{one['engine']}: {one['precision']} by {one['backend']} {one['version']}, {size}, built in {one['build_s']:.1f} s",
        f"  from {one['graph']} (model {one['made_from'].get('model', '?')[:12]}), input {one['input'][0]}x{one['input'][1]}",
        f"  for {', '.join(f'{key} {value}' for key, value in one['device'].items())}",
    ]
    if "profile" in options:
        lines.append("  shapes " + " / ".join("x".join(map(str, shape)) for shape in options["profile"]) + " (smallest / best / largest)")
        lines.append(f"  {'types of the graph' if options.get('strongly_typed') else 'flags'} {' '.join(options.get('flags', []))}")
    for key, words in (("without_range", "tensors without a range"), ("fell_back", "layers on the GPU instead of the DLA")):
        if options.get(key):
            lines.append(f"  {len(options[key])} {words}: {', '.join(options[key][:6])}")
    if one["layers"] is None:
        return "\n".join([*lines, f"  layers: not shown, the engine {one['why']}"])
    table = Counter((layer["unit"], layer["precision"], layer["computes"]) for layer in one["layers"])
    lines.append("  unit  precision  computing  others")
    for unit, precision in sorted({(unit, precision) for unit, precision, _ in table}):
        lines.append(f"  {unit:5} {precision:10} {table[unit, precision, True]:9} {table[unit, precision, False]:7}")
    share = one["share"]
    by_macs = "" if share["of_multiply_adds"] is None else f", {share['of_multiply_adds']:.0%} of the multiply-adds"
    lines.append(f"  {share['of_layers']:.0%} of the computing layers run in {share['precision']}{by_macs}")
    if every_layer:
        lines += [f"  {layer['unit']} {layer['precision']:5} {layer['kind']:24} {layer['name'][:90]}" for layer in one["layers"]]
    return "\n".join(lines)
