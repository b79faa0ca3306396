"""Crowded canvases made of photographs, each labelled once by the teacher.

A canvas is filled with shelves of photographs, flipped, turned and scaled, so that a crop of it shows people of many sizes,
some cut off. The teacher sees the canvas as the student will, so the labels need no warping.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

CANVAS = 320
CELLS = CANVAS // 8
MAPS = 57
HINTS = 32
CHUNK = 250
FEATURE = "relu4_4_CPM"
EARLY_FEATURE = "relu4_1/sep"
EARLY_HINTS = 64
MAP_SCALE = 120.0
HINT_SCALE = 28.0


def turned(photo: NDArray[np.uint8], scale: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A photograph flipped, turned by up to 20 degrees one time in three, and scaled; no corner is left empty."""
    if rng.random() < 0.5:
        photo = photo[:, ::-1]
    if rng.random() < 0.33:
        height, width = photo.shape[:2]
        angle = float(rng.uniform(-20, 20))
        matrix = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), angle, 1.1)
        photo = cv2.warpAffine(np.ascontiguousarray(photo), matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    size = (max(40, round(photo.shape[1] * scale)), max(40, round(photo.shape[0] * scale)))
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 0.6 else cv2.INTER_CUBIC), np.uint8)


def trimmed(photo: NDArray[np.uint8], limit_hw: tuple[int, int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """At most `limit_hw` of a photograph, from near its middle, where its person is."""
    keep = [
        min(side, limit, max(40, round(side * float(rng.uniform(0.7, 1.0))))) for side, limit in zip(photo.shape[:2], limit_hw, strict=True)
    ]
    top, left = (round((side - kept) * float(rng.uniform(0.3, 0.7))) for side, kept in zip(photo.shape[:2], keep, strict=True))
    return photo[top : top + keep[0], left : left + keep[1]]


def compose(photographs: Sequence[Path], seed: int) -> NDArray[np.uint8]:
    """Fill a canvas with photographs.

    Args:
        photographs: where to draw from; people in them are about 130 px tall.
        seed: decides everything.

    Returns:
        (320, 320, 3) uint8 BGR.
    """
    rng = np.random.default_rng(seed)
    canvas: NDArray[np.uint8] = np.full((CANVAS, CANVAS, 3), 128, np.uint8)
    base = float(np.exp(rng.uniform(np.log(0.4), np.log(1.9))))
    top = 0
    while top < CANVAS - 24:
        left, shelf = 0, 0
        while left < CANVAS - 24:
            photo = cv2.imread(str(photographs[int(rng.integers(len(photographs)))]))
            photo = turned(photo, base * float(rng.uniform(0.8, 1.25)), rng)
            room = (CANVAS - top if shelf == 0 else min(shelf, CANVAS - top), CANVAS - left)
            part = trimmed(photo, room, rng)
            shelf = shelf or part.shape[0]
            canvas[top : top + part.shape[0], left : left + part.shape[1]] = part
            left += part.shape[1]
        top += shelf
    return canvas


class Teacher:
    """The teacher with its last common feature map laid open as an output."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        import onnx
        import onnxruntime

        model = onnx.load(str(path))
        model.graph.output.append(onnx.helper.make_tensor_value_info(FEATURE, onnx.TensorProto.FLOAT, None))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def label(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(57, h, w) maps, heat maps first, and the (128, h, w) feature map of a (H, W, 3) BGR picture."""
        tensor = np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)
        heatmaps, pafs, feature = self.session.run(["Mconv7_stage2_L2", "Mconv7_stage2_L1", FEATURE], {"data": tensor})
        return np.concatenate([heatmaps[0], pafs[0]]), feature[0]


def principal_basis(features: NDArray[np.float32], count: int = HINTS) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean (c,) and a whitening basis (count, c) of features (c, n): the directions in which the teacher varies most."""
    mean = features.mean(axis=1)
    values, vectors = np.linalg.eigh(np.cov(features.astype(np.float64)))
    order = np.argsort(values)[::-1][:count]
    return mean.astype(np.float32), (vectors[:, order] / np.sqrt(values[order])).T.astype(np.float32)


def label_chunk(photographs: Sequence[Path], teacher: Teacher, chunk: int, store: Path, seed: int) -> Path:
    """Compose, label and store `CHUNK` canvases; a chunk that is there already is kept.

    Stored in `store`/NNN.npz: images (n, 320, 320, 3) uint8; maps (n, 57, 40, 40) int8, times MAP_SCALE; hints (n, 32, 40, 40)
    int8, times HINT_SCALE.
    """
    target = store / f"{chunk:03d}.npz"
    if target.is_file():
        return target
    store.mkdir(parents=True, exist_ok=True)
    images = np.empty((CHUNK, CANVAS, CANVAS, 3), np.uint8)
    maps = np.empty((CHUNK, MAPS, CELLS, CELLS), np.int8)
    hints = np.empty((CHUNK, HINTS, CELLS, CELLS), np.int8)
    basis_path = store / "basis.npz"
    if not basis_path.is_file():
        sample = [teacher.label(compose(photographs, seed * 1_000_000 + 900_000 + index))[1].reshape(128, -1) for index in range(40)]
        mean, basis = principal_basis(np.concatenate(sample, axis=1))
        np.savez(basis_path, mean=mean, basis=basis)
    with np.load(basis_path) as stored:
        mean, basis = stored["mean"], stored["basis"]
    for index in range(CHUNK):
        images[index] = compose(photographs, seed * 1_000_000 + chunk * CHUNK + index)
        labels, feature = teacher.label(images[index])
        maps[index] = np.clip(np.round(labels * MAP_SCALE), -127, 127)
        hint = np.tensordot(basis, feature - mean[:, None, None], axes=1)
        hints[index] = np.clip(np.round(hint * HINT_SCALE), -127, 127)
    temporary = store / f".{chunk:03d}.npz"
    np.savez(temporary, images=images, maps=maps, hints=hints)
    temporary.replace(target)
    return target


class EarlyTeacher:
    """The teacher up to its first layers at stride 8: what corners, edges and textures it tells apart."""

    def __init__(self, path: Path) -> None:
        import onnx
        import onnxruntime
        from onnx.utils import Extractor

        model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
        part = Extractor(model).extract_model(["data"], [EARLY_FEATURE])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(part.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def feature(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(256, h, w) of a (H, W, 3) BGR picture."""
        tensor = np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)
        feature: NDArray[np.float32] = self.session.run(None, {"data": tensor})[0][0]
        return feature


