"""What exporting costs, and what bytes in and decoding inside save and cost. Figures are printed; run with -s to see them."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from posetrt.export.graph.fused import with_uint8_input
from posetrt.export.heads.fuse import with_decoding
from posetrt.export.heads.user_graph import GraphOptions, model_from_onnx
from posetrt.runtime.heads.paf.layout import load_layout
from posetrt.runtime.heads.paf.parser import PafParser
from posetrt.runtime.picture import place, to_input
from posetrt.runtime.placement import letterbox
from tests.caffe_files import caffemodel, layer_table, random_blobs

pytestmark = pytest.mark.slow
SIZE = (656, 368)


def session(model: object, threads: int = 2) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])  # type: ignore[attr-defined]


def test_decoding_in_the_graph_saves_bytes_and_time_behind_the_network(hpe0001: Path, shared_data: Path) -> None:
    """hpe0001 at 656 x 368, K = 32, on the video: interleaved, medians."""
    import cv2

    plain, manifest = model_from_onnx(hpe0001, GraphOptions(normalise="in-graph", size_wh=SIZE))
    fused, _ = with_decoding(*with_uint8_input(plain, manifest))
    mapping, decoding = session(plain), session(fused)
    parser = PafParser(load_layout("coco18"))
    video = cv2.VideoCapture(str(shared_data / "openpose_media" / "video.avi"))
    times: dict[str, list[float]] = {"network": [], "network + decoding": [], "parse": [], "parse decoded": []}
    people = 0
    for index in range(60):
        _, frame = video.read()
        if index % 3:
            continue
        canvas = place(frame.astype(np.uint8), letterbox((frame.shape[1], frame.shape[0]), SIZE))
        image = to_input(canvas, manifest.input)
        start = time.perf_counter()
        maps = mapping.run(["Mconv7_stage2_L2", "Mconv7_stage2_L1"], {"data": image})
        middle = time.perf_counter()
        decoded = decoding.run(["peaks", "pairs"], {"data": canvas[None]})
        times["network"].append(middle - start)
        times["network + decoding"].append(time.perf_counter() - middle)
        for _ in range(5):
            start = time.perf_counter()
            expected = parser.parse(maps[0][0], maps[1][0])
            middle = time.perf_counter()
            found = parser.parse_decoded(decoded[0][0], decoded[1][0])
            times["parse"].append(middle - start)
            times["parse decoded"].append(time.perf_counter() - middle)
        assert len(found) == len(expected)
        np.testing.assert_allclose(found.keypoints, expected.keypoints, atol=0.01 / manifest.head.map_stride())
        people += len(found)
    video.release()
    bytes_out = sum(value.nbytes for value in maps) / sum(value.nbytes for value in decoded)
    bytes_in = image.nbytes / canvas.nbytes
    medians = {name: 1000 * statistics.median(values) for name, values in times.items()}
    least = {name: 1000 * min(values) for name, values in times.items()}
    print(f"\n{people} people; bytes out {bytes_out:.1f} times fewer, in {bytes_in:.1f}; median ms: {medians}; least ms: {least}")
    assert bytes_out >= 8
    assert bytes_in >= 4
    assert medians["parse decoded"] <= 1.1 * medians["parse"], "no more time behind the network; a tenth for a busy machine"


def test_body25_is_exported_in_seconds_and_little_memory(tmp_path: Path) -> None:
    weights = tmp_path / "random.caffemodel"
    weights.write_bytes(caffemodel(random_blobs(layer_table("openpose-body25"))))
    root = Path(__file__).resolve().parents[2]
    program = (
        "import re, sys, time\nfrom pathlib import Path\n"
        "from posetrt.cli import main\n"
        "start = time.process_time()\n"
        "code = main(sys.argv[1:])\n"
        "status = Path('/proc/self/status').read_text()\n"  # ru_maxrss would be no less than the peak of pytest, which starts it
        "peak = int(re.search(r'VmHWM:\\s+(\\d+) kB', status)[1]) / 2**20\n"
        "print(f'seconds {time.process_time() - start:.1f} GiB {peak:.2f} code {code}')\n"
    )
    call = [
        "export",
        "openpose-body25",
        "--weights",
        str(weights),
        "--input",
        "uint8",
        "--decode",
        "in-graph",
        "-o",
        str(tmp_path / "person"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", program, *call],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(root / "src")},
    )
    found = re.search(r"seconds ([\d.]+) GiB ([\d.]+) code 0", done.stdout)
    assert found, done.stdout + done.stderr
    print("\n" + found.group())
    assert float(found.group(1)) < 20
    assert float(found.group(2)) < 2
