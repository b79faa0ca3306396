"""Weight files: every form that exists is read, and a bad one is told by name before it can do harm."""

from __future__ import annotations

import io
import json
import pickle
import resource
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from posetrt.export.weights.from_weights import model_from_weights
from posetrt.export.weights.load import load_weights
from posetrt.export.weights.parameters import Parameters
from posetrt.export.weights.zoo import find_network
from posetrt.runtime.errors import PosetrtError, UsageError
from tests.caffe_files import caffemodel

RNG = np.random.default_rng(0)
BLOBS = {
    "conv1": [RNG.standard_normal((4, 3, 3, 3), np.float32), RNG.standard_normal(4, np.float32)],
    "prelu1": [RNG.standard_normal(4, np.float32)],
}


@pytest.mark.parametrize("old", [False, True], ids=["layer", "layers"])
@pytest.mark.parametrize("packed", [True, False], ids=["packed", "one-by-one"])
@pytest.mark.parametrize("double", [False, True], ids=["float", "double"])
@pytest.mark.parametrize("legacy", [False, True], ids=["shape", "four-sizes"])
def test_every_form_of_caffemodel_is_read(old: bool, packed: bool, double: bool, legacy: bool, tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(caffemodel(BLOBS, old=old, packed=packed, double=double, legacy=legacy))
    arrays = load_weights(path)
    assert list(arrays) == ["conv1.weight", "conv1.bias", "prelu1.weight"]
    for name, expected in (("conv1.weight", BLOBS["conv1"][0]), ("conv1.bias", BLOBS["conv1"][1]), ("prelu1.weight", BLOBS["prelu1"][0])):
        np.testing.assert_array_equal(arrays[name], expected)


def test_opencv_reads_the_files_that_these_tests_write() -> None:
    """So that the writer of the tests is Caffe's format, and no private one."""
    import cv2

    text = (
        'input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8\n'
        'layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param { num_output: 4 kernel_size: 3 } }'
    )
    model = caffemodel({"conv1": BLOBS["conv1"]})
    net = cv2.dnn.readNetFromCaffe(np.frombuffer(text.encode(), np.uint8), np.frombuffer(model, np.uint8))
    np.testing.assert_array_equal(net.getParam("conv1", 0), BLOBS["conv1"][0])


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.999])
def test_a_truncated_caffemodel_is_refused(cut: float, tmp_path: Path) -> None:
    data = caffemodel(BLOBS)
    path = tmp_path / "cut.caffemodel"
    path.write_bytes(data[: int(len(data) * cut)])
    with pytest.raises(PosetrtError, match=r"cut\.caffemodel"):
        load_weights(path)


