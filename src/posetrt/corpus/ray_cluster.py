"""Workers on a Ray cluster: Ray Data gives the items to actors that hold an engine each. Alone imports ray."""

from __future__ import annotations

import itertools
import logging
import os
import pickle
import socket
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from posetrt.corpus import probe
from posetrt.corpus.work import ATTEMPTS, Job, Outcome, Worker
from posetrt.runtime.errors import EngineMismatch, PosetrtError, UsageError
from posetrt.runtime.packages import install_hint

if TYPE_CHECKING:
    from typing_extensions import Self

ROUND = 10_000
"""Items in one data set of Ray's: what the cluster holds of a list at once. Workers open their engines anew in the next."""
_AT_ONCE = 500
"""Items in one message to the cluster, so that the driver never holds more."""
_IN_FLIGHT = 2
"""Items that an actor has: the one that it works on, and the next."""
_CONNECTING = 3
"""Attempts to connect to a cluster whose head answers."""
_PATIENCE_S = 180.0
"""For a machine to answer before the start: it may have to start Python and to open an engine."""


class RayCluster:
    """Workers on a Ray cluster. Use it as a context manager: it connects, and asks each machine whether it can do the work.

    An actor that dies is started again by Ray and its item is tried again; what does not come after three attempts is listed as failed.

    Args:
        job: what is done.
        workers: how many; 0 takes as many as the cluster's CPUs (GPUs, where it has some and the job may use them) allow.
        address: `ray://HOST:PORT`, or "auto" for the cluster that this machine belongs to.
        first: the first item, which each machine is asked about.
        cpus: of each worker.
        gpu: whether a worker takes a GPU where the cluster has some.

    Raises:
        PosetrtError: ray is not installed, there is no cluster, or it has no free CPU.
        EngineMismatch: names each machine that has another posetrt, lacks the engine, or does not see the first item.
    """

    def __init__(self, job: Job, workers: int, address: str, first: Any, *, cpus: int = 1, gpu: bool = False) -> None:
        self._job, self.workers, self._address, self._first = job, workers, address, first
        self._cpus, self._gpu = cpus, gpu

    def __enter__(self) -> Self:
        self._ray = connect(self._address)
        try:
            self._prepare()
        except BaseException:
            self._ray.shutdown()
            raise
        return self

    def _prepare(self) -> None:
        ray = self._ray
        nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
        gpus = sum(int(node["Resources"].get("GPU", 0)) for node in nodes)
        use_gpu = self._gpu and gpus > 0
        if use_gpu:
            nodes = [node for node in nodes if node["Resources"].get("GPU", 0) >= 1]
        room = gpus if use_gpu else sum(int(node["Resources"]["CPU"] // self._cpus) for node in nodes)
        if not room:
            raise PosetrtError(
                f"the Ray cluster at {self._address} has no machine with {self._cpus} CPU; start one with: ray start --address=HEAD:6379"
            )
        if self.workers > room:
            raise UsageError(f"--workers {self.workers}: the cluster has room for {room} ({self._cpus} CPU each); leave it out to take all")
        self.workers = self.workers or room
        self._check(nodes)
        # A worker for every `cpus`; the shepherd itself only hands on.
        shepherd = ray.remote(num_cpus=0, max_concurrency=2)(Shepherd)
        self._shepherd = shepherd.remote(self._job, self.workers, {"num_cpus": self._cpus, **({"num_gpus": 1} if use_gpu else {})})

    def _check(self, nodes: Sequence[Any]) -> None:
        ray = self._ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # By value: a machine without posetrt could not look the function up.
        ray.cloudpickle.register_pickle_by_value(probe)
        try:
            ask = ray.remote(num_cpus=0, max_retries=0)(probe.complaint)
            arguments = (probe.code_version(), pickle.dumps(self._job), pickle.dumps(self._first))
            asked = {
                node["NodeID"]: ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
                    *arguments
                )
                for node in nodes
            }
        finally:
            ray.cloudpickle.unregister_pickle_by_value(probe)
        complaints = []
        for node in nodes:
            where = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}, node {node['NodeID'][:6]})"
            try:
                _, said = ray.get(asked[node["NodeID"]], timeout=_PATIENCE_S)
            except Exception as error:  # noqa: BLE001 Ray raises many kinds, and each names the machine's trouble
                said = f"does not answer: {str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__}"
            if said is not None:
                complaints.append(f"  {where}: {said}")
        if complaints:
            raise EngineMismatch(
                f"{len(complaints)} of the cluster's {len(nodes)} machines cannot do this work, and nothing was started:", *complaints
            )

    def results(self, items: Iterator[Any]) -> Iterator[Outcome]:
        """What comes of each item, as it comes."""
        ray, shepherd = self._ray, self._shepherd
        while batch := list(itertools.islice(items, _AT_ONCE)):
            sent = 0
            while batch:
                ray.get(shepherd.add.remote(batch))
                sent += len(batch)
                batch = list(itertools.islice(items, _AT_ONCE)) if sent < ROUND else []
            ray.get(shepherd.begin.remote())
            while outcomes := self._take():
                yield from outcomes

    def _take(self) -> list[Outcome]:
        try:
            taken: list[Outcome] = self._ray.get(self._shepherd.take.remote())
        except Exception as error:
            if isinstance(error, PosetrtError):
                raise
            raise PosetrtError(
                f"the Ray cluster at {self._address} stopped working: {str(error).strip().splitlines()[-1]}. What came before is written; run "
                "the same command again to go on"
            ) from error
        return taken

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ray.kill(self._shepherd)
        self._ray.shutdown()


