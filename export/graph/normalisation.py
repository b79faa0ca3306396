"""How each family of networks wants its pixels: colour order, mean and scale."""

from __future__ import annotations

from dataclasses import dataclass

from posetrt.runtime.model.manifest import Colour
from posetrt.runtime.placement import Resize


@dataclass(frozen=True)
class Normalisation:
    """How a family wants its pixels: normalised = (value - mean) * scale, value 0 to 255.

    Attributes:
        colour: order of the channels.
        mean, scale: of each channel.
        in_graph: the graph does it, and takes 0 to 255.
        pad: value beside a picture that is letterboxed.
        resize: how the family's tools scale a whole picture.
    """

    colour: Colour
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    in_graph: bool = False
    pad: int = 128
    resize: Resize = "cubic"

    @property
    def told(self) -> str:
        """The order of the channels and the range of the values, as "RGB, 0 to 1"."""
        low = min(-mean * scale for mean, scale in zip(self.mean, self.scale, strict=True))
        high = max((255 - mean) * scale for mean, scale in zip(self.mean, self.scale, strict=True))
        return f"{self.colour}, {round(low, 1) + 0.0:g} to {round(high, 1):g}"


_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)

_IMAGENET = Normalisation(
    "RGB",
    (255 * _IMAGENET_MEAN[0], 255 * _IMAGENET_MEAN[1], 255 * _IMAGENET_MEAN[2]),
    (1 / (255 * _IMAGENET_STD[0]), 1 / (255 * _IMAGENET_STD[1]), 1 / (255 * _IMAGENET_STD[2])),
)
_NONE, _ONE, _BYTE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1 / 255, 1 / 255, 1 / 255)

NORMALISATIONS = {
    # The graph takes 0 to 255 in BGR and normalises itself, as human-pose-estimation-0001 does.
    "in-graph": Normalisation("BGR", _NONE, _ONE, in_graph=True),
    # OpenPose's Caffe networks, x/256 - 0.5; Lightweight OpenPose's (x - 128)/256 is the same.
    "openpose": Normalisation("BGR", (128.0, 128.0, 128.0), (1 / 256, 1 / 256, 1 / 256)),
    # trt_pose and most PyTorch backbones: RGB, (x/255 - mean)/std.
    "imagenet": _IMAGENET,
    # RGB, x/255.
    "unit": Normalisation("RGB", _NONE, _BYTE),
    # YOLO v5 to 26, YOLO-NAS for boxes: RGB, x/255, letterbox grey 114.
    "yolo": Normalisation("RGB", _NONE, _BYTE, pad=114, resize="linear"),
    # YOLO-NAS-Pose: BGR, x/255.
    "yolo-nas": Normalisation("BGR", _NONE, _BYTE, pad=127, resize="linear"),
    # YOLOX and YOLOX-pose: BGR, 0 to 255 as they are.
    "yolox": Normalisation("BGR", _NONE, _ONE, pad=114, resize="linear"),
    # RTMPose, RTMW, DWPose: as ImageNet, rounded by mmpose.
    "rtmpose": Normalisation("RGB", (123.675, 116.28, 103.53), (1 / 58.395, 1 / 57.12, 1 / 57.375), pad=0),
    # RTMDet: the same numbers, on BGR.
    "rtmdet": Normalisation("BGR", (103.53, 116.28, 123.675), (1 / 57.375, 1 / 57.12, 1 / 58.395), pad=114, resize="linear"),
    # PP-TinyPose.
    "tinypose": _IMAGENET,
    # MoveNet: RGB, 0 to 255.
    "movenet": Normalisation("RGB", _NONE, _ONE, pad=0, resize="linear"),
    # PoseNet: RGB, x/127.5 - 1.
    "posenet": Normalisation("RGB", (127.5, 127.5, 127.5), (1 / 127.5, 1 / 127.5, 1 / 127.5)),
    # MediaPipe's detectors of people and faces: RGB, x/127.5 - 1.
    "blaze": Normalisation("RGB", (127.5, 127.5, 127.5), (1 / 127.5, 1 / 127.5, 1 / 127.5), pad=0, resize="linear"),
    # BlazePose, MediaPipe's hands and faces: RGB, x/255.
    "mediapipe": Normalisation("RGB", _NONE, _BYTE, pad=0),
}
"""The presets of `--normalise`, by name."""
