"""The accuracy report: what each precision costs, with its uncertainty and its worst photographs. One HTML page and one JSON."""

from __future__ import annotations

import base64
import html
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.accuracy.agreement import agreement
from posetrt.calib.accuracy.choice import Cost, choose
from posetrt.calib.accuracy.coco import CocoPhotos
from posetrt.calib.datasets.base import AnnotatedPhotos, Judged
from posetrt.calib.int8.photographs import read_photograph
from posetrt.runtime.errors import UsageError
from posetrt.runtime.files import write_json, write_text
from posetrt.runtime.model.manifest import Manifest
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People
from posetrt.runtime.sinks.base import Result
from posetrt.runtime.sources import Frame

RESAMPLES = 200
WORST = 6
_PICTURE_WIDTH = 420
PAGE_STYLE = (
    ":root{color-scheme:light dark;--page:#fff;--text:#222;--quiet:#5d5d5d;--line:#ccc;--mark:#eef4fb}"
    "@media(prefers-color-scheme:dark){:root{--page:#141516;--text:#e4e4e4;--quiet:#a2a6aa;--line:#3a3e42;--mark:#1d2835}}"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;background:var(--page);color:var(--text)}"
    "h1{font-size:1.5em;overflow-wrap:anywhere}.choice{font-size:1.15em;background:var(--mark);padding:.7em 1em;border-radius:.4em}"
    "table{border-collapse:collapse;margin:1em 0}td,th{border-bottom:1px solid var(--line);text-align:right}"
    "td:first-child,th:first-child{text-align:left}.wide{overflow-x:auto}figure{margin:1.5em 0}"
)
"""Of the reports' pages: readable in light and dark, on a phone and on paper."""


@dataclass(frozen=True)
class Interval:
    """A difference of a figure to the reference precision: as measured, and where 95 % of paired resamples of the photographs lie."""

    delta: float
    low: float
    high: float


@dataclass(frozen=True)
class PrecisionReport:
    """What one precision gives on the same photographs as the reference.

    Attributes:
        precision: its name.
        figures: the data set's, by key, the main one first (COCO: ap, ap50, ap75, ar); each None where nothing is annotated.
        delta: of the main figure to the reference; None for the reference and where nothing is annotated.
        oks: agreement with the reference's people.
        parts: mean similarity of each part to the reference's, by name; None where neither ever has it.
        people: found in all photographs.
        worst: names of the photographs that agree least with the reference, with their agreement.
    """

    precision: str
    figures: Mapping[str, float | None]
    delta: Interval | None
    oks: float
    parts: Mapping[str, float | None]
    people: int
    worst: Sequence[tuple[str, float]]


def compare_precisions(
    found: Mapping[str, Sequence[People]],
    paths: Sequence[Path],
    skeleton: Skeleton,
    annotated: AnnotatedPhotos | None = None,
    *,
    seed: int = 0,
) -> list[PrecisionReport]:
    """Compare precisions on the same photographs; the first one is the reference.

    Args:
        found: for each precision the people of each photograph, in pixels.
        paths: the photographs.
        annotated: with key points for these paths; None for a comparison by agreement alone.
        seed: of the bootstrap.

    Raises:
        UsageError: no precision, or one with another number of photographs.
    """
    if not found or any(len(people) != len(paths) for people in found.values()):
        raise UsageError(
            f"each precision must have people for the same {len(paths)} photographs; got { ({k: len(v) for k, v in found.items()}) }"
        )
    first = next(iter(found))
    names = _names(paths)
    judged = {name: annotated.judge(people, skeleton) for name, people in found.items()} if annotated is not None else {}
    intervals = _bootstrap(judged, len(paths), seed)
    reports = []
    for precision, people in found.items():
        same = agreement(found[first], people, skeleton)
        order = np.argsort(same.images, kind="stable")[:WORST]
        reports.append(
            PrecisionReport(
                precision,
                judged[precision].figures if judged else dict.fromkeys(CocoPhotos.titles),
                intervals.get(precision),
                same.oks,
                {name: None if np.isnan(value) else float(value) for name, value in zip(skeleton.parts, same.parts, strict=True)},
                same.people,
                [(names[index], float(same.images[index])) for index in order.tolist() if same.images[index] < 1],
            )
        )
    return reports


