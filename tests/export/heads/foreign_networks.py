"""Small networks in PyTorch that end as the families' own exporters end them: random weights, real graphs.

Each gives its outputs' names, in the exporter's order, beside the module. `write` exports one as ONNX.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

STRIDES = (8, 16, 32)
ANCHORS = {
    8: (12, 16, 19, 36, 40, 28),
    16: (36, 75, 76, 55, 72, 146),
    32: (142, 110, 192, 243, 459, 401),
    64: (600, 500, 700, 800, 900, 900),
}


@dataclass(frozen=True)
class Network:
    """A network and how its family exports it.

    Attributes:
        module: takes (N, 3, H, W), or (N, H, W, 3) where its authors do.
        size_wh: of its input.
        outputs: names that its exporter gives them.
        name: of its input.
        metadata: that its exporter writes into the file.
        nhwc, dtype: of its input.
        batched: whether its input has the batch's axis.
    """

    module: nn.Module
    size_wh: tuple[int, int]
    outputs: tuple[str, ...]
    name: str = "images"
    metadata: Mapping[str, str] = field(default_factory=dict)
    nhwc: bool = False
    dtype: torch.dtype = torch.float32
    batched: bool = True

    def picture(self) -> Tensor:
        """Noise as the network takes it."""
        width, height = self.size_wh
        if not self.batched:
            return torch.rand((3, height, width), generator=torch.Generator().manual_seed(0))
        shape = (1, height, width, 3) if self.nhwc else (1, 3, height, width)
        noise = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        return (noise if self.dtype.is_floating_point else noise * 255).to(self.dtype)


def write(network: Network, path: Path, *, opset: int = 17, dynamo: bool = False, dynamic: tuple[int, ...] = ()) -> Path:
    """Export a network. `dynamic` lists the axes of the picture that stay open."""
    import onnx

    axes = {0: "batch", 2: "height", 3: "width"}
    if dynamo:
        shapes = (dict.fromkeys(dynamic, torch.export.Dim.DYNAMIC),) if dynamic else None
        keywords: dict[str, Any] = {"dynamic_shapes": shapes, "dynamo": True, "verbose": False}
    else:
        names = (network.name,) if set(dynamic) - {0} else (network.name, *network.outputs)
        keywords = {"dynamic_axes": {network.name: {axis: axes[axis] for axis in dynamic}} if dynamic else None, "dynamo": False}
    # PyTorch takes no numbers as names, which older versions of it gave.
    names = [f"o{name}" if name.isdigit() else name for name in network.outputs]
    file = io.BytesIO()
    with warnings.catch_warnings():
        # PyTorch warns of its older exporter, and of traced shapes.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.module.eval(), (network.picture(),), file if not dynamo else str(path), opset_version=opset,
            input_names=[network.name], output_names=names, **keywords,
        )  # fmt: skip
    model = onnx.load(str(path)) if dynamo else onnx.load_from_string(file.getvalue())
    for made, name in zip(names, network.outputs, strict=True):
        if made != name:
            _rename(model, made, name)
    for key, value in network.metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, str(path))
    return path


def _rename(model: Any, old: str, new: str) -> None:
    for node in model.graph.node:
        node.output[:] = [new if name == old else name for name in node.output]
        node.input[:] = [new if name == old else name for name in node.input]
    for value in model.graph.output:
        value.name = new if value.name == old else value.name


class Trunk(nn.Module):
    """Maps of some strides, of 32 channels each."""

    def __init__(self, strides: tuple[int, ...] = STRIDES, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.strides = strides
        steps = max(strides).bit_length() - 1
        self.steps = nn.ModuleList(
            nn.Sequential(nn.Conv2d(3 if step == 0 else 32, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU()) for step in range(steps)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for step, layer in enumerate(self.steps):
            x = layer(x)
            if 2 ** (step + 1) in self.strides:
                found.append(x)
        return found


def grid(x: Tensor, middle: float) -> Tensor:
    """(1, 2, h * w): column and row of each cell."""
    rows, columns = torch.meshgrid(torch.arange(x.shape[2]) + middle, torch.arange(x.shape[3]) + middle, indexing="ij")
    return torch.stack([columns, rows]).reshape(1, 2, -1).to(x.dtype)


def _convs(channels: int, count: int, bias: float = 0.0) -> nn.ModuleList:
    made = nn.ModuleList(nn.Conv2d(32, channels, 1) for _ in range(count))
    for layer in made:
        layer.bias.data += bias
    return made


class Ultralytics(nn.Module):
    """YOLO v8, 11 and, end to end, v10 and 26: distributions of distances (or distances), class scores, key points."""

    def __init__(self, classes: int = 80, parts: int = 0, values: int = 3, bins: int = 16, *, end_to_end: bool = False) -> None:
        super().__init__()
        self.trunk, self.bins, self.parts, self.values, self.end = Trunk(), bins, parts, values, end_to_end
        self.classes = classes
        self.boxes, self.scores = _convs(4 * bins, 3, 1.0 if bins == 1 else 0.0), _convs(classes, 3, -5.0)
        self.points = _convs(parts * values, 3) if parts else None

    def forward(self, x: Tensor) -> Tensor:
        levels = self.trunk(x)
        anchors = torch.cat([grid(each, 0.5) for each in levels], 2)
        strides = torch.cat([torch.full((1, 1, each.shape[2] * each.shape[3]), s) for each, s in zip(levels, STRIDES, strict=True)], 2)
        box = torch.cat([layer(each).flatten(2) for layer, each in zip(self.boxes, levels, strict=True)], 2)
        score = torch.cat([layer(each).flatten(2) for layer, each in zip(self.scores, levels, strict=True)], 2).sigmoid()
        if self.bins > 1:
            share = box.view(box.shape[0], 4, self.bins, -1).transpose(2, 1).softmax(1)
            box = (share * torch.arange(self.bins).float().view(1, -1, 1, 1)).sum(1)
        low, high = anchors - box[:, :2], anchors + box[:, 2:]
        pair = (low, high) if self.end else ((low + high) / 2, high - low)
        columns = [torch.cat(pair, 1) * strides, score]
        if self.points is not None:
            points = torch.cat([layer(each).flatten(2) for layer, each in zip(self.points, levels, strict=True)], 2)
            points = points.view(points.shape[0], self.parts, self.values, -1)
            place = (points[:, :, :2] * 2 + (anchors[:, None] - 0.5)) * strides[:, None]
            points = torch.cat([place, points[:, :, 2:].sigmoid()], 2) if self.values == 3 else place
            columns.append(points.reshape(points.shape[0], self.parts * self.values, -1))
        found = torch.cat(columns, 1)
        return self._best(found.transpose(1, 2)) if self.end else found

    def _best(self, rows: Tensor) -> Tensor:
        boxes, scores, extra = rows.split([4, self.classes, self.parts * self.values], -1)
        best = scores.amax(-1).topk(300)[1].unsqueeze(-1)
        scores = scores.gather(1, best.repeat(1, 1, self.classes))
        score, index = scores.flatten(1).topk(300)
        at = best[torch.arange(rows.shape[0])[:, None], index // self.classes]
        found = [boxes.gather(1, at.repeat(1, 1, 4)), score[..., None], (index % self.classes)[..., None].float()]
        if self.parts:
            found.append(extra.gather(1, at.repeat(1, 1, extra.shape[2])))
        return torch.cat(found, -1)


class Anchored(nn.Module):
    """YOLO v5 and, with key points, v7: three anchors per cell."""

    def __init__(self, classes: int = 80, parts: int = 0, strides: tuple[int, ...] = STRIDES, *, decoded: bool = True) -> None:
        super().__init__()
        self.trunk, self.strides, self.decoded = Trunk(strides), strides, decoded
        self.columns, self.classes = 5 + classes + 3 * parts, classes
        self.heads = _convs(3 * self.columns, len(strides), -1.0)

    def forward(self, x: Tensor) -> Any:
        found, raw = [], []
        for layer, each, stride in zip(self.heads, self.trunk(x), self.strides, strict=True):
            rows, columns = each.shape[2:]
            values = layer(each).view(-1, 3, self.columns, rows, columns).permute(0, 1, 3, 4, 2)
            raw.append(values)
            cell = grid(each, 0.0).view(1, 1, 2, rows, columns).permute(0, 1, 3, 4, 2)
            sizes = torch.tensor(ANCHORS[stride], dtype=torch.float32).view(1, 3, 1, 1, 2)
            first = 5 + self.classes
            sure = values[..., :first].sigmoid()
            xy, wh = (sure[..., :2] * 2 - 0.5 + cell) * stride, (sure[..., 2:4] * 2) ** 2 * sizes
            parts = [xy, wh, sure[..., 4:]]
            if self.columns > first:
                points = values[..., first:].reshape(*values.shape[:-1], -1, 3)
                place = (points[..., :2] * 2 - 0.5 + cell[..., None, :]) * stride
                parts.append(torch.cat([place, points[..., 2:].sigmoid()], -1).flatten(-2))
            found.append(torch.cat(parts, -1).view(values.shape[0], -1, self.columns))
        return torch.cat(found, 1) if self.decoded else tuple(raw)


class Yolox(nn.Module):
    """Raw as Megvii exports it, or with the grid added."""

    def __init__(self, classes: int = 80, *, decoded: bool = False, parts: int = 0) -> None:
        super().__init__()
        self.trunk, self.decoded, self.parts = Trunk(), decoded, parts
        self.boxes, self.scores, self.points = _convs(4, 3), _convs(1 + classes, 3, -3.0), _convs(3 * parts, 3) if parts else None

    def forward(self, x: Tensor) -> Tensor:
        levels, found = self.trunk(x), []
        for index, (each, stride) in enumerate(zip(levels, STRIDES, strict=True)):
            box = self.boxes[index](each)
            parts = [box.flatten(2), self.scores[index](each).sigmoid().flatten(2)]
            if self.decoded:
                parts[0] = torch.cat([(parts[0][:, :2] + grid(each, 0.0)) * stride, parts[0][:, 2:].exp() * stride], 1)
            if self.points is not None:
                points = self.points[index](each).flatten(2)
                points = points.view(points.shape[0], self.parts, 3, -1)
                if self.decoded:
                    place = (points[:, :, :2] + grid(each, 0.0)[:, None]) * stride
                    points = torch.cat([place, points[:, :, 2:].sigmoid()], 2)
                parts.append(points.flatten(1, 2))
            found.append(torch.cat(parts, 1))
        return torch.cat(found, 2).permute(0, 2, 1)


class NanoDet(nn.Module):
    """NanoDet-Plus: classes, then a distribution of 8 distances to each side; or, as the first NanoDet, outputs for each level."""

    def __init__(self, *, levels: bool = False) -> None:
        super().__init__()
        self.levels = levels
        self.strides = STRIDES if levels else (8, 16, 32, 64)
        self.trunk = Trunk(self.strides)
        self.scores, self.boxes = _convs(80, len(self.strides), -4.0), _convs(32, len(self.strides))

    def forward(self, x: Tensor) -> Any:
        found = [
            (score(each).sigmoid().flatten(2).permute(0, 2, 1), box(each).flatten(2).permute(0, 2, 1))
            for each, score, box in zip(self.trunk(x), self.scores, self.boxes, strict=True)
        ]
        if self.levels:
            return tuple(score for score, _ in found) + tuple(box for _, box in found)
        return torch.cat([torch.cat(each, 2) for each in found], 1)


class Suppressed(nn.Module):
    """What OpenMMLab's deploy tool puts behind RTMDet and RTMO: the 100 best by score, boxes with scores, labels or key points."""

    def __init__(self, parts: int = 0, classes: int = 1, kept: int = 100, least: float | None = None) -> None:
        super().__init__()
        self.trunk, self.parts, self.classes, self.kept, self.least = Trunk((16,)), parts, classes, kept, least
        self.heads = _convs(classes + 4 + 3 * parts, 1, -1.0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        (each,) = self.trunk(x)
        values = self.heads[0](each).flatten(2).permute(0, 2, 1)
        place = ((grid(each, 0.5)) * 16).permute(0, 2, 1)
        scores, labels = values[..., : self.classes].sigmoid().max(-1)
        near = values[..., self.classes : self.classes + 4].exp() * 32
        score, best = scores.topk(self.kept)
        if self.least is not None:
            # As many rows as there are people: the graph's own shape depends on the picture.
            sure = (score[0] > self.least).nonzero()[:, 0]
            score, best = score[:, sure], best[:, sure]
        boxes = torch.cat([place - near[..., :2], place + near[..., 2:]], -1)
        boxes = torch.cat([boxes.gather(1, best[..., None].expand(-1, -1, 4)), score[..., None]], -1)
        if not self.parts:
            return boxes, labels.gather(1, best)
        points = values[..., -3 * self.parts :].reshape(values.shape[0], -1, self.parts, 3)
        points = torch.cat([place[:, :, None] + 30 * points[..., :2], points[..., 2:].sigmoid()], -1)
        return boxes, points.gather(1, best[..., None, None].expand(-1, -1, self.parts, 3))


class YoloNas(nn.Module):
    """YOLO-NAS-Pose: raw, in super-gradients' flat form or in its batch form, behind its NMS (here: the best by score)."""

    def __init__(self, form: str, kept: int = 100) -> None:
        super().__init__()
        self.trunk, self.form, self.kept = Trunk(), form, kept
        self.heads = _convs(5 + 51, 3, -1.0)

    def forward(self, x: Tensor) -> Any:
        boxes, scores, points, seen = [], [], [], []
        for layer, each, stride in zip(self.heads, self.trunk(x), STRIDES, strict=True):
            values = layer(each).flatten(2).permute(0, 2, 1)
            place = ((grid(each, 0.5)) * stride).permute(0, 2, 1)
            near = values[..., 1:5].exp() * stride
            boxes.append(torch.cat([place - near[..., :2], place + near[..., 2:]], -1))
            scores.append(values[..., :1].sigmoid())
            each_point = values[..., 5:].reshape(values.shape[0], -1, 17, 3)
            points.append(place[:, :, None] + each_point[..., :2] * stride)
            seen.append(each_point[..., 2].sigmoid())
        box, score, point, sure = (torch.cat(each, 1) for each in (boxes, scores, points, seen))
        if self.form == "raw":
            return box, score, point, sure
        value, best = score[..., 0].topk(self.kept)
        if self.form == "flat, nobody":
            keep = (value[0] > 0.99).nonzero()[:, 0]
            value, best = value[:, keep], best[:, keep]
        box, sure = (each.gather(1, best[..., None].expand(-1, -1, each.shape[2])) for each in (box, sure))
        point = torch.cat([point.gather(1, best[..., None, None].expand(-1, -1, 17, 2)), sure[..., None]], -1)
        if self.form == "batch":
            return (value > 0.3).sum(1, keepdim=True), box, value, point
        frame = torch.zeros_like(value[..., None])
        return torch.cat([frame, box, value[..., None], point.reshape(1, -1, 51)], -1)[0]


class Maps(nn.Module):
    """Heat maps of one stride, and whatever else of the same or another stride.

    Args:
        heads: channels and stride of each output.
        sigmoid: whether the values are probabilities.
        nhwc: picture and maps have their channels last, as graphs that come of TensorFlow do.
    """

    def __init__(self, *heads: tuple[int, int], sigmoid: tuple[bool, ...] = (), nhwc: bool = False, last: bool = False) -> None:
        super().__init__()
        self.trunk = Trunk(tuple(sorted({stride for _, stride in heads})))
        self.heads = nn.ModuleList(nn.Conv2d(32, channels, 1) for channels, _ in heads)
        self.at = [self.trunk.strides.index(stride) for _, stride in heads]
        self.sigmoid, self.nhwc, self.last = sigmoid or (False,) * len(heads), nhwc, last
        for layer in self.heads:
            layer.weight.data *= 0.2
            layer.bias.data.zero_()

    def forward(self, x: Tensor) -> Any:
        if x.dtype != torch.float32:
            x = x.float() / 255
        levels = self.trunk(x.permute(0, 3, 1, 2) if self.nhwc else x)
        found = [head(levels[at]) for head, at in zip(self.heads, self.at, strict=True)]
        found = [each.sigmoid() if sure else each for each, sure in zip(found, self.sigmoid, strict=True)]
        if self.nhwc:
            found = [each.permute(0, 2, 3, 1) for each in found]
        if self.last:
            found[-1] = found[-1].unsqueeze(-1)
        return tuple(found) if len(found) > 1 else found[0]


class Simcc(nn.Module):
    """RTMPose's two distributions for each part."""

    def __init__(self, parts: int, size_wh: tuple[int, int], ratio: float = 2.0) -> None:
        super().__init__()
        self.trunk = Trunk((32,))
        cells = size_wh[0] // 32 * (size_wh[1] // 32)
        self.parts = nn.Conv2d(32, parts, 7, padding=3)
        self.x, self.y = nn.Linear(cells, int(size_wh[0] * ratio), bias=False), nn.Linear(cells, int(size_wh[1] * ratio), bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = self.parts(self.trunk(x)[0]).flatten(2)
        return self.x(found), self.y(found)


class Regressed(nn.Module):
    """Coordinates from one vector: MediaPipe's landmarks in pixels with their 'world' outputs, MoveNet's one person, DeepPose."""

    def __init__(self, form: str, size: int) -> None:
        super().__init__()
        self.trunk, self.form, self.size = Trunk((32,)), form, size
        rows, columns = {"hand": (21, 3), "blazepose": (39, 5), "movenet": (17, 3), "deeppose": (17, 2), "rle": (17, 4), "face": (468, 3)}[
            form
        ]
        self.rows, self.columns = rows, columns
        self.points = nn.Linear(32, rows * columns)
        self.world, self.flag, self.map = nn.Linear(32, rows * 3), nn.Linear(32, 1), nn.Conv2d(32, 39, 1)

    def forward(self, x: Tensor) -> Any:
        if x.dtype != torch.float32:
            x = x.float() / 255
        (level,) = self.trunk(x.permute(0, 3, 1, 2) if self.form in ("hand", "blazepose", "movenet", "face") else x)
        pooled = level.mean((2, 3))
        points = self.points(pooled).view(-1, self.rows, self.columns)
        if self.form in ("deeppose", "rle"):
            place, rest = points[..., :2].sigmoid(), points[..., 2:].sigmoid()
            return torch.cat([place, rest], -1)
        if self.form == "movenet":
            return points.sigmoid()[:, None]
        place = points[..., :2].sigmoid() * self.size
        points = torch.cat([place, 10 * points[..., 2:]], -1).flatten(1)
        flag, world = self.flag(pooled).sigmoid(), 0.3 * self.world(pooled)
        if self.form == "face":
            return points.view(-1, 1, 1, self.rows * 3), self.flag(pooled).view(-1, 1, 1, 1)
        if self.form == "hand":
            return points, flag, self.flag(pooled + 1).sigmoid(), world
        maps = self.map(level).permute(0, 2, 3, 1)
        return points, flag, maps[..., :1].sigmoid(), maps, world


class KeyPointRcnn(nn.Module):
    """torchvision's Keypoint R-CNN: one picture (3, H, W), as many rows as there are, classes from 1, logits of visibility."""

    def __init__(self, least: float | None = None) -> None:
        super().__init__()
        self.rows = Suppressed(17, kept=20, least=least)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        boxes, points = self.rows(x[None])
        return boxes[0, :, :4], torch.ones_like(boxes[0, :, 4]).long(), boxes[0, :, 4], points[0], points[0, :, :, 2] * 9 - 3


class Ssd(nn.Module):
    """Boxes as steps from anchors, class scores before the softmax; with the anchors as an output or without."""

    def __init__(self, *, priors: bool, classes: int = 21) -> None:
        super().__init__()
        self.trunk, self.priors, self.classes = Trunk((16, 32)), priors, classes
        self.boxes, self.scores = _convs(4 * 2, 2), _convs(2 * classes, 2)

    def forward(self, x: Tensor) -> Any:
        levels = self.trunk(x)
        boxes = [layer(each).permute(0, 2, 3, 1).reshape(each.shape[0], -1, 4) for layer, each in zip(self.boxes, levels, strict=True)]
        scores = [
            layer(each).permute(0, 2, 3, 1).reshape(each.shape[0], -1, self.classes)
            for layer, each in zip(self.scores, levels, strict=True)
        ]
        box, score = torch.cat(boxes, 1), torch.cat(scores, 1).softmax(-1)
        if not self.priors:
            return box, score
        anchors = []
        for each in levels:
            place = (grid(each, 0.5) / torch.tensor([each.shape[3], each.shape[2]]).view(1, 2, 1)).permute(0, 2, 1)
            both = [torch.cat([place, torch.full_like(place, size)], -1) for size in (0.2, 0.4)]
            anchors.append(torch.stack(both, 2).reshape(-1, 4))
        return box, score, torch.cat(anchors)


class Classifier(nn.Module):
    """An image classifier; no pose network."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.trunk, self.last = Trunk((32,)), nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.trunk(x)[0].mean((2, 3)))


class Segmenter(nn.Module):
    """A score for each class and pixel; no pose network."""

    def __init__(self, classes: int = 21) -> None:
        super().__init__()
        self.trunk, self.last = Trunk((8,)), nn.Conv2d(32, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.interpolate(self.last(self.trunk(x)[0]), scale_factor=8.0, mode="bilinear")


class Detr(nn.Module):
    """RT-DETR and its kin: 300 queries, logits of classes, boxes as fractions."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.scores, self.boxes, self.query = (
            Trunk((32,)),
            nn.Linear(32, 80),
            nn.Linear(32, 4),
            nn.Parameter(torch.randn(300, 32)),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        each = self.trunk(x)[0].mean((2, 3))[:, None] + self.query
        return self.scores(each) - 4, self.boxes(each).sigmoid()


class Reshaped(nn.Module):
    """Another network whose outputs leave it in another form."""

    def __init__(self, inner: nn.Module, form: Callable[[Any], Any]) -> None:
        super().__init__()
        self.inner, self.form = inner, form

    def forward(self, x: Tensor) -> Any:
        return self.form(self.inner(x))


class SplitYolo(nn.Module):
    """YOLO v8's layers as compilers for NPUs want them: boxes and scores for each stride, key points of all together."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.boxes, self.points = Trunk(), _convs(65, 3), _convs(51, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        levels = self.trunk(x)
        points = torch.cat([layer(each).flatten(2) for layer, each in zip(self.points, levels, strict=True)], 2)
        return (*(layer(each) for layer, each in zip(self.boxes, levels, strict=True)), points.view(1, 17, 3, -1))


class Queries(nn.Module):
    """RT-DETR as Ultralytics exports it: centre and size as shares, then 80 probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Detr()

    def forward(self, x: Tensor) -> Tensor:
        scores, boxes = self.inner(x)
        return torch.cat([0.3 + 0.4 * boxes[..., :2], 0.3 * boxes[..., 2:], scores.sigmoid()], 2)


_POSE = {"task": "pose", "kpt_shape": "[17, 3]", "names": "{0: 'person'}", "stride": "32"}
_COCO = {"task": "detect", "stride": "32", "names": str({0: "person", **{index: f"thing{index}" for index in range(1, 80)}})}
_LEVELS = tuple(f"{what}_pred_stride_{stride}" for what in ("cls", "dis") for stride in STRIDES)

NETWORKS: Mapping[str, Callable[[], Network]] = {
    "yolo11-pose": lambda: Network(Ultralytics(1, 17), (640, 640), ("output0",), metadata=_POSE),
    "yolo11-pose, no metadata": lambda: Network(Ultralytics(1, 17), (320, 256), ("output0",)),
    "yolo11-pose, 26 parts": lambda: Network(Ultralytics(1, 26), (320, 320), ("output0",)),
    "yolo11-pose, 2 values": lambda: Network(Ultralytics(1, 17, 2), (320, 320), ("output0",)),
    "yolo26-pose": lambda: Network(Ultralytics(1, 17, bins=1, end_to_end=True), (640, 640), ("output0",), metadata=_POSE),
    "yolo26-pose, no metadata": lambda: Network(Ultralytics(1, 17, bins=1, end_to_end=True), (320, 320), ("output0",)),
    "yolo26-pose, hands": lambda: Network(Ultralytics(1, 21, bins=1, end_to_end=True), (320, 320), ("output0",)),
    "yolo11-pose, rows first": lambda: Network(Reshaped(Ultralytics(1, 17), lambda out: out.transpose(1, 2)), (320, 256), ("output0",)),
    "yolo11-pose, float16": lambda: Network(Ultralytics(1, 17).half(), (320, 256), ("output0",), dtype=torch.float16),
    "rtmpose, float16": lambda: Network(
        Simcc(17, (192, 256)).half(), (192, 256), ("simcc_x", "simcc_y"), "input", dtype=torch.float16
    ),
    "yolo8-pose, split": lambda: Network(SplitYolo(), (320, 320), ("a", "b", "c", "keypoints")),
    "yolo8-seg": lambda: Network(
        Reshaped(Ultralytics(112), lambda out: (torch.cat([out[:, :84], 8 * out[:, 84:] - 2], 1), out[:, :32, None, :6400].view(1, 32, 80, 80))),
        (640, 640),
        ("output0", "output1"),
    ),
    "rt-detr, ultralytics": lambda: Network(Queries(), (640, 640), ("output0",)),
    "yolo11": lambda: Network(Ultralytics(), (640, 640), ("output0",), metadata=_COCO),
    "yolo11, no metadata": lambda: Network(Ultralytics(), (320, 320), ("output0",)),
    "yolov10": lambda: Network(Ultralytics(end_to_end=True), (640, 640), ("output0",), metadata=_COCO),
    "yolov10, no metadata": lambda: Network(Ultralytics(end_to_end=True), (320, 320), ("output0",)),
    "yolov5": lambda: Network(Anchored(), (640, 640), ("output0",)),
    "yolov5, raw": lambda: Network(Anchored(decoded=False), (320, 320), ("output0", "326", "327")),
    "yolov7-pose": lambda: Network(Anchored(1, 17, (8, 16, 32, 64)), (640, 640), ("output",)),
    "yolox": lambda: Network(Yolox(), (640, 640), ("output",)),
    "yolox, decoded": lambda: Network(Yolox(decoded=True), (416, 416), ("output",)),
    "yolox-pose": lambda: Network(Yolox(1, parts=17), (416, 416), ("output",)),
    "yolox-pose, decoded": lambda: Network(Yolox(1, parts=17, decoded=True), (416, 416), ("output",)),
    "yolox-pose, mmdeploy": lambda: Network(Suppressed(17), (416, 416), ("dets", "keypoints"), "input"),
    "rtmo": lambda: Network(Suppressed(17), (640, 640), ("dets", "keypoints"), "input"),
    "rtmo, rows of the people alone": lambda: Network(Suppressed(17, least=0.5), (416, 416), ("dets", "keypoints"), "input"),
    "rtmo, nobody": lambda: Network(Suppressed(17, least=0.99), (416, 416), ("dets", "keypoints"), "input"),
    "rtmdet, nobody": lambda: Network(Suppressed(least=0.99), (416, 416), ("dets", "labels"), "input"),
    "rtmdet": lambda: Network(Suppressed(), (320, 320), ("dets", "labels"), "input"),
    "rtmdet, 80 classes": lambda: Network(Suppressed(classes=80), (640, 640), ("dets", "labels"), "input"),
    "nanodet-plus": lambda: Network(NanoDet(), (416, 416), ("output",), "data"),
    "nanodet": lambda: Network(NanoDet(levels=True), (320, 320), _LEVELS, "input.1"),
    "yolo-nas-pose, flat": lambda: Network(YoloNas("flat"), (640, 640), ("graph2_flat_predictions",), "input"),
    "yolo-nas-pose, flat, nobody": lambda: Network(YoloNas("flat, nobody"), (640, 640), ("graph2_flat_predictions",), "input"),
    "yolo-nas-pose, batch": lambda: Network(
        YoloNas("batch"), (640, 640), ("graph2_num_predictions", "graph2_pred_boxes", "graph2_pred_scores", "graph2_pred_joints"), "input"
    ),
    "yolo-nas-pose, raw": lambda: Network(YoloNas("raw"), (320, 320), ("pred_bboxes_xyxy", "pred_scores", "pred_joints", "pred_joint_scores"), "input"),
    "higherhrnet": lambda: Network(Maps((34, 4), (17, 2)), (512, 512), ("output1", "output2"), "input"),
    "efficienthrnet": lambda: Network(Maps((34, 4)), (256, 256), ("output",), "input"),
    "openvino 0005": lambda: Network(Maps((17, 2), (17, 2), sigmoid=(True, False)), (288, 288), ("heatmaps", "embeddings"), "image"),
    "openvino 0005, tags of 5 axes": lambda: Network(Maps((17, 2), (17, 2), sigmoid=(True, False), last=True), (288, 288), ("heatmaps", "embeddings"), "image"),
    "openvino 0006, nms": lambda: Network(
        Maps((17, 2), (17, 2), (17, 2), sigmoid=(True, True, False), last=True), (352, 352), ("heatmaps", "nms_heatmaps", "embeddings"), "image"
    ),
    "vitpose": lambda: Network(Maps((17, 4)), (192, 256), ("heatmaps",), "pixel_values"),
    "vitpose, output": lambda: Network(Maps((17, 4)), (192, 256), ("output_0",), "input_0"),
    "hrnet 384x288": lambda: Network(Maps((17, 4)), (288, 384), ("output",), "input"),
    "hrnet mpii": lambda: Network(Maps((16, 4)), (256, 256), ("output",), "input"),
    "vitpose wholebody": lambda: Network(Maps((133, 4)), (192, 256), ("output",), "input"),
    "cpn": lambda: Network(Maps(*[(17, 4)] * 5), (192, 256), ("global1", "global2", "global3", "global4", "refine"), "input"),
    "heat maps, NHWC": lambda: Network(Maps((17, 4), nhwc=True), (192, 256), ("Identity",), "input", nhwc=True),
    "heat maps, NHWC, uint8": lambda: Network(Maps((17, 4), nhwc=True), (192, 256), ("Identity",), "input", nhwc=True, dtype=torch.uint8),
    "heat maps, NHWC, int32": lambda: Network(Maps((17, 4), nhwc=True), (192, 256), ("Identity",), "input", nhwc=True, dtype=torch.int32),
    "g-rmi": lambda: Network(Maps((17, 4), (34, 4)), (192, 256), ("heatmaps", "offsets"), "input"),
    "hrnet with its features": lambda: Network(Maps((17, 4), (32, 4)), (192, 256), ("heatmaps", "features"), "input"),
    "centernet pose": lambda: Network(
        Maps((1, 4), (2, 4), (34, 4), (2, 4), (17, 4), (2, 4)), (512, 512), ("hm", "wh", "hps", "reg", "hm_hp", "hp_offset"), "input"
    ),
    "dekr": lambda: Network(Maps((18, 4), (34, 4)), (512, 512), ("heatmaps", "offsets"), "input"),
    "fields and maps in one, named heatmaps": lambda: Network(Maps((57, 8)), (368, 368), ("heatmaps",), "image"),
    "rtmpose": lambda: Network(Simcc(17, (192, 256)), (192, 256), ("simcc_x", "simcc_y"), "input"),
    "rtmpose 26": lambda: Network(Simcc(26, (288, 384)), (288, 384), ("simcc_x", "simcc_y"), "input"),
    "rtmw": lambda: Network(Simcc(133, (288, 384)), (288, 384), ("simcc_x", "simcc_y"), "input"),
    "dwpose": lambda: Network(Simcc(133, (288, 384)), (288, 384), ("output", "1187"), "input"),
    "rtmw3d": lambda: Network(
        Reshaped(Simcc(133, (288, 384)), lambda out: (*out, out[0] / 2 + 1e-3)), (288, 384), ("simcc_x", "simcc_y", "simcc_z"), "input"
    ),
    "rtmw3d, numbers": lambda: Network(
        Reshaped(Simcc(133, (288, 384)), lambda out: (*out, out[0] / 2 + 1e-3)), (288, 384), ("output", "1318", "1319"), "input"
    ),
    "rtmpose hand": lambda: Network(Simcc(21, (256, 256)), (256, 256), ("simcc_x", "simcc_y"), "input"),
    "rtmpose hand, numbers": lambda: Network(Simcc(21, (256, 256)), (256, 256), ("output", "700"), "input"),
    "rtmpose face106": lambda: Network(Simcc(106, (256, 256)), (256, 256), ("simcc_x", "simcc_y"), "input"),
    "rtmpose crowdpose": lambda: Network(Simcc(14, (192, 256)), (192, 256), ("simcc_x", "simcc_y"), "input"),
    "mediapipe hand": lambda: Network(Regressed("hand", 224), (224, 224), ("Identity", "Identity_1", "Identity_2", "Identity_3"), "input_1", nhwc=True),
    "blazepose": lambda: Network(
        Regressed("blazepose", 256), (256, 256), ("Identity", "Identity_1", "Identity_2", "Identity_3", "Identity_4"), "input_1", nhwc=True
    ),
    "mediapipe face": lambda: Network(Regressed("face", 192), (192, 192), ("conv2d_21", "conv2d_31"), "input_1", nhwc=True),
    "movenet thunder": lambda: Network(Regressed("movenet", 256), (256, 256), ("output_0",), "input", nhwc=True, dtype=torch.int32),
    "movenet, without an axis for its person": lambda: Network(
        Reshaped(Regressed("movenet", 192), lambda out: out[:, 0]), (192, 192), ("output_0",), "input", nhwc=True, dtype=torch.int32
    ),
    "movenet thunder, tflite": lambda: Network(
        Regressed("movenet", 256), (256, 256), ("StatefulPartitionedCall:0",), "serving_default_input:0", nhwc=True, dtype=torch.uint8
    ),
    "deeppose": lambda: Network(Regressed("deeppose", 256), (192, 256), ("output",), "input"),
    "residual log-likelihood": lambda: Network(Regressed("rle", 256), (192, 256), ("output",), "input"),
    "key point r-cnn": lambda: Network(
        KeyPointRcnn(), (320, 256), ("boxes", "labels", "scores", "keypoints", "keypoints_scores"), "image", batched=False
    ),
    "key point r-cnn, nobody": lambda: Network(
        KeyPointRcnn(0.99), (320, 256), ("boxes", "labels", "scores", "keypoints", "keypoints_scores"), "image", batched=False
    ),
    "ssd with its anchors": lambda: Network(Ssd(priors=True), (320, 320), ("boxes", "scores", "priors"), "input"),
    "ssd without anchors": lambda: Network(Ssd(priors=False), (320, 320), ("boxes", "scores"), "input"),
    "detr": lambda: Network(Detr(), (320, 320), ("logits", "pred_boxes"), "pixel_values"),
    "classifier": lambda: Network(Classifier(), (224, 224), ("logits",), "input"),
    "classifier of 51": lambda: Network(Classifier(51), (224, 224), ("output",), "input"),
    "segmenter": lambda: Network(Segmenter(), (320, 320), ("out",), "input"),
    "segmenter of 17": lambda: Network(Segmenter(17), (320, 320), ("out",), "input"),
}  # fmt: skip
