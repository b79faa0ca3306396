"""Times one graph on one other runtime on this machine's GPU: a program of its own, for whichever Python there has that runtime.

  python3 runtime_clock.py onnxruntime|torch GRAPH GIVEN.npz MADE.npz WARM_UP TIMED fp32|fp16

It needs NumPy and that runtime, and nothing of posetrt. GIVEN has "input" and "names"; MADE gets "output_0", ... The last line is JSON: "title",
"upload_ms", "network_ms", "download_ms" and "frame_ms", medians by the computer's clock with the GPU waited for; or "missing", and why.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np


class Missing(Exception):
    """The runtime is not at hand in this Python."""


class OnnxRuntime:
    """A graph on ONNX Runtime's CUDA provider, without TF32.

    Args:
        graph: an ONNX file.
        names: of its outputs.
        half: float16 is the graph's own affair.
    """

    device = "cuda"

    def __init__(self, graph: Path, names: Sequence[str], half: bool) -> None:
        del half
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise Missing("onnxruntime is not installed") from error
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise Missing("its onnxruntime has no CUDA; onnxruntime-gpu has")
        self._library, self._names = onnxruntime, names
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(str(graph), options, providers=[("CUDAExecutionProvider", {"use_tf32": "0"})])
        if self._session.get_providers()[0] != "CUDAExecutionProvider":
            raise Missing("onnxruntime's CUDA provider does not load: it lacks CUDA or cuDNN, or they are of other versions")
        self._binding: Any = self._session.io_binding()
        self.title = f"ONNX Runtime {onnxruntime.__version__}, CUDA"

    def upload(self, frame: Any) -> None:
        """Copy the input to the GPU."""
        value = self._library.OrtValue.ortvalue_from_numpy(frame, self.device, 0)
        self._binding.bind_ortvalue_input(self._session.get_inputs()[0].name, value)
        for name in self._names:
            self._binding.bind_output(name, self.device)

    def compute(self) -> None:
        """Run the network on what is there."""
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()

    def download(self) -> list[Any]:
        """The outputs."""
        return list(self._binding.copy_outputs_to_cpu())


class Torch:
    """TorchScript in PyTorch, without TF32.

    Args:
        graph: a .pt file that the desk made of the ONNX file.
        names: of its outputs, which come in that order.
        half: run it in float16.
    """

    device = "cuda"

    def __init__(self, graph: Path, names: Sequence[str], half: bool) -> None:
        del names
        try:
            import torch
        except ModuleNotFoundError as error:
            raise Missing("torch is not installed") from error
        if not torch.cuda.is_available():
            raise Missing("its torch sees no GPU")
        if not graph.is_file():
            raise Missing("the bundle has no PyTorch graph of it: prepare it where torch is installed")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True
        self._torch, self._half = torch, half
        load: Any = torch.jit.load
        module = load(str(graph), map_location=self.device)
        self._module: Any = module.half() if half else module
        self.title = f"PyTorch {torch.__version__}"

    def upload(self, frame: Any) -> None:
        """Copy the input to the GPU."""
        given = self._torch.from_numpy(frame).to(self.device)
        self._given = given.half() if self._half else given
        self._wait()

    def compute(self) -> None:
        """Run the network on what is there."""
        with self._torch.inference_mode():
            self._made = self._module(self._given)
        self._wait()

    def download(self) -> list[Any]:
        """The outputs, as float32."""
        return [made.float().cpu().numpy() for made in self._made]

    def _wait(self) -> None:
        if self.device == "cuda":
            self._torch.cuda.synchronize()


RUNTIMES: dict[str, Callable[[Path, Sequence[str], bool], Any]] = {"onnxruntime": OnnxRuntime, "torch": Torch}


def clock(runtime: Any, frame: Any, warm_up: int, timed: int) -> tuple[dict[str, float], list[Any]]:
    """Medians in ms of each part and of the whole, and the outputs."""
    spent: list[list[float]] = []
    made: list[Any] = []
    for turn in range(warm_up + timed):
        marks = [time.perf_counter()]
        runtime.upload(frame)
        marks.append(time.perf_counter())
        runtime.compute()
        marks.append(time.perf_counter())
        made = runtime.download()
        marks.append(time.perf_counter())
        if turn >= warm_up:
            spent.append([1000 * (after - before) for before, after in itertools.pairwise(marks)] + [1000 * (marks[-1] - marks[0])])
    medians = np.median(np.array(spent), axis=0)
    return dict(zip(("upload_ms", "network_ms", "download_ms", "frame_ms"), map(float, medians), strict=True)), made


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    name, graph, given, target, warm_up, timed, precision = arguments
    try:
        with np.load(given) as arrays:
            frame, names = arrays["input"], [str(one) for one in arrays["names"]]
        runtime = RUNTIMES[name](Path(graph), names, precision == "fp16")
        times, made = clock(runtime, frame, int(warm_up), int(timed))
        arrays_out: dict[str, Any] = {f"output_{number}": np.asarray(values, np.float32) for number, values in enumerate(made)}
        np.savez(target, **arrays_out)
        said: dict[str, Any] = {"title": runtime.title, **times}
    except Missing as missing:
        said = {"missing": str(missing)}
    sys.stdout.write(json.dumps(said) + "\n")
    return 0


if __name__ == "__main__":
    # Not the modules that lie beside this one.
    sys.path[:] = [place for place in sys.path if Path(place).resolve() != Path(__file__).resolve().parent]
    sys.exit(main(sys.argv[1:]))
