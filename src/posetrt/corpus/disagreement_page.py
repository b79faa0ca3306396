"""The page, the JSON and the lists of `posetrt compare-models`."""

from __future__ import annotations

import csv
import html
import io
import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from posetrt.calib.accuracy.report import embedded_picture, page_head
from posetrt.corpus.disagreement import Compared, WorstFrame
from posetrt.corpus.label import frames_of, source_of
from posetrt.corpus.listing import clip_at
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.files import write_json, write_text, written_whole
from posetrt.runtime.model.manifest import Manifest
from posetrt.runtime.sources.names import readable

Names = tuple[str, str]


def figures(compared: Compared, names: Names) -> dict[str, Any]:
    """The figures of a comparison, for machines."""
    return {
        "first": names[0],
        "second": names[1],
        "frames": compared.frames,
        "agreement": compared.agreement,
        "people_first": compared.first,
        "people_second": compared.second,
        "frames_with_other_counts": compared.counts_differ,
    }


def write_page(folder: Path, compared: Compared, names: Names, manifests: tuple[Manifest, Manifest], pictures: int) -> Path:
    """Write compare.html, with the `pictures` worst frames inside, and compare.json.

    Args:
        folder: made where absent.
        compared: of the whole corpus.
        names: of the two networks, for people.
        manifests: of the two networks, for drawing.
        pictures: how many frames are shown.

    Returns:
        The page.
    """
    listed = [
        {"agreement": one.agreement, "source": readable(one.source), "frame": one.index, "time_s": one.time_s} for one in compared.worst
    ]
    write_json(folder / "compare.json", {"format": 1, **figures(compared, names), "worst": listed})
    page = folder / "compare.html"
    write_text(page, _page(compared, names, manifests, pictures))
    return page


def write_selection(folder: Path, worst: Sequence[WorstFrame]) -> Path:
    """Write select.csv, a row for each frame to label, and select.txt, the clips that they are of, which `--source` takes."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(("source", "frame", "time_s", "name", "agreement"))
    rows.writerows((readable(one.source), one.index, round(one.time_s, 4), one.name, round(one.agreement, 4)) for one in worst)
    write_text(folder / "select.csv", text.getvalue())
    with written_whole(folder / "select.txt") as temporary:
        temporary.write_bytes(b"".join(os.fsencode(source) + b"\n" for source in dict.fromkeys(one.source for one in worst)))
    return folder / "select.txt"


def _page(compared: Compared, names: Names, manifests: tuple[Manifest, Manifest], pictures: int) -> str:
    title = f"{names[0]} and {names[1]}"
    shown = compared.worst[:pictures]
    drawn = _drawn(shown, names, manifests)
    frames = "".join(
        f"<figure>{drawn[one.order]}<figcaption>{html.escape(readable(one.source))}, frame {one.index} ({one.time_s:.2f} s): "
        f"agreement {one.agreement:.2f}; {len(one.first)} and {len(one.second)} people</figcaption></figure>"
        for one in shown
    )
    rows = "".join(
        f"<tr><td>{what}</td><td>{value}</td></tr>"
        for what, value in (
            ("frames", compared.frames),
            ("agreement (OKS)", f"{compared.agreement:.3f}"),
            (f"people, {html.escape(names[0])}", compared.first),
            (f"people, {html.escape(names[1])}", compared.second),
            ("frames with another number of people", compared.counts_differ),
        )
    )
    worst = f"<h2>Worst frames: {html.escape(names[0])} left, {html.escape(names[1])} right</h2>{frames}"
    return f"{page_head(title)}<table>{rows}</table>{worst if shown else '<p>Both find the same people in every frame.</p>'}</html>\n"


def _drawn(frames: Sequence[WorstFrame], names: Names, manifests: tuple[Manifest, Manifest]) -> Mapping[Any, str]:
    """The pictures of each frame, by its place in the order; each clip is read once, up to the last frame that is wanted."""
    drawn = {}
    for source, group in itertools.groupby(sorted(frames, key=lambda one: (one.source, one.index)), key=lambda one: one.source):
        wanted = {one.index: one for one in group}
        try:
            for frame in itertools.islice(frames_of(source_of(clip_at(source))), max(wanted) + 1):
                if (one := wanted.get(frame.index)) is not None:
                    drawn[one.order] = "".join(
                        embedded_picture(frame.image, people, manifest, f"{name}: {frame.name}")
                        for people, manifest, name in zip((one.first, one.second), manifests, names, strict=True)
                    )
        except PosetrtError as error:
            drawn |= {one.order: f"<p>{html.escape(str(error))}</p>" for one in wanted.values() if one.order not in drawn}
    return {one.order: drawn.get(one.order, "<p>the frame is gone</p>") for one in frames}
