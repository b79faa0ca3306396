"""What training needs and may not be there yet: the weights it begins with, labels, canvases and drawn scenes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import torch
from canvases import Labelled, MapsAndFeatures, label_chunk
from compress import Large, compress
from drawings import FOLDERS, SQUARE, draw_chunk
from labels import Labeller, Labels, label_photographs, load_labels
from network import WIDER, Nano
from photographs import MissingData, everyday_photographs, split_photographs, teacher_path
from scales import CANVAS
from teachers import Detector, KeyPointTeacher, MapTeacher
from torch import Tensor

CANVAS_SEED = 1
# Photographs of everyday/ and of lspet/ with labels, and of lspet/ in all; and how many share a file.
EVERYDAY, SPORT, ALL_SPORT, LABELLED = 2_100, 500, 500, 100
LABEL_SEEDS = {"choosing": 1_000, "everyday": 2_000, "lspet": 3_000}
# Canvases that the beginning is fitted to.
FITTED, FIT_SEED = 40, 3
TEACHER_SHA256 = "52a9b180c5b3e7319949a06b2e7d1a934beaae3202b7a12e5bdc0fc89650ece0"


def beginning(data: Path, store: Path) -> dict[str, Tensor]:
    """The weights at step 0 (`compress.py`), from `store`/begin.pt; made first where it is not there.

    Raises:
        MissingData: the large network or the photographs are not there, or it is another version of it.
    """
    path = store / "begin.pt"
    if not path.is_file():
        large = checked_teacher(data)
        net = Nano(WIDER)
        compress(net, Large(large), fitting_pictures(data), report=print)
        temporary = path.with_suffix(".tmp")
        torch.save(net.state_dict(), temporary)
        temporary.replace(path)
    state: dict[str, Tensor] = torch.load(path, weights_only=True)
    return state


def checked_teacher(data: Path) -> Path:
    """Path of the large network, once its bytes are those that this recipe was made with."""
    path = teacher_path(data)
    came = hashlib.sha256(path.read_bytes()).hexdigest()
    if came != TEACHER_SHA256:
        raise MissingData(
            f"{path} is another version of human-pose-estimation-0001 than this recipe was made with: its SHA-256 is {came}, expected "
            f"{TEACHER_SHA256}. Put the version of 2018 (Open Model Zoo) with its weights in FP32 there"
        )
    return path


def fitting_pictures(data: Path) -> np.ndarray:
    """(FITTED, 256, 320, 3): everyday photographs about as large as they are judged."""
    paths, rng = everyday_photographs(data).train, np.random.default_rng(FIT_SEED)
    pictures = np.full((FITTED, 256, CANVAS, 3), 128, np.uint8)
    for picture in pictures:
        photo = cv2.imread(str(paths[int(rng.integers(len(paths)))]))
        scale = 256 / min(photo.shape[:2]) * float(rng.uniform(0.8, 1.2))
        photo = cv2.resize(photo, None, fx=scale, fy=scale)[:256, :CANVAS]
        picture[: photo.shape[0], : photo.shape[1]] = photo
    return pictures


def labelled(data: Path, store: Path) -> list[Labelled]:
    """The training photographs with what the teachers say of them, from `store`/labels; made first where it is not there."""
    everyday, sport = everyday_photographs(data).train[:EVERYDAY], split_photographs(data).train[:ALL_SPORT]
    labels: dict[str, Labels] = {}
    for name, paths in (("everyday", everyday), ("lspet", sport[:SPORT])):
        for first in range(0, len(paths), LABELLED):
            labels |= labels_of(data, store, name, first // LABELLED, list(paths[first : first + LABELLED]))
    return [Labelled(path, labels.get(path.name)) for path in (*everyday, *sport)]


def labels_of(data: Path, store: Path, name: str, number: int, paths: list[Path]) -> dict[str, Labels]:
    """Labels of one file's photographs, made where they are not there."""
    target = store / "labels" / f"{name}_{number:03d}.npz"
    if not target.is_file():
        heads = data / "weights" / "heads"
        labeller = Labeller(
            Detector(heads / "rtmdet-nano-person" / "rtmdet_nano_person_320.onnx"),
            KeyPointTeacher(heads / "pp-tinypose" / "pp_tinypose_256x192.onnx"),
            MapTeacher(teacher_path(data)),
        )
        label_photographs(paths, labeller, target, LABEL_SEEDS[name] + number)
    return load_labels(target)


def chunks(data: Path, store: Path, photographs: int, scenes: int, size_wh: tuple[int, int] = SQUARE) -> tuple[list[Path], list[Path]]:
    """Files of the chunks of canvases and of drawn scenes of a size, below `store`; made where absent."""
    folder = store / "canvases"
    pictures = [folder / f"{index:03d}.npz" for index in range(photographs)]
    if not all(path.is_file() for path in pictures):
        known, teacher = labelled(data, store), MapsAndFeatures(teacher_path(data))
        pictures = [label_chunk(known, teacher, index, folder, CANVAS_SEED) for index in range(photographs)]
    return pictures, [draw_chunk(index, store / FOLDERS[size_wh], size_wh) for index in range(scenes)]
