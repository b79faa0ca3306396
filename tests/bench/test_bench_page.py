"""The benchmark's page: whole in one file, every figure in it, and nothing claimed that was not measured."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import cv2

from posetrt.bench.bench_page import write_bench_report
from posetrt.bench.benchmark_report import read_report
from tests.bench.test_comparison import report, row


class Text(HTMLParser):
    """The words of a page, and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.loads: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "data") and not (value or "").startswith("#")]


def _read(page: Path) -> tuple[str, Text]:
    text = page.read_text(encoding="utf-8")
    parsed = Text()
    parsed.feed(text)
    return " ".join(parsed.words), parsed


def test_the_page_carries_board_figures_and_charts_and_loads_nothing(tmp_path: Path) -> None:
    rows = (row(watts=5.0, mode="15W"), replace(row("int8", fps=250, watts=4.5, mode="15W"), ap=0.43, delta_ap=-0.01, throttled=True))
    board = {"module": "Jetson <Orin> NX 16GB", "jetpack": "6.2", "l4t": None, "clocks": {"gpu_max_mhz": 1173.0}}
    given = replace(report(*rows), machine={"cpu": "a CPU", "board": board}, telemetry_cost=0.004, photographs=38)
    page = write_bench_report(given, tmp_path)
    words, parsed = _read(page)
    assert parsed.loads == []
    for figure in ("250.0", "4.50", "18.0", "Jetson <Orin> NX 16GB", "JetPack 6.2", "1173.0", "0.40% of one core", "Throttled: int8 15W"):
        assert figure in words
    svg = re.search(r"<svg.*</svg>", page.read_text(encoding="utf-8"), re.DOTALL)
    assert svg is not None
    assert "energy of a frame" in " ".join(ElementTree.fromstring(svg[0]).itertext())
    assert read_report(tmp_path / "report.json") == given
    assert cv2.imread(str(tmp_path / "bench.png")).shape[1] > 1000


def test_the_first_sentence_says_what_to_choose(tmp_path: Path) -> None:
    fast = row("int8", fps=250)
    for name, given, said in (
        ("speed", report(row(), fast), "Choose int8 for speed, once posetrt eval"),
        ("slow", report(row(), row("int8", fps=1)), "Choose fp32: nothing that was measured is faster."),
        (
            "ap",
            replace(report(row(), replace(fast, ap=0.4, delta_ap=0.0, delta_ap_low=-0.001, delta_ap_high=0.002)), photographs=38),
            "Choose int8: to fp32, AP changes by +0.000 (95 % interval -0.001 to +0.002) on 38 photographs.",
        ),
    ):
        text = write_bench_report(given, tmp_path / name).read_text(encoding="utf-8")
        assert text.partition("<p class='choice'>")[2].startswith(said)
        assert text.index("<p") == text.index("<p class='choice'>")


def test_without_sensors_the_page_says_not_measured_and_shows_no_watts(tmp_path: Path) -> None:
    words, _ = _read(write_bench_report(replace(report(row()), power_source="not measured"), tmp_path))
    assert "Power: not measured" in words
    assert "mJ/frame" not in words
    assert "fps/W" not in words
