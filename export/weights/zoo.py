"""The networks by name: skeleton, size, normalisation, where their authors publish the weights, and their hash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from posetrt.export.graph.onnx_graph import GraphWriter, Tensor
from posetrt.export.networks import Maps, cpm, lightweight, nano, openpose, trt_pose
from posetrt.export.weights.parameters import Parameters
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.paf.layout import MapLayout, load_layout
from posetrt.runtime.placement import PERSON_GROW

Build = Callable[[GraphWriter, Tensor, MapLayout, tuple[int, int]], Maps]

_CMU = (
    "http://posefs1.perception.cs.cmu.edu/OpenPose/models/{}",
    "http://vcl.snu.ac.kr/OpenPose/models/{}",
)
# Copies by third parties, for the files that have one: the MD5 tells whether they are the authors'.
_MIRRORS = {
    "pose_iter_584000.caffemodel": (
        "https://huggingface.co/camenduru/openpose/resolve/main/pose_iter_584000.caffemodel",
        "https://www.dropbox.com/s/3x0xambj2rkyrap/pose_iter_584000.caffemodel?dl=1",
    ),
    "pose_iter_160000.caffemodel": ("https://huggingface.co/camenduru/openpose/resolve/main/pose_iter_160000.caffemodel",),
    "pose_iter_116000.caffemodel": ("https://www.dropbox.com/s/d08srojpvwnk252/pose_iter_116000.caffemodel?dl=1",),
    "pose_iter_102000.caffemodel": ("https://www.dropbox.com/s/gqgsme6sgoo0zxf/pose_iter_102000.caffemodel?dl=1",),
}
_CMU_LICENCE = "OpenPose licence: academic or non-profit, non-commercial research use only (CMU-Perceptual-Computing-Lab/openpose, LICENSE)"
_BATCH_COUNTS = "*.num_batches_tracked"


@dataclass(frozen=True)
class Network:
    """One network of the zoo.

    Attributes:
        name: as the commands take it.
        build: writes it; the last argument is the input's width and height.
        skeleton: of the published weights, a built-in name.
        size_wh: usual input.
        multiple: what width and height must be multiples of.
        normalisation: a name of `normalisation.NORMALISATIONS`.
        file: name of the published weight file.
        urls: where it can be had, tried in order.
        md5: published by the authors, or "" where none is.
        licence: of the weights.
        image: name of the input tensor.
        unused: patterns of parameter names that the file may hold and the network does not use.
        fixed: the graph has one size.
        least: least score of a person with the preset "balanced"; None keeps the parser's.
        grow: by how much a person's box is grown before it is cut out; for networks that look at crops.
    """

    name: str
    build: Build
    skeleton: str
    size_wh: tuple[int, int]
    multiple: int
    normalisation: str
    file: str
    urls: tuple[str, ...]
    md5: str
    licence: str
    image: str = "image"
    unused: tuple[str, ...] = ()
    fixed: bool = False
    least: float | None = None
    grow: float = PERSON_GROW


@dataclass(frozen=True)
class Cost:
    """What a network weighs: trained parameters, and 10⁹ floating-point operations a frame (two a multiply-add) at its usual size."""

    parameters: int
    gflops: float


def _any_size(build: Callable[[GraphWriter, Tensor, MapLayout], Maps]) -> Build:
    return lambda net, image, layout, _size: build(net, image, layout)


def _openpose(
    name: str, build: Callable[[GraphWriter, Tensor, MapLayout], Maps], skeleton: str, size: tuple[int, int], path: str, md5: str
) -> Network:
    file = path.rpartition("/")[2]
    return Network(
        name=f"openpose-{name}",
        build=_any_size(build),
        skeleton=skeleton,
        size_wh=size,
        multiple=8,
        normalisation="openpose",
        file=file,
        urls=(*(server.format(path) for server in _CMU), *_MIRRORS.get(file, ())),
        md5=md5,
        licence=_CMU_LICENCE,
        # The four-stage network reads the six-stage network's file.
        unused=("*_stage5_L?.*", "*_stage6_L?.*") if build is openpose.four_stages else (),
    )


_NETWORKS = (
    # MD5s: OpenPose's CMakeLists.txt, download_model().
    _openpose(
        "body25", openpose.body25, "body25", (656, 368), "pose/body_25/pose_iter_584000.caffemodel", "78287b57cf85fa89c03f1393d368e5b7"
    ),
    _openpose(
        "coco", openpose.two_branches, "coco18", (656, 368), "pose/coco/pose_iter_440000.caffemodel", "5156d31f670511fce9b4e28b403f2939"
    ),
    _openpose(
        "mpi", openpose.two_branches, "mpi15", (656, 368), "pose/mpi/pose_iter_160000.caffemodel", "2ca0990c7562bd7ae03f3f54afa96e00"
    ),
    _openpose(
        "mpi-4stage", openpose.four_stages, "mpi15", (656, 368), "pose/mpi/pose_iter_160000.caffemodel", "2ca0990c7562bd7ae03f3f54afa96e00"
    ),
    _openpose("hand", cpm.hand, "hand21", (368, 368), "hand/pose_iter_102000.caffemodel", "a82cfc3fea7c62f159e11bd3674c1531"),
    _openpose("face", cpm.face, "face70", (368, 368), "face/pose_iter_116000.caffemodel", "e747180d728fa4e4418c465828384333"),
    Network(
        name="cpm-person",
        build=cpm.person,
        skeleton="mpi14",
        size_wh=(368, 368),
        multiple=8,
        normalisation="openpose",
        file="pose_iter_320000.caffemodel",
        urls=("http://posefs1.perception.cs.cmu.edu/CPM/caffe_model_github/model/_trained_MPI/pose_iter_320000.caffemodel",),
        md5="",
        licence="non-commercial research use (shihenw/convolutional-pose-machines-release, LICENSE)",
        fixed=True,
    ),
    Network(
        name="lightweight-openpose",
        build=_any_size(lightweight.lightweight),
        skeleton="coco18",
        size_wh=(456, 256),
        multiple=8,
        normalisation="openpose",
        file="checkpoint_iter_370000.pth",
        urls=("https://download.01.org/opencv/openvino_training_extensions/models/human_pose_estimation/checkpoint_iter_370000.pth",),
        md5="",
        licence="Apache-2.0 (Daniil-Osokin/lightweight-human-pose-estimation.pytorch)",
        unused=(_BATCH_COUNTS,),
    ),
    Network(
        name="trt-pose-resnet18",
        build=_any_size(trt_pose.resnet18),
        skeleton="trtpose18",
        size_wh=(224, 224),
        multiple=32,
        normalisation="imagenet",
        file="resnet18_baseline_att_224x224_A_epoch_249.pth",
        urls=("https://drive.usercontent.google.com/download?id=1XYDdCUdiF2xxx4rznmLb62SdOUZuoNbd&export=download&confirm=t",),
        md5="",
        licence="MIT (NVIDIA-AI-IOT/trt_pose); trained on COCO",
        unused=(_BATCH_COUNTS, "0.resnet.fc.*"),
    ),
    Network(
        name="trt-pose-densenet121",
        build=_any_size(trt_pose.densenet121),
        skeleton="trtpose18",
        size_wh=(256, 256),
        multiple=32,
        normalisation="imagenet",
        file="densenet121_baseline_att_256x256_B_epoch_160.pth",
        urls=("https://drive.usercontent.google.com/download?id=13FkJkx7evQ1WwP54UmdiDXWyFMY1OxDU&export=download&confirm=t",),
        md5="",
        licence="MIT (NVIDIA-AI-IOT/trt_pose); trained on COCO",
        unused=(_BATCH_COUNTS, "0.densenet.classifier.*"),
    ),
    Network(
        name="nano",
        build=_any_size(nano.nano),
        skeleton="coco18",
        size_wh=(416, 280),
        multiple=8,
        normalisation="openpose",
        file="nano.npz",
        urls=(),
        md5="",
        licence="Apache-2.0 (posetrt, recipes/nano); made from human-pose-estimation-0001, Apache-2.0 (Open Model Zoo)",
        unused=("training.*",),
        least=0.6,
    ),
)


def names() -> list[str]:
    """Names of all networks."""
    return [network.name for network in _NETWORKS]


def find_network(name: str) -> Network:
    """A network by name.

    Raises:
        UsageError: no such network.
    """
    for network in _NETWORKS:
        if network.name == name:
            return network
    near = get_close_matches(name.lower(), names(), 1)
    known = f"; did you mean {near[0]}? posetrt export --list shows all" if near else f": it has {', '.join(names())}"
    raise UsageError(
        f"no network {name!r} in the zoo{known}. Any other comes as an ONNX file, from the tool that trained it: "
        "posetrt export onnx --weights FILE.onnx -o FOLDER"
    )


@cache
def cost_of(name: str) -> Cost:
    """Parameters and operations of a network at its usual size, counted from its layers."""
    network, parameters = find_network(name), Parameters(None)
    net = GraphWriter(parameters)
    network.build(net, Tensor(network.image, 3, 1), load_layout(network.skeleton), network.size_wh)
    trained = sum(size for key, size in parameters.sizes().items() if not key.endswith((".running_mean", ".running_var")))
    return Cost(trained, 2 * net.multiply_adds * network.size_wh[0] * network.size_wh[1] / 1e9)