def early_chunk(chunk: Path, teacher: EarlyTeacher, store: Path) -> Path:
    """Early hints of a stored chunk, as `store`/early/NAME.npy: (n, 64, 40, 40) int8, times HINT_SCALE; kept if it is there already."""
    folder = store / "early"
    folder.mkdir(exist_ok=True)
    target = folder / f"{'scenes' if chunk.parent.name == 'scenes' else 'photographs'}_{chunk.stem}.npy"
    if target.is_file():
        return target
    with np.load(chunk) as stored:
        images = stored["images"]
    basis_path = folder / "basis.npz"
    if not basis_path.is_file():
        mean, basis = principal_basis(
            np.concatenate([teacher.feature(image).reshape(256, -1) for image in images[:40]], axis=1), EARLY_HINTS
        )
        np.savez(basis_path, mean=mean, basis=basis)
    with np.load(basis_path) as stored:
        mean, basis = stored["mean"], stored["basis"]
    hints = np.empty((len(images), EARLY_HINTS, CELLS, CELLS), np.int8)
    for index, image in enumerate(images):
        hint = np.tensordot(basis, teacher.feature(image) - mean[:, None, None], axes=1)
        hints[index] = np.clip(np.round(hint * HINT_SCALE), -127, 127)
    temporary = folder / f".{target.name}"
    np.save(temporary, hints)
    temporary.replace(target)
    return target
