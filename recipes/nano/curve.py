"""Draw the learning curve: `python recipes/nano/curve.py curve.csv curve.png`; curve.csv is what `choose.py` printed, and the crops seen."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

COLUMNS = ("crops", "ap", "false")


def main() -> None:
    """Read the CSV and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    with arguments.table.open(newline="") as file:
        rows = [{key: float(row[key]) for key in COLUMNS} for row in csv.DictReader(file)]
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for column, label in (("ap", "AP against the teachers' labels"), ("false", "false people a photograph")):
        axes.plot([row["crops"] / 1000 for row in rows], [row[column] for row in rows], marker="o", label=label)
    axes.set(xlabel="crops seen, thousands", ylim=(0, None), title="nano while it learns: the 160 photographs that choose")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(arguments.picture, dpi=110)


if __name__ == "__main__":
    main()
