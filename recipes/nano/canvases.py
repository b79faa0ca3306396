"""Training canvases: photographs side by side, some alone and some of parts where nobody is, each labelled once.

What the teachers said of each photograph (`labels.py`) moves with it. The network of maps sees the canvas as the student will, so that
its maps and features need no warping.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from drawings import SIGMA
from labels import Labels
from numpy.typing import NDArray
from scales import CANVAS, CELLS, CHUNK, FEATURE_SCALE, MAP_SCALE, MAPS, WEIGHT_SCALE

from posetrt.calib.scenes.targets import draw_targets
from posetrt.runtime.heads.paf.layout import load_layout

FEATURES = 128
PARTS = 18
FEATURE = "relu4_4_CPM"
# Where the teachers agree, how much of the target is the paper's, the rest being the teacher's maps; and the weight where they differ.
PAPER, DOUBT = 0.6, 0.25
# Shares of canvases with one photograph, with nobody; of places of a mosaic with nobody.
ALONE, NOBODY, EMPTY_PLACES = 0.4, 0.12, 0.12
PAD = 128
# Of chunks from this one on, the share of canvases that a person's head and shoulders fill; how far the nose is from the neck then, in px.
CLOSE_FROM, CLOSE = 24, 0.12
NOSE_TO_NECK = (45.0, 120.0)
NOSE, NECK = 0, 1


class MapsAndFeatures:
    """The network of maps with its last common feature map laid open as an output."""

    def __init__(self, path: Path) -> None:
        import onnx
        import onnxruntime

        model = onnx.load(str(path))
        model.graph.output.append(onnx.helper.make_tensor_value_info(FEATURE, onnx.TensorProto.FLOAT, None))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def label(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(57, h, w) maps, heat maps first, and the (128, h, w) feature map of a (H, W, 3) BGR picture."""
        tensor = np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)
        heatmaps, pafs, feature = self.session.run(["Mconv7_stage2_L2", "Mconv7_stage2_L1", FEATURE], {"data": tensor})
        return np.concatenate([heatmaps[0], pafs[0]]), feature[0]


@dataclass(frozen=True)
class Labelled:
    """A photograph, and what the teachers say of it; None for one that only the network of maps sees."""

    path: Path
    labels: Labels | None


@dataclass(frozen=True)
class Canvas:
    """A composed canvas.

    Attributes:
        image: (320, 320, 3) uint8 BGR.
        people: (n, 18, 3) in its pixels, scores as in `Labels`.
        doubtful: (m, 4): boxes to mask, also of photographs without labels.
    """

    image: NDArray[np.uint8]
    people: NDArray[np.float32]
    doubtful: NDArray[np.float32]