class Shepherd:
    """Runs Ray Data in the cluster, since its executor does not work through Ray's client; hands on what comes when it is asked for.

    Args:
        job: what is done.
        workers: how many.
        resources: that each takes.
    """

    def __init__(self, job: Job, workers: int, resources: dict[str, Any]) -> None:
        self._job, self._workers, self._resources = job, workers, resources
        self._waiting: dict[int, Any] = {}
        self._rows: Iterator[Any] = iter(())
        self._count = 0

    def add(self, items: list[Any]) -> None:
        """Take items of the next round."""
        for item in items:
            self._waiting[self._count] = item
            self._count += 1

    def begin(self) -> None:
        """Start the round."""
        import ray.data

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        # An item that kills its workers must not end the job: it is missing at the end.
        context.max_errored_blocks = -1
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        rows = [{"number": number, "item": pickle.dumps(item)} for number, item in self._waiting.items()]
        # A block an item, so that each is given out, comes back and is retried alone.
        data = ray.data.from_items(rows, override_num_blocks=len(rows))
        workers = min(self._workers, len(rows))
        self._rows = iter(
            data.map(
                _Actor,
                fn_constructor_args=(self._job,),
                compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=_IN_FLIGHT),
                max_restarts=-1,
                max_task_retries=ATTEMPTS - 1,
                **self._resources,
            ).iter_rows()
        )

    def take(self) -> list[Outcome]:
        """The next outcome; at the end of a round what never came, and then nothing."""
        for row in self._rows:
            if self._waiting.pop(row["number"], None) is not None:
                return [pickle.loads(row["outcome"])]  # noqa: S301 comes from our own actors
        lost = [
            Outcome(item, error=f"{ATTEMPTS} workers ended while they worked on it, or on another beside it", attempts=ATTEMPTS)
            for item in self._waiting.values()
        ]
        self._waiting.clear()
        return lost


class _Actor:
    """One worker, as Ray Data makes it."""

    def __init__(self, job: Job) -> None:
        self._worker = Worker(job)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"number": row["number"], "outcome": pickle.dumps(self._worker(pickle.loads(row["item"])))}  # noqa: S301


def connect(address: str) -> Any:
    """Connect to a cluster, and give the package ray.

    Raises:
        PosetrtError: ray is not installed, or there is no cluster.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise PosetrtError(f"--on {address} needs the package ray: {install_hint('ray')}") from error
    if address != "auto":
        _knock(address)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    for attempt in range(1, _CONNECTING + 1):
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            break
        except Exception as error:
            # The head starts a server for each client, which a busy machine does not always do in the time that Ray gives it.
            if attempt == _CONNECTING or "Initialization failure" not in str(error):
                said = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
                raise PosetrtError(
                    f"there is no Ray cluster at {address}: {' '.join(dict.fromkeys((said[0], said[-1])))}. {_START}"
                ) from error
    return ray


_START = "Start one with: ray start --head, and on each other machine: ray start --address=HEAD:6379"


def _knock(address: str) -> None:
    """Ray's client waits half a minute for a cluster that is not there."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(
            f"--on takes local, auto or ray://HOST:PORT (Ray's client port, 10001 where the head was started without another); got {address}"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), 5).close()
    except (OSError, OverflowError) as error:
        raise PosetrtError(f"there is no Ray cluster at {address}: {getattr(error, 'strerror', None) or error}. {_START}") from error
