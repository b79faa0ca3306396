"""Which photographs train, which calibrate, and which are kept apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

HELD_OUT = 500
CALIBRATION = 200
# Everyday photographs that choose: the checkpoint, and every other setting.
CHOOSING = 160
SPLIT_SEED = 2016


class MissingData(SystemExit):
    """The recipe's data is not where it was looked for; the message says what to put where."""


@dataclass(frozen=True)
class Split:
    """The photographs of `lspet/`, divided once and for all.

    Attributes:
        train: for distillation.
        calibration: for INT8 ranges; never trained on.
        held_out: for the agreement of precisions and for the learning curve; never trained on nor calibrated with.
    """

    train: tuple[Path, ...]
    calibration: tuple[Path, ...]
    held_out: tuple[Path, ...]


def split_photographs(data: Path) -> Split:
    """Divide `data`/lspet by a fixed seed over the sorted names.

    Raises:
        MissingData: the folder is absent or holds fewer photographs than the parts kept apart need.
    """
    folder = data / "lspet"
    names = sorted(folder.glob("*.jpg"))
    if len(names) <= HELD_OUT + CALIBRATION:
        raise MissingData(
            f"expected the photographs of Leeds Sports Pose Extended as {folder}/im*.jpg, more than {HELD_OUT + CALIBRATION} of them "
            f"(5,000 were used); found {len(names)}. Fetch the data set from its authors (Johnson & Everingham, 2011), put its "
            "images there, or name another folder with --data"
        )
    order = np.random.default_rng(SPLIT_SEED).permutation(len(names))
    chosen = [names[index] for index in order]
    return Split(
        train=tuple(chosen[HELD_OUT + CALIBRATION :]),
        calibration=tuple(chosen[HELD_OUT : HELD_OUT + CALIBRATION]),
        held_out=tuple(chosen[:HELD_OUT]),
    )


@dataclass(frozen=True)
class Everyday:
    """The photographs of `everyday/`, divided once and for all.

    Attributes:
        train: for training.
        choosing: never trained on; the checkpoint is chosen by them.
    """

    train: tuple[Path, ...]
    choosing: tuple[Path, ...]


def everyday_photographs(data: Path) -> Everyday:
    """Divide `data`/everyday by a fixed seed over the sorted names.

    Raises:
        MissingData: the folder or its TERMS.md is absent, or it holds too few photographs.
    """
    folder = data / "everyday"
    names = sorted(folder.glob("*.jpg"))
    if len(names) <= CHOOSING:
        raise MissingData(
            f"expected photographs of people in everyday scenes as {folder}/*.jpg, more than {CHOOSING} of them (2,321 were used); "
            f"found {len(names)}. Put them there, or name another folder with --data"
        )
    if not (folder / "TERMS.md").is_file():
        raise MissingData(
            f"expected {folder}/TERMS.md: where the photographs come from and on what terms they may be used. Write it before training "
            "on them; the model card quotes it"
        )
    order = np.random.default_rng(SPLIT_SEED).permutation(len(names))
    chosen = [names[index] for index in order]
    return Everyday(train=tuple(chosen[CHOOSING:]), choosing=tuple(chosen[:CHOOSING]))


def required(path: Path, what: str) -> Path:
    """The path of a teacher's file.

    Raises:
        MissingData: it is not there.
    """
    if not path.is_file():
        raise MissingData(f"expected {what} as ONNX at {path}. Put it there, or name another folder with --data")
    return path


def teacher_path(data: Path) -> Path:
    """The teacher's ONNX file under `data`.

    Raises:
        MissingData: it is not there.
    """
    path = data / "weights" / "hpe0001" / "human-pose-estimation-0001_dequant_fp32.onnx"
    if not path.is_file():
        raise MissingData(
            f"expected the teacher at {path}: human-pose-estimation-0001 (Open Model Zoo, Apache-2.0) as ONNX with input `data` "
            "(N, 3, H, W), BGR 0 to 255. Put it there, or name another folder with --data"
        )
    return path