class Composer:
    """Fills a canvas."""

    def __init__(self, photographs: Sequence[Labelled], rng: np.random.Generator, close: float = 0.0) -> None:
        self.photographs, self.rng, self.close = photographs, rng, close
        self.empty = [index for index, one in enumerate(photographs) if one.labels is not None and len(one.labels.empty)]
        self.image: NDArray[np.uint8] = np.full((CANVAS, CANVAS, 3), PAD, np.uint8)
        self.people: list[NDArray[np.float32]] = []
        self.doubtful: list[NDArray[np.float32]] = []

    def compose(self) -> Canvas:
        """One photograph and grey, or a mosaic, or a mosaic without people."""
        if self.close and self.rng.random() < self.close and self.portrait():
            return self.composed()
        kind = self.rng.random()
        if kind < ALONE:
            self.alone()
        else:
            nobody = kind > 1 - NOBODY and bool(self.empty)
            self.divide((0, 0, CANVAS, CANVAS), int(self.rng.integers(0, 3)), nobody)
        return self.composed()

    def composed(self) -> Canvas:
        """What has been put on the canvas so far."""
        people = np.array(self.people, np.float32).reshape(-1, PARTS, 3)
        return Canvas(self.image, people, np.array(self.doubtful, np.float32).reshape(-1, 4))

    def alone(self) -> None:
        """A photograph as it is judged: 256 px high or a little more or less, at the top left, grey beyond."""
        one = self.photographs[int(self.rng.integers(len(self.photographs)))]
        photo = cv2.imread(str(one.path))
        scale = 256 / photo.shape[0] * float(np.exp(self.rng.uniform(np.log(0.8), np.log(1.4))))
        width, height = (min(CANVAS, round(side * scale)) for side in (photo.shape[1], photo.shape[0]))
        room = max(0, round(photo.shape[1] * scale) - CANVAS)
        self.put(one, photo, (0, 0, width, height), scale, (-float(self.rng.uniform(0, room)), 0.0), 0.0)

    def portrait(self) -> bool:
        """One person so near that head and shoulders fill the canvas; False where no photograph of a few shows a face."""
        for _ in range(20):
            one = self.photographs[int(self.rng.integers(len(self.photographs)))]
            faces = [] if one.labels is None else [each for each in one.labels.people if (each[[NOSE, NECK], 2] > 0).all()]
            if not faces:
                continue
            photo = cv2.imread(str(one.path))
            nose, neck = faces[int(self.rng.integers(len(faces)))][[NOSE, NECK], :2]
            far = float(np.hypot(*(nose - neck)))
            least = max(CANVAS / side for side in photo.shape[:2])
            scale = max(least, float(np.exp(self.rng.uniform(*np.log(NOSE_TO_NECK)))) / max(far, 1.0))
            if scale > 6:
                continue
            middle = scale * (nose + neck) / 2 - CANVAS / 2 + self.rng.uniform(-60, 60, 2)
            furthest = scale * np.float64([photo.shape[1], photo.shape[0]]) - CANVAS
            corner = -np.clip(middle, 0, furthest)
            self.put(one, photo, (0, 0, CANVAS, CANVAS), scale, (float(corner[0]), float(corner[1])), 0.0)
            return True
        return False

    def divide(self, place: tuple[int, int, int, int], depth: int, nobody: bool) -> None:
        """Halve a place (x0, y0, x1, y1) `depth` times, and fill what is left."""
        x0, y0, x1, y1 = place
        if depth == 0:
            self.fill(place, nobody or (bool(self.empty) and self.rng.random() < EMPTY_PLACES))
            return
        share = float(self.rng.uniform(0.35, 0.65))
        if (x1 - x0) * self.rng.uniform(0.7, 1.4) > y1 - y0:
            middle = 8 * round((x0 + share * (x1 - x0)) / 8)
            parts = (x0, y0, middle, y1), (middle, y0, x1, y1)
        else:
            middle = 8 * round((y0 + share * (y1 - y0)) / 8)
            parts = (x0, y0, x1, middle), (x0, middle, x1, y1)
        for part in parts:
            self.divide(part, depth - 1, nobody)

    def fill(self, place: tuple[int, int, int, int], nobody: bool) -> None:
        """Fill a place with part of a photograph, or with a part where nobody is."""
        wide, high = place[2] - place[0], place[3] - place[1]
        chosen = self.rng.choice(self.empty) if nobody else self.rng.integers(len(self.photographs))
        one = self.photographs[int(chosen)]
        photo = cv2.imread(str(one.path))
        if nobody and one.labels is not None:
            x0, y0, x1, y1 = one.labels.empty[int(self.rng.integers(len(one.labels.empty)))].astype(int)
            photo = photo[y0:y1, x0:x1]
            one = Labelled(one.path, Labels(*(np.zeros(shape, np.float32) for shape in ((0, 18, 3), (0, 4), (0, 4)))))
        angle = float(self.rng.uniform(-20, 20)) if self.rng.random() < 0.3 else 0.0
        least = max(wide / photo.shape[1], high / photo.shape[0]) * (1.2 if angle else 1.0)
        scale = max(least, 256 / photo.shape[0] * float(np.exp(self.rng.uniform(np.log(0.5), np.log(1.6)))))
        spare = [wide - photo.shape[1] * scale, high - photo.shape[0] * scale]
        shift = tuple(float(min(0.0, one_way) * self.rng.uniform(0.15, 0.85)) for one_way in spare)
        self.put(one, photo, place, scale, (place[0] + shift[0], place[1] + shift[1]), angle)

    def put(
        self,
        one: Labelled,
        photo: NDArray[np.uint8],
        place: tuple[int, int, int, int],
        scale: float,
        corner: tuple[float, float],
        angle: float,
    ) -> None:
        """Draw a photograph scaled and turned into a place, its top left pixel at `corner`, and what is known of it."""
        x0, y0, x1, y1 = place
        middle = np.float64([photo.shape[1] - 1, photo.shape[0] - 1]) / 2
        turn = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), angle, scale)
        turn[:, 2] += scale * middle - middle + np.float64(corner)
        if scale < 0.6:
            photo = np.asarray(cv2.GaussianBlur(photo, (0, 0), 0.35 / scale), np.uint8)
        inside = turn - np.float64([[0, 0, x0], [0, 0, y0]])
        self.image[y0:y1, x0:x1] = cv2.warpAffine(
            photo, inside, (x1 - x0, y1 - y0), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        )
        if one.labels is None:
            self.doubtful.append(np.float32([x0, y0, x1, y1]))
            return
        low, high = np.float64([x0, y0]), np.float64([x1, y1])
        for person in one.labels.people:
            moved = person.copy()
            moved[:, :2] = person[:, :2] @ turn[:, :2].T + turn[:, 2]
            beyond = ((moved[:, :2] < low) | (moved[:, :2] > high - 1)).any(axis=1)
            moved[beyond, 2] = 0
            if (moved[:, 2] != 0).any():
                self.people.append(moved)
        for box in one.labels.doubtful:
            corners = box[[[0, 1], [2, 1], [2, 3], [0, 3]]] @ turn[:, :2].T + turn[:, 2]
            first, last = np.maximum(corners.min(axis=0), low), np.minimum(corners.max(axis=0), high)
            if (first < last).all():
                self.doubtful.append(np.concatenate([first, last]).astype(np.float32))


