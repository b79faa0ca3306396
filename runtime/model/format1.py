"""Manifests of format 1, which knew heat maps and PAFs alone and stated no kind: read as format 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.placement import PAD_GREY, PERSON_GROW, Fit

CPM_GROW = 368 / (200 * 41 / 35)
"""CPM was trained on people 200 * 41/35 px high in crops of 368 (target_dist 1.171 of its training prototxt)."""


LEAST_PEAK = 0.06
"""A part whose heat map stays below this was not found: of CMU's networks for hands, faces and one person."""


def as_format2(fields: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The fields of a format 1 manifest as format 2 has them; `where` names the file in errors.

    Raises:
        PosetrtError: a field is missing or misshapen.
    """
    try:
        skeleton = dict(fields["skeleton"])
        channels, background = skeleton.pop("paf_channels", []), skeleton.pop("background", True)
        outputs = {role: name for role, name in dict(fields["outputs"]).items() if name is not None}
        spec = dict(fields["input"])
        if spec["layout"] == "NHWC":
            # The graph reorders and normalises: what it was fed with are a camera's bytes.
            spec |= {"dtype": "uint8", "colour": "BGR", "mean": [0.0, 0.0, 0.0], "scale": [1.0, 1.0, 1.0], "in_graph": True}
        whole = bool(channels)
        grow = CPM_GROW if fields["network"] == "cpm-person" else PERSON_GROW
        fit = Fit("top-left", PAD_GREY) if whole else Fit("crop", PAD_GREY, grow)
        spec["fit"] = {"how": fit.how, "pad": fit.pad, "grow": fit.grow}
        head: dict[str, Any] = {"outputs": outputs, "stride": fields["stride"]}
        if not whole:
            head |= {"kind": "heatmap", "scope": "crop", "background": background, "least": LEAST_PEAK}
        elif "peaks" in outputs:
            head |= {"kind": "paf-decoded"}
        else:
            head |= {"kind": "paf", "paf_channels": channels, "background": background}
    except (KeyError, TypeError, ValueError) as error:
        raise PosetrtError(f"{where}: the manifest lacks or misstates a field ({error}); export the network again") from error
    rest = {key: value for key, value in fields.items() if key not in ("outputs", "stride")}
    return {**rest, "format": 2, "skeleton": skeleton, "input": spec, "head": head}
