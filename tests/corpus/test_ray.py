"""`--on ray://...` on a real Ray cluster: a head and a second node on loopback, a CPU each."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from posetrt.calib.scenes.scenes import draw_scene
from posetrt.calib.scenes.truth import write_scenes
from tests.cli.conftest import Said
from tests.corpus.conftest import write_clips
from tests.corpus.test_map import files_of

pytest.importorskip("ray", reason="pip install 'posetrt[cluster]'")
pytest.importorskip("grpc", reason="pip install 'posetrt[cluster]'")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Cluster:
    """A Ray cluster of this test run; others on the machine are left alone."""

    folder: Path
    port: int
    client: int
    nodes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"ray://127.0.0.1:{self.client}"

    def start(self, *options: str, source: Path = ROOT / "src") -> subprocess.Popen[bytes]:
        """One node, as a user starts it; its workers import posetrt from `source`."""
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1", "--disable-usage-stats", *options]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(source), str(ROOT)]), "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
        with (self.folder / f"node{len(self.nodes)}.log").open("wb") as log:
            node = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        self.nodes.append(node)
        return node

    def wait(self, count: int) -> None:
        """Until so many nodes are alive."""
        probe = f"import ray, sys; ray.init({self.address!r}, log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
        for _ in range(120):
            said = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
            if said.stdout.strip().endswith(str(count)):
                return
            time.sleep(1)
        pytest.fail(f"no cluster of {count} nodes: {said.stdout} {said.stderr[-500:]}")

    def stop(self) -> None:
        for node in reversed(self.nodes):
            _end(node)


def _end(node: subprocess.Popen[bytes]) -> None:
    node.send_signal(signal.SIGTERM)
    try:
        node.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    # Ray's sockets lie below this folder, and their names have room for 107 bytes.
    folder = tmp_path_factory.mktemp("ray")
    one = Cluster(folder, _free_port(), _free_port())
    try:
        one.start(
            *("--head", f"--port={one.port}", f"--ray-client-server-port={one.client}", "--include-dashboard=false"),
            *("--node-ip-address=127.0.0.1", f"--temp-dir={folder}"),
        )
        one.wait(1)
        one.start(f"--address=127.0.0.1:{one.port}", "--node-ip-address=127.0.0.1")
        one.wait(2)
        yield one
    finally:
        one.stop()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_clips(folder, 12, frames=10)
    (folder / "a" / "broken.avi").write_bytes(b"RIFF no video")
    return folder


def posetrt(*arguments: object) -> Said:
    """Call a command in a process of its own: Ray leaves threads and warnings behind."""
    command = [sys.executable, "-m", "posetrt", *map(str, arguments)]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    return Said(done.returncode, done.stdout, done.stderr)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


def _actors(cluster: Cluster) -> list[int]:
    """Process ids of the cluster's workers that run our actor; other clusters on the machine are left alone."""
    ours = {node.pid for node in cluster.nodes}
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if path.read_bytes().startswith(b"ray::MapWorker(Map(_Actor))") and ours & set(_ancestors(int(path.parent.name))):
                found.append(int(path.parent.name))
    return found


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        yield pid


def test_two_workers_of_a_cluster_give_the_same_bytes_also_when_one_is_killed(cluster: Cluster, clips: Path, tmp_path: Path) -> None:
    call = ["map", "nano", "--source", clips, "--sinks", "jsonl,coco", "--json"]
    alone = posetrt(*call, "-o", tmp_path / "local", "--workers", 1)
    assert alone.code == 1
    expected = files_of(tmp_path / "local")
    together = posetrt(*call, "-o", tmp_path / "ray", "--on", cluster.address)
    told = json.loads(together.out)
    assert (told["done"], told["failed"]) == (12, 1)
    assert len(told["nodes"]) == 2
    assert files_of(tmp_path / "ray") == expected

    command = [sys.executable, "-m", "posetrt", *map(str, call), "-o", str(tmp_path / "killed"), "--on", cluster.address]
    driver = subprocess.Popen(command, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    done = tmp_path / "killed" / "done"
    while driver.poll() is None and len(list(done.rglob("*.json"))) < 2:
        time.sleep(0.02)
    actors = _actors(cluster)
    assert actors
    os.kill(actors[0], signal.SIGKILL)
    out, _ = driver.communicate(timeout=120)
    told = json.loads(out)
    assert (told["done"], told["failed"]) == (12, 1)
    assert files_of(tmp_path / "killed") == expected
    again = json.loads(posetrt(*call, "-o", tmp_path / "killed", "--on", cluster.address).out)
    assert (again["done"], again["earlier"]) == (0, 12)


def test_figures_of_a_cluster_are_those_of_one_machine(cluster: Cluster, clips: Path, tmp_path: Path) -> None:
    write_scenes([draw_scene(seed, (320, 240), people=2) for seed in range(20)], tmp_path / "drawn")
    (annotations,) = tmp_path.rglob("*.json")
    images = next(path.parent for path in sorted(tmp_path.rglob("*")) if path.suffix in (".jpg", ".png"))
    evaluate = ("eval", "nano", "--coco", annotations, "--images", images, "--precision", "fp32", "--precision", "int8", "--json")
    compare = ("compare-models", "nano", "nano", "--precision-b", "int8", "--source", clips / "b", "--json")
    for call, out in ((evaluate, ()), (compare, ("-o", tmp_path / "out"))):
        alone, together = posetrt(*call, *out), posetrt(*call, *out, "--on", cluster.address)
        assert (alone.code, together.code) == (0, 0), together.err
        assert json.loads(together.out) == json.loads(alone.out)


def test_a_machine_with_another_posetrt_is_named_and_nothing_is_started(cluster: Cluster, clips: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for name in ("runtime", "export", "calib", "jetson"):
        shutil.copytree(ROOT / name, other / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "src", other / "src", symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    (other / "src" / "posetrt" / "__init__.py").write_text('__version__ = "0.0.1"\n')
    node = cluster.start(f"--address=127.0.0.1:{cluster.port}", "--node-ip-address=127.0.0.1", source=other / "src")
    try:
        cluster.wait(3)
        said = posetrt("map", "nano", "--source", clips, "-o", tmp_path / "out", "--on", cluster.address)
    finally:
        _end(node)
        cluster.nodes.remove(node)
    assert said.code == 3
    assert "1 of the cluster's 3 machines cannot do this work" in said.err
    assert "has posetrt 0.0.1" in said.err
    assert not list((tmp_path / "out").rglob("*.jsonl")) or (tmp_path / "out" / "manifest.jsonl").read_bytes() == b""


def test_a_machine_without_the_engine_is_named(cluster: Cluster, clips: Path, tmp_path: Path) -> None:
    cluster.wait(2)
    shutil.copytree(ROOT / "runtime" / "model" / "networks" / "nano", tmp_path / "person")
    said = posetrt("map", tmp_path / "person", "--source", clips, "-o", tmp_path / "out", "--on", cluster.address)
    assert said.code == 3
    assert "2 of the cluster's 2 machines cannot do this work" in said.err
    assert "posetrt build" in said.err


def test_a_cluster_that_is_not_there_is_told_at_once(clips: Path, tmp_path: Path) -> None:
    said = posetrt("map", "nano", "--source", clips, "-o", tmp_path / "out", "--on", f"ray://127.0.0.1:{_free_port()}")
    assert said.code == 1
    assert "there is no Ray cluster at ray://127.0.0.1" in said.err
    assert "ray start --head" in said.err