def targets_of(canvas: Canvas, maps: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(57, 40, 40) of what to learn and of its weight: the paper's targets with the teacher's maps, the latter alone where it is masked."""
    drawn = draw_targets(canvas.people, load_layout("coco18"), (CANVAS, CANVAS), sigma=SIGMA, ignore=canvas.doubtful)
    paper, known = np.concatenate([drawn.heatmaps, drawn.pafs]), np.concatenate([drawn.heatmap_mask, drawn.paf_mask])
    share = PAPER * known
    return share * paper + (1 - share) * maps, DOUBT + (1 - DOUBT) * known


def label_chunk(photographs: Sequence[Labelled], teacher: MapsAndFeatures, chunk: int, store: Path, seed: int) -> Path:
    """Compose, label and store `CHUNK` canvases; a chunk that is there already is kept.

    Stored in `store`/NNN.npz: images (n, 320, 320, 3) uint8; maps (n, 57, 40, 40) int8, times MAP_SCALE; weights (n, 57, 40, 40) uint8, times
    WEIGHT_SCALE; features (n, 128, 40, 40) uint8 of the teacher, times FEATURE_SCALE.
    """
    target = store / f"{chunk:03d}.npz"
    if target.is_file():
        return target
    store.mkdir(parents=True, exist_ok=True)
    images = np.empty((CHUNK, CANVAS, CANVAS, 3), np.uint8)
    maps = np.empty((CHUNK, MAPS, CELLS, CELLS), np.int8)
    weights = np.empty((CHUNK, MAPS, CELLS, CELLS), np.uint8)
    features = np.empty((CHUNK, FEATURES, CELLS, CELLS), np.uint8)
    close = CLOSE if chunk >= CLOSE_FROM else 0.0
    for index in range(CHUNK):
        canvas = Composer(photographs, np.random.default_rng((seed, chunk * CHUNK + index)), close).compose()
        given, feature = teacher.label(canvas.image)
        wanted, weight = targets_of(canvas, given)
        images[index] = canvas.image
        maps[index] = np.clip(np.round(wanted * MAP_SCALE), -127, 127)
        weights[index] = np.round(weight * WEIGHT_SCALE)
        features[index] = np.clip(np.round(feature * FEATURE_SCALE), 0, 255)
    temporary = store / f".{chunk:03d}.npz"
    np.savez(temporary, images=images, maps=maps, weights=weights, features=features)
    temporary.replace(target)
    return target
