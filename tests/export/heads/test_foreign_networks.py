"""Networks of PyTorch that end as the families' exporters end them: recognised without a flag, or refused with the option that decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from posetrt.export.heads.user_graph import GraphOptions, model_from_onnx
from posetrt.runtime.errors import UsageError

pytestmark = pytest.mark.slow

READ = {
    "yolo11-pose": ("rows", "coco17", "yolo"),
    "yolo11-pose, no metadata": ("rows", "coco17", "yolo"),
    "yolo11-pose, 26 parts": ("rows", "halpe26", "yolo"),
    "yolo11-pose, 2 values": ("rows", "coco17", "yolo"),
    "yolo11-pose, rows first": ("rows", "coco17", "yolo"),
    "yolo11-pose, float16": ("rows", "coco17", "yolo"),
    "rtmpose, float16": ("simcc", "coco17", "imagenet"),
    "yolo8-seg": ("boxes", "boxes", "yolo"),
    "rt-detr, ultralytics": ("boxes", "boxes", "unit"),
    "rtmw3d": ("simcc", "coco-wholebody133", "imagenet"),
    "rtmw3d, numbers": ("simcc", "coco-wholebody133", "imagenet"),
    "g-rmi": ("heatmap", "coco17", "imagenet"),
    "hrnet with its features": ("heatmap", "coco17", "imagenet"),
    "fields and maps in one, named heatmaps": ("paf", "coco18", "openpose"),
    "movenet, without an axis for its person": ("coordinates", "coco17", "movenet"),
    "yolo26-pose, no metadata": ("rows", "coco17", "yolo"),
    "yolo26-pose, hands": ("rows", "hand21", "yolo"),
    "yolo11, no metadata": ("boxes", "boxes", "yolo"),
    "yolov10, no metadata": ("boxes", "boxes", "yolo"),
    "yolov5": ("boxes", "boxes", "yolo"),
    "yolov7-pose": ("rows", "coco17", "yolo"),
    "yolox": ("boxes", "boxes", "yolox"),
    "yolox, decoded": ("boxes", "boxes", "yolox"),
    "yolox-pose": ("rows", "coco17", "yolox"),
    "yolox-pose, decoded": ("rows", "coco17", "yolox"),
    "rtmo": ("rows", "coco17", "yolox"),
    "rtmo, nobody": ("rows", "coco17", "yolox"),
    "rtmdet, 80 classes": ("boxes", "boxes", "rtmdet"),
    "rtmdet, nobody": ("boxes", "boxes", "rtmdet"),
    "nanodet-plus": ("boxes", "boxes", "rtmdet"),
    "nanodet": ("boxes", "boxes", "rtmdet"),
    "yolo-nas-pose, flat": ("rows", "coco17", "yolo-nas"),
    "yolo-nas-pose, flat, nobody": ("rows", "coco17", "yolo-nas"),
    "yolo-nas-pose, batch": ("rows", "coco17", "yolo-nas"),
    "yolo-nas-pose, raw": ("rows", "coco17", "yolo-nas"),
    "higherhrnet": ("embedding", "coco17", "imagenet"),
    "efficienthrnet": ("embedding", "coco17", "imagenet"),
    "openvino 0005, tags of 5 axes": ("embedding", "coco17", "in-graph"),
    "openvino 0006, nms": ("embedding", "coco17", "in-graph"),
    "vitpose": ("heatmap", "coco17", "imagenet"),
    "hrnet 384x288": ("heatmap", "coco17", "imagenet"),
    "vitpose wholebody": ("heatmap", "coco-wholebody133", "imagenet"),
    "cpn": ("heatmap", "coco17", "imagenet"),
    "heat maps, NHWC": ("heatmap", "coco17", "imagenet"),
    "rtmw": ("simcc", "coco-wholebody133", "imagenet"),
    "dwpose": ("simcc", "coco-wholebody133", "imagenet"),
    "rtmpose hand, numbers": ("simcc", "hand21", "imagenet"),
    "mediapipe hand": ("coordinates", "hand21", "mediapipe"),
    "blazepose": ("coordinates", "blazepose33", "mediapipe"),
    "movenet thunder": ("coordinates", "coco17", "movenet"),
    "key point r-cnn": ("rows", "coco17", "unit"),
    "key point r-cnn, nobody": ("rows", "coco17", "unit"),
    "ssd with its anchors": ("boxes", "boxes", "unit"),
    "detr": ("boxes", "boxes", "unit"),
}
REFUSED = {
    "yolov5, raw": "three anchors per cell",
    "yolo8-pose, split": "RKNN",
    "centernet pose": "is no network that posetrt knows",
    "dekr": "is no network that posetrt knows",
    "ssd without anchors": "--anchors FILE",
    "rtmpose face106": "--skeleton FILE.json",
    "rtmpose crowdpose": "aic14, crowdpose14, lsp14, mpi14",
    "classifier": "looks like an image classifier",
    "classifier of 51": "--head coordinates",
    "segmenter": "a segmenter",
}
NEWER = ("yolo26-pose, no metadata", "rtmo", "higherhrnet", "vitpose", "rtmw", "blazepose", "movenet thunder")
"""Exported by PyTorch's newer exporter too, which is slow."""


def _written(name: str, folder: Path, *, dynamo: bool = False, opset: int = 17) -> Path:
    pytest.importorskip("torch")
    from tests.export.heads.foreign_networks import NETWORKS, write

    return write(NETWORKS[name](), folder / "net.onnx", dynamo=dynamo, opset=opset)


def _read(path: Path) -> tuple[str, str, str]:
    told: list[str] = []
    _, manifest = model_from_onnx(path, GraphOptions(tell=told.append))
    return manifest.head.kind, manifest.skeleton.name, told[-1].split("normalisation ")[1].split()[0]


@pytest.mark.parametrize("name", READ)
def test_a_family_is_recognised_and_its_graph_stays_equal(name: str, tmp_path: Path) -> None:
    assert _read(_written(name, tmp_path)) == READ[name]


@pytest.mark.parametrize("name", NEWER)
def test_the_newer_exporter_and_its_opset_make_no_difference(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    assert _read(_written(name, tmp_path, dynamo=True, opset=18)) == READ[name]


@pytest.mark.parametrize("name", ["yolo11-pose, no metadata", "yolo-nas-pose, raw", "rtmw", "movenet thunder"])
@pytest.mark.parametrize("opset", [11, 20])
def test_older_and_newer_opsets_make_no_difference(name: str, opset: int, tmp_path: Path) -> None:
    assert _read(_written(name, tmp_path, opset=opset)) == READ[name]


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_says_which_option_decides(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        model_from_onnx(_written(name, tmp_path))
    assert REFUSED[name] in str(refused.value)