def test_a_shape_that_lies_names_the_layer_and_allocates_nothing(tmp_path: Path) -> None:
    honest = caffemodel(BLOBS)
    # 4 output channels become 2^35: the reader must not try to hold them.
    lying = honest.replace(b":\x06\n\x04\x04\x03\x03\x03", b":\x0b\n\x09\x80\x80\x80\x80\x80\x01\x03\x03\x03")
    assert lying != honest
    lying = _relengthen(lying)
    path = tmp_path / "lying.caffemodel"
    path.write_bytes(lying)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PosetrtError, match=r"layer conv1, blob 0.*claims the shape .*holds 108 numbers"):
        load_weights(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def _relengthen(data: bytes) -> bytes:
    """Five more bytes stand in the first blob's shape; add them to the lengths of the blob and of the layer."""
    out = bytearray(data)
    layer = out.index(b"\xa2\x06")  # field 100
    size, used = _read_varint(out, layer + 2)
    out[layer + 2 : layer + 2 + used] = _varint(size + 5)
    blob = out.index(b":", layer + 2 + len(_varint(size + 5)) + 2 + len("conv1"))
    size, used = _read_varint(out, blob + 1)
    out[blob + 1 : blob + 1 + used] = _varint(size + 5)
    return bytes(out)


def _read_varint(data: bytes | bytearray, start: int) -> tuple[int, int]:
    value = used = 0
    while True:
        byte = data[start + used]
        value |= (byte & 0x7F) << 7 * used
        used += 1
        if byte < 0x80:
            return value, used


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += struct.pack("B", value & 0x7F | 0x80)
        value >>= 7
    return out + struct.pack("B", value)


@pytest.mark.parametrize("suffix", [".caffemodel", ".pth", ".npz", ".safetensors"])
def test_noise_and_web_pages_are_refused_in_a_sentence(suffix: str, tmp_path: Path) -> None:
    for index, data in enumerate((RNG.bytes(4096), b"<!DOCTYPE html><html>503 Service Unavailable</html>", b"", b"\xff" * 64)):
        path = tmp_path / f"bad{index}{suffix}"
        path.write_bytes(data)
        with pytest.raises(PosetrtError, match=path.name):
            load_weights(path)


def test_an_unknown_suffix_lists_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    path.write_bytes(b"12345678")
    with pytest.raises(UsageError, match="caffemodel"):
        load_weights(path)


class Runs:
    """A pickle that runs a command when it is loaded by a careless reader."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        import os

        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("form", ["zip", "stream", "late"])
def test_a_pickle_that_tries_to_run_code_is_refused_and_does_not_run(form: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    path = tmp_path / "evil.pth"
    if form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("evil/data.pkl", pickle.dumps({"state_dict": Runs(marker)}, protocol=2))
    elif form == "stream":
        path.write_bytes(pickle.dumps(Runs(marker), protocol=2))
    else:
        magic = [pickle.dumps(value, protocol=2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
        path.write_bytes(b"".join(magic) + pickle.dumps({"weight": Runs(marker)}, protocol=2))
    with pytest.raises(PosetrtError, match=r"evil\.pth asks for \w+\.system.*not run"):
        load_weights(path)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Runs(marker)))
    assert marker.exists(), "the pickle of this test would have run nothing"


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True], ids=["zip", "stream"])
def test_pytorch_checkpoints_come_back_bit_by_bit(stream: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    state = {
        "module.whole": base,
        "module.columns": base[:, 1:4],  # a view with strides and an offset, sharing storage
        "module.turned": base.t(),
        "module.half": base.half(),
        "module.brain": base.bfloat16(),
        "module.double": base.double(),
        "module.parameter": torch.nn.Parameter(base * 2),
        "module.count": torch.tensor(7),
        "module.none": torch.zeros(0, 3),
    }
    path = tmp_path / "state.pth"
    torch.save({"state_dict": state, "epoch": 3}, path, _use_new_zipfile_serialization=not stream)
    arrays = load_weights(path)
    assert set(arrays) == {name.removeprefix("module.") for name in state}
    for name, tensor in state.items():
        expected = tensor.detach().float().numpy() if tensor.dtype == torch.bfloat16 else tensor.detach().numpy()
        np.testing.assert_array_equal(arrays[name.removeprefix("module.")], expected)
    for cut in (0.3, 0.9):
        short = tmp_path / "short.pth"
        short.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
        with pytest.raises(PosetrtError, match=r"short\.pth"):
            load_weights(short)


def test_a_tensor_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    """A hand-made checkpoint whose tensor claims 2^40 numbers of a storage of 4."""
    stream = io.BytesIO()
    stream.write(b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(")
    stream.write(b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ")
    stream.write(b"K\x00\x8a\x06\x00\x00\x00\x00\x00\x01\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtRs.")
    path = tmp_path / "huge.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("huge/data.pkl", stream.getvalue())
        archive.writestr("huge/data/0", np.zeros(4, np.float32).tobytes())
    with pytest.raises(PosetrtError, match=r"w reaches number 1099511627775 of a storage of 4"):
        load_weights(path)


def test_npz_and_safetensors_come_back(tmp_path: Path) -> None:
    arrays = {"a.weight": RNG.standard_normal((2, 3), np.float32), "a.bias": np.arange(3, dtype=np.float16)}
    np.savez(tmp_path / "net.npz", **arrays)
    safetensors.numpy.save_file(arrays, tmp_path / "net.safetensors")
    for suffix in ("npz", "safetensors"):
        found = load_weights(tmp_path / f"net.{suffix}")
        assert set(found) == set(arrays)
        for name, expected in arrays.items():
            np.testing.assert_array_equal(found[name], expected)
    np.savez(tmp_path / "objects.npz", a=np.array([{"run": "code"}], dtype=object))
    with pytest.raises(PosetrtError, match="objects"):
        load_weights(tmp_path / "objects.npz")


def test_safetensors_whose_lengths_lie_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "lies.safetensors"
    for header in (
        {"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]}},
    ):
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
        with pytest.raises(PosetrtError, match=r"lies\.safetensors"):
            load_weights(path)
    path.write_bytes(struct.pack("<Q", 2**60) + b"{}")
    with pytest.raises(PosetrtError, match="claims"):
        load_weights(path)


def test_missing_extra_misshapen_and_infinite_arrays_are_listed_in_one_error() -> None:
    parameters = Parameters(
        {"a.weight": np.zeros((2, 3)), "b.weight": np.array([1.0, np.nan]), "c.weight": np.zeros(1), "fc.bias": np.zeros(1)}
    )
    parameters.take("a.weight", (3, 3))
    parameters.take("b.weight", (2,))
    parameters.take("d.weight", (1,))
    with pytest.raises(PosetrtError) as refused:
        parameters.check("net.pth", "lightweight-openpose", ("fc.*",))
    message = str(refused.value)
    assert "missing: d.weight" in message
    assert "not of this network: c.weight" in message
    assert "a.weight is 2×3, expected 3×3" in message
    assert "b.weight holds NaN" in message
    assert "fc.bias" not in message


def test_a_caffemodel_of_another_network_is_refused_by_layer(tmp_path: Path) -> None:
    path = tmp_path / "other.caffemodel"
    path.write_bytes(caffemodel(BLOBS))
    with pytest.raises(
        PosetrtError, match=r"other\.caffemodel does not fit openpose-hand\. missing: conv1_1\.weight.*not of this network: conv1\.weight"
    ):
        model_from_weights(find_network("openpose-hand"), path)


def test_sizes_that_the_stride_does_not_divide_are_refused_with_one_that_fits(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"multiples of 8.*Try 656x368"):
        model_from_weights(find_network("openpose-body25"), tmp_path / "any", size_wh=(654, 367))
    with pytest.raises(UsageError, match="multiples of 32"):
        model_from_weights(find_network("trt-pose-resnet18"), tmp_path / "any", size_wh=(232, 224))
    with pytest.raises(UsageError, match="--opset must be one of"):
        model_from_weights(find_network("openpose-body25"), tmp_path / "any", opset=9)
