"""The model folder: the unit that people copy to a fleet. DESIGN: model.onnx, calibration.json, variants/, engines/."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from posetrt.runtime.engines.base import PRECISIONS
from posetrt.runtime.errors import EngineMismatch, PosetrtError, UsageError
from posetrt.runtime.fields import fields_of, read_fields
from posetrt.runtime.files import check_name, parse_json, remove_leftovers, sha256_of, write_json
from posetrt.runtime.model.manifest import Manifest, manifest_of_onnx
from posetrt.runtime.model.onnx_metadata import metadata_of_onnx
from posetrt.runtime.model.shipped import network_folder, own_copy, shipped_name

MADE_FROM_KEY = "posetrt.made_from"


@dataclass(frozen=True)
class ModelFolder:
    """Where each file of a model stands. Making the object touches no disk.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def onnx(self) -> Path:
        """The float32 graph; never changes after export."""
        return self.path / "model.onnx"

    @property
    def calibration(self) -> Path:
        """Ranges for INT8, as `calib` wrote them."""
        return self.path / "calibration.json"

    @property
    def quoted(self) -> str:
        """The path (of a network that ships, its name) as a shell takes it, for commands that errors recommend."""
        return shlex.quote(shipped_name(self.path) or str(self.path))

    @property
    def engines(self) -> Path:
        """Engines, each with its sidecar."""
        return self.path / "engines"

    @property
    def settings(self) -> Path:
        """What this folder prefers: at present `{"precision": ...}`, for commands that were given none."""
        return self.path / "settings.json"

    def variant(self, name: str) -> Path:
        """A graph made from model.onnx: "fp16", "int8-base", "int8-trt", "int8-ort" or "fp8-trt"."""
        return self.path / "variants" / f"{name}.onnx"

    def manifest(self) -> Manifest:
        """The manifest inside model.onnx.

        Raises:
            PosetrtError: no model.onnx, or none of ours.
        """
        if not self.onnx.is_file():
            raise PosetrtError(
                f"{self.path} holds no model.onnx; make a model folder of your own network with: "
                f"posetrt export onnx --weights FILE.onnx -o {self.quoted} (posetrt export --list: published ones)"
            )
        return manifest_of_onnx(self.onnx)

    def hashes(self) -> dict[str, str]:
        """SHA-256 of what variants and engines are made from: "model", and "calibration" where there is one."""
        hashes = {"model": sha256_of(self.onnx)}
        if self.calibration.is_file():
            hashes["calibration"] = sha256_of(self.calibration)
        return hashes

    def checked_variant(self, name: str) -> Path:
        """The path of a variant, once it is known to be made from the folder's present model and calibration.

        Raises:
            EngineMismatch: it is absent, or was made from another model.onnx or calibration.json.
        """
        path = self.variant(name)
        remedy = f"posetrt export NETWORK --weights FILE -o {self.quoted}"
        if name.startswith(("int8", "fp8")):
            remedy = f"posetrt calibrate {self.quoted} --images DIR{' --fp8' if name.startswith('fp8') else ''}"
        if not path.is_file():
            raise EngineMismatch(f"{self.path} has no {name} graph yet. Make it with: {remedy}")
        text = metadata_of_onnx(path).get(MADE_FROM_KEY, "{}")
        origin = f"Make it again with: {remedy}"
        try:
            stated = parse_json(text, str(path), "note of what it was made from")
        except PosetrtError as error:
            raise EngineMismatch(f"{error}. {origin}") from error
        note = fields_of(stated, str(path), "note of what it was made from", origin, EngineMismatch)
        made_from = {what: note.sha256(what) for what in note.values}
        now = self.hashes()
        for what, digest in made_from.items():
            if now.get(what) != digest:
                raise EngineMismatch(
                    f"{path.name} was made from another {'model.onnx' if what == 'model' else 'calibration.json'} "
                    f"(sha256 {digest[:12]}; here {now.get(what, 'none')[:12]}). Make it again with: {remedy}"
                )
        if not made_from:
            raise EngineMismatch(f"{path.name} does not say what it was made from. Make it again with: {remedy}")
        return path

    def default_precision(self) -> str | None:
        """The precision that this folder prefers, or None."""
        if not self.settings.is_file():
            return None
        settings = read_fields(
            self.settings, "settings file", f"Delete {self.settings.name}, or write it again with: posetrt build --default"
        )
        return settings.text("precision", one_of=PRECISIONS) if "precision" in settings else None

    def set_default_precision(self, precision: str) -> None:
        """Make `precision` what commands take when they are given none."""
        write_json(self.settings, {"precision": precision})


def open_folder(path: str | Path, *, to_write: bool = False) -> ModelFolder:
    """A model folder that exists and holds a model.

    Args:
        path: of the folder, or the name of a network that ships.
        to_write: the caller adds files to it; of a network that ships this gives the user's copy, made where absent.

    Raises:
        UsageError: no such folder.
        PosetrtError: a folder without a model.onnx of ours.
    """
    folder = ModelFolder(own_copy(path) if to_write else network_folder(path))
    check_name(folder.path.absolute())
    if not folder.path.is_dir():
        raise UsageError(
            f"there is no model folder {folder.path}; make one of your own network with: "
            f"posetrt export onnx --weights FILE.onnx -o {folder.quoted} (posetrt export --list: published ones)"
        )
    for place in (folder.path, folder.path / "variants", folder.engines):
        remove_leftovers(place)
    folder.manifest()
    return folder
