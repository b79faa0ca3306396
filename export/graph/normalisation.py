"""How each family of networks wants its pixels: colour order, mean and scale."""

from __future__ import annotations

from dataclasses import dataclass

from posetrt.runtime.model.manifest import Colour


@dataclass(frozen=True)
class Normalisation:
    """normalised = (value - mean) * scale, value 0 to 255, channels in `colour` order; `in_graph`: the graph does it."""

    colour: Colour
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    in_graph: bool = False


_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)

NORMALISATIONS = {
    # The graph takes 0 to 255 in BGR and normalises itself, as human-pose-estimation-0001 does.
    "in-graph": Normalisation("BGR", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), in_graph=True),
    # OpenPose's Caffe networks, x/256 - 0.5; Lightweight OpenPose's (x - 128)/256 is the same.
    "openpose": Normalisation("BGR", (128.0, 128.0, 128.0), (1 / 256, 1 / 256, 1 / 256)),
    # trt_pose and most PyTorch backbones: RGB, (x/255 - mean)/std.
    "imagenet": Normalisation(
        "RGB",
        (255 * _IMAGENET_MEAN[0], 255 * _IMAGENET_MEAN[1], 255 * _IMAGENET_MEAN[2]),
        (1 / (255 * _IMAGENET_STD[0]), 1 / (255 * _IMAGENET_STD[1]), 1 / (255 * _IMAGENET_STD[2])),
    ),
    # RGB, x/255.
    "unit": Normalisation("RGB", (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
}
