"""What an engine is made from, by hash: taken before a library reads it, and compared once the engine stands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.files import sha256_of
from posetrt.runtime.model.folder import ModelFolder


def origin_of(graph: Path, hashes: Mapping[str, str], *, calibrated: bool) -> dict[str, str]:
    """The `made_from` of a sidecar.

    Args:
        graph: what the library is about to parse.
        hashes: `folder.hashes()`, taken before anything was read.
        calibrated: the engine takes its ranges from calibration.json.
    """
    made_from = {"graph": sha256_of(graph), "model": hashes["model"]}
    if calibrated and "calibration" in hashes:
        made_from["calibration"] = hashes["calibration"]
    return made_from


def check_origin(folder: ModelFolder, graph: Path, made_from: Mapping[str, str]) -> None:
    """Refuse an engine whose origin was replaced while it was built: its sidecar would certify it for files that it never saw.

    Raises:
        PosetrtError: a file is another one than before the build.
    """
    now = {"graph": sha256_of(graph), **folder.hashes()}
    names = {"graph": str(graph.relative_to(folder.path)), "model": folder.onnx.name, "calibration": folder.calibration.name}
    changed = {
        names[what]: f"{names[what]} (sha256 {digest[:12]} before, {now.get(what, 'none')[:12]} now)"
        for what, digest in made_from.items()
        if now.get(what) != digest
    }
    if changed:
        raise PosetrtError(
            f"{' and '.join(changed.values())} changed while the engine was built from it, so the engine is thrown away; "
            f"what stood in {folder.engines} is unchanged. Let export and calibrate end, then build again: posetrt build {folder.quoted}"
        )