def _names(paths: Sequence[Path]) -> list[str]:
    """The file names, with their folders from where they differ on: videos' frames are called 000000.jpg in each folder."""
    taken = Counter(path.name for path in paths)
    repeated = [path for path in paths if taken[path.name] > 1]
    above = Path(os.path.commonpath([path.parent for path in repeated])) if repeated else Path()
    return [path.name if taken[path.name] == 1 else path.relative_to(above).as_posix() for path in paths]


def _bootstrap(judged: Mapping[str, Judged], photographs: int, seed: int) -> dict[str, Interval]:
    """95 % intervals of each precision's main figure minus the first's, over photographs drawn with replacement, the same for both."""
    random = np.random.default_rng(seed)
    draws = [random.integers(0, photographs, photographs) for _ in range(RESAMPLES)]
    whole = np.arange(photographs)
    first, *others = judged or [""]
    reference = np.array([judged[first].main(draw) for draw in draws]) if others else np.zeros(0)
    intervals = {}
    for name in others:
        deltas = np.array([judged[name].main(draw) for draw in draws]) - reference
        deltas = deltas[np.isfinite(deltas)]  # not of draws on which nobody is annotated
        if len(deltas):
            low, high = np.quantile(deltas, [0.025, 0.975]).tolist()
            intervals[name] = Interval(judged[name].main(whole) - judged[first].main(whole), low, high)
    return intervals


def write_report(
    directory: Path,
    found: Mapping[str, Sequence[People]],
    paths: Sequence[Path],
    manifest: Manifest,
    annotated: AnnotatedPhotos | None = None,
    *,
    title: str = "Accuracy per precision",
) -> list[PrecisionReport]:
    """Write report.html (with its pictures inside) and report.json.

    Args and errors as `compare_precisions`; `directory` is made where absent.
    """
    reports = compare_precisions(found, paths, manifest.skeleton, annotated)
    titles = CocoPhotos.titles if annotated is None else annotated.titles
    fields = [_as_json(report) for report in reports]
    choice = _choice(reports, titles, len(paths))
    write_json(directory / "report.json", {"format": 1, "title": title, "choice": choice, "photographs": len(paths), "precisions": fields})
    write_text(directory / "report.html", _page(title, reports, titles, found, paths, manifest))
    return reports


def _as_json(report: PrecisionReport) -> dict[str, Any]:
    delta = report.delta
    return {
        "precision": report.precision,
        **report.figures,
        f"delta_{next(iter(report.figures))}": None if delta is None else {"delta": delta.delta, "low": delta.low, "high": delta.high},
        "oks_agreement": report.oks,
        "parts": dict(report.parts),
        "people": report.people,
        "worst": [{"photograph": name, "oks_agreement": oks} for name, oks in report.worst],
    }


