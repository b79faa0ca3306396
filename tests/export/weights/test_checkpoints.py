"""Checkpoints as trainers write them: what is no tensor is never run, and never in the way of the weights."""

from __future__ import annotations

import collections
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from posetrt.export.weights.load import load_weights
from posetrt.runtime.errors import PosetrtError

torch = pytest.importorskip("torch")
WEIGHTS = {"first.conv.weight": torch.arange(6.0).reshape(2, 3), "second.bias": torch.ones(2)}


class Hyper:
    """A class of the trainer's own, which this computer would not have."""

    def __init__(self) -> None:
        self.rate, self.nested = 0.1, [collections.Counter({5: 1})]


def scheduled() -> dict[str, Any]:
    net = torch.nn.Linear(2, 2)
    optimiser = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimiser, [3, 5])
    return {
        "state_dict": WEIGHTS,
        "optimizer": optimiser.state_dict(),
        "scheduler": scheduler.state_dict(),
        "best": np.float64(0.5),
        "array": np.arange(3),
        "hyper": Hyper(),
        "device": torch.device("cpu"),
        "kind": torch.float16,
        "path": Path("a"),
        "counts": collections.defaultdict(int, {"a": 1}),
        "size": torch.Size([1, 2]),
    }


CHECKPOINTS: dict[str, Callable[[], Any]] = {
    "a scheduler, a Counter, NumPy scalars, own classes": scheduled,
    "the key net": lambda: {"epoch": 3, "net": WEIGHTS},
    "a key of its own beside an optimiser": lambda: {"ema_weights": WEIGHTS, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}},
    "a state_dict inside the model": lambda: {"model": {"state_dict": WEIGHTS, "arch": "x"}},
    "nested dictionaries": lambda: {
        "model": {"first": {"conv": {"weight": WEIGHTS["first.conv.weight"]}}, "second": {"bias": WEIGHTS["second.bias"]}}
    },
    "a dictionary for each part": lambda: {
        "first": {"conv.weight": WEIGHTS["first.conv.weight"]},
        "second": {"bias": WEIGHTS["second.bias"]},
    },
    "Lightning": lambda: {
        "state_dict": {f"model.net.{name}": value for name, value in WEIGHTS.items()},
        "hyper_parameters": Hyper(),
        "callbacks": {},
    },
    "torch.compile under DataParallel": lambda: {f"module._orig_mod.{name}": value for name, value in WEIGHTS.items()},
    "parameters": lambda: collections.OrderedDict((name, torch.nn.Parameter(value)) for name, value in WEIGHTS.items()),
    "half-known values among them": lambda: {**WEIGHTS, "epoch": 3, "name": "x", "nothing": None},
}


@pytest.mark.parametrize("stream", [False, True], ids=["zip", "stream"])
@pytest.mark.parametrize("suffix", [".pth", ".ckpt"])
@pytest.mark.parametrize("name", list(CHECKPOINTS))
def test_the_weights_are_found_in_every_checkpoint(name: str, suffix: str, stream: bool, tmp_path: Path) -> None:
    path = tmp_path / f"net{suffix}"
    torch.save(CHECKPOINTS[name](), path, _use_new_zipfile_serialization=not stream)
    found = load_weights(path)
    assert set(found) == set(WEIGHTS)
    for key, value in WEIGHTS.items():
        np.testing.assert_array_equal(found[key], value.numpy())


def test_a_whole_module_gives_its_parameters_and_buffers(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
    torch.save({"model": net, "epoch": 1}, tmp_path / "whole.pt")
    assert set(load_weights(tmp_path / "whole.pt")) == set(net.state_dict())


def test_a_prefix_is_dropped_from_safetensors_too(tmp_path: Path) -> None:
    safetensors.numpy.save_file({f"model.{name}": value.numpy() for name, value in WEIGHTS.items()}, tmp_path / "net.safetensors")
    assert set(load_weights(tmp_path / "net.safetensors")) == set(WEIGHTS)


def test_a_file_without_weights_lists_the_keys_that_it_holds(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "optimizer": {"state": {0: torch.ones(2)}}, "config": "x"}, tmp_path / "empty.pth")
    with pytest.raises(PosetrtError, match=r"empty\.pth holds no state_dict.*it holds epoch, optimizer, config"):
        load_weights(tmp_path / "empty.pth")


class Touches:
    """Runs code in a careless reader, at the place where it is put."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        import os

        return os.system, (f"touch {self.marker}",), {"state": 1}, iter([1]), iter([("a", 2)])


@pytest.mark.parametrize("place", ["beside the weights", "among the weights", "as a key's holder"])
def test_nothing_is_ever_run(place: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "ran", tmp_path / "evil.pth"
    evil = Touches(marker)
    content = {
        "beside the weights": {"state_dict": WEIGHTS, "config": evil},
        "among the weights": {"state_dict": {**WEIGHTS, "third.weight": evil}},
        "as a key's holder": {"state_dict": {"third.weight": evil}},
    }[place]
    torch.save(content, path)
    if place == "beside the weights":
        assert set(load_weights(path)) == set(WEIGHTS)
    else:
        with pytest.raises(PosetrtError, match=r"asks for \w+\.system.*not run"):
            load_weights(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "made",
    [b"cbuiltins\neval\n(S'1'\ntR.", b"cbuiltins\ngetattr\n(cos\nsystem\nS'x'\ntR.", b"\x80\x02" + b"(" * 10_000 + b"t" * 10_000 + b"."],
)
def test_a_pickle_made_by_hand_is_refused_by_name(made: bytes, tmp_path: Path) -> None:
    path = tmp_path / "made.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("made/data.pkl", made)
    with pytest.raises(PosetrtError, match=r"made\.pth"):
        load_weights(path)


def test_a_kind_of_number_that_is_not_read_is_named_with_its_tensor(tmp_path: Path) -> None:
    torch.save({"first.weight": torch.ones(2, dtype=torch.complex64), "second.weight": torch.ones(2)}, tmp_path / "complex.pth")
    with pytest.raises(PosetrtError, match=r"first\.weight is of the kind ComplexFloatStorage"):
        load_weights(tmp_path / "complex.pth")


def test_no_network_of_the_zoo_has_a_prefix_that_would_be_dropped() -> None:
    from posetrt.export.graph.onnx_graph import GraphWriter, Tensor
    from posetrt.export.weights.parameters import Parameters
    from posetrt.export.weights.zoo import find_network, names
    from posetrt.runtime.heads.paf.layout import load_layout

    for name in names():
        network, parameters = find_network(name), Parameters(None)
        network.build(GraphWriter(parameters), Tensor(network.image, 3, 1), load_layout(network.skeleton), network.size_wh)
        assert len({each.partition(".")[0] for each in parameters.shapes}) > 1