def _page(
    title: str,
    reports: Sequence[PrecisionReport],
    titles: Mapping[str, str],
    found: Mapping[str, Sequence[People]],
    paths: Sequence[Path],
    manifest: Manifest,
) -> str:
    """The HTML page; it loads nothing."""
    first = reports[0].precision
    main = f"Δ{next(iter(titles.values()))}"
    heads = "".join(f"<th>{html.escape(text)}</th>" for text in (*titles.values(), main))
    rows = "".join(
        f"<tr><td>{html.escape(one.precision)}</td>"
        + "".join(f"<td>{_number(value)}</td>" for value in (one.figures[key] for key in titles))
        + (f"<td>{one.delta.delta:+.3f} ({one.delta.low:+.3f} to {one.delta.high:+.3f})</td>" if one.delta else "<td></td>")
        + f"<td>{one.oks:.3f}</td><td>{one.people}</td></tr>"
        for one in reports
    )
    parts = "".join(
        f"<tr><td>{html.escape(part)}</td>" + "".join(f"<td>{_number(one.parts[part])}</td>" for one in reports) + "</tr>"
        for part in manifest.skeleton.parts
    )
    pictures = "".join(_worst(one, found, paths, manifest, first) for one in reports[1:])
    names = "".join(f"<th>{html.escape(one.precision)}</th>" for one in reports)
    return (
        f"{page_head(title)}<p class='choice'>{html.escape(_choice(reports, titles, len(paths)))}</p>"
        f"<p>{len(paths)} photographs. {html.escape(main)} is to {html.escape(first)}, with the interval that holds 95 % of "
        f"{RESAMPLES} paired resamples of the photographs. OKS agreement: how far the people are those of {html.escape(first)}; it needs no "
        f"annotation.</p><div class='wide'><table><tr><th>precision</th>{heads}<th>OKS agreement</th>"
        f"<th>people</th></tr>{rows}</table></div><h2>Each part's similarity to {html.escape(first)}</h2>"
        f"<div class='wide'><table><tr><th>part</th>{names}</tr>{parts}</table></div>{pictures}</html>\n"
    )


def page_head(title: str) -> str:
    """The begin of a page of pictures side by side, up to its heading; it loads nothing."""
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{html.escape(title)}</title><style>{PAGE_STYLE}"
        "td,th{padding:.25em .8em}img{width:100%;max-width:420px}.pair{display:flex;flex-wrap:wrap;gap:.5em}.pair img{flex:1 1 260px}</style>"
        f"<h1>{html.escape(title)}</h1>"
    )


def _choice(reports: Sequence[PrecisionReport], titles: Mapping[str, str], photographs: int) -> str:
    costs = []
    for one in reports:
        where = " on a GPU (a CPU runs it slower than fp32)" if one.precision == "fp16" else ""
        delta, low, high = (one.delta.delta, one.delta.low, one.delta.high) if one.delta else (None, None, None)
        costs.append(Cost(one.precision, one.precision, delta, low, high, one.oks, where))
    return choose(costs, next(iter(titles.values())), photographs)


def _worst(report: PrecisionReport, found: Mapping[str, Sequence[People]], paths: Sequence[Path], manifest: Manifest, first: str) -> str:
    """The photographs that changed most, side by side."""
    if not report.worst:
        return f"<h2>{html.escape(report.precision)}</h2><p>Every photograph gives the same people as {html.escape(first)}.</p>"
    places = {name: index for index, name in enumerate(_names(paths))}
    figures = []
    for name, oks in report.worst:
        index = places[name]
        frame = read_photograph(paths[index])
        images = "".join(embedded_picture(frame, found[which][index], manifest, f"{which}: {name}") for which in (first, report.precision))
        figures.append(
            f"<figure><div class='pair'>{images}</div><figcaption>{html.escape(name)}, agreement {oks:.2f}</figcaption></figure>"
        )
    return f"<h2>Worst photographs: {html.escape(first)} and {html.escape(report.precision)}</h2>{''.join(figures)}"


def embedded_picture(frame: NDArray[np.uint8], people: People, manifest: Manifest, alt: str) -> str:
    """A photograph with its people as an img element that holds a JPEG."""
    import cv2

    from posetrt.runtime.sinks.draw import draw_people

    drawn = draw_people(Result(Frame(frame, alt, 0, 0.0), people, manifest))
    height = max(1, round(drawn.shape[0] * _PICTURE_WIDTH / drawn.shape[1]))
    _, data = cv2.imencode(
        ".jpg", cv2.resize(drawn, (_PICTURE_WIDTH, height), interpolation=cv2.INTER_AREA), [cv2.IMWRITE_JPEG_QUALITY, 80]
    )
    return f"<img alt='{html.escape(alt, quote=True)}' src='data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}'>"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
