"""A network on a Triton server as an engine: `triton://HOST:PORT/NAME`. Alone imports tritonclient."""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.engines.base import PRECISIONS, Engine
from posetrt.runtime.errors import PosetrtError, UsageError, printable
from posetrt.runtime.files import parse_json
from posetrt.runtime.heads.base import Tensors
from posetrt.runtime.model.manifest import manifest_from_dict
from posetrt.runtime.packages import install_hint

_PATIENCE_S = 60.0
"""For an answer: a server that hangs must not hang a robot."""
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})
_TYPES: dict[str, type[np.generic]] = {
    "FP32": np.float32,
    "FP16": np.float16,
    "UINT8": np.uint8,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
}
_ADVICE = "Write its repository with: posetrt triton FOLDER -o models/"


@dataclass(frozen=True)
class RemoteAddress:
    """Where a network runs.

    Attributes:
        host, port: of the server's gRPC.
        name: of the model.
        version: of it; "" takes the latest.
        shared_memory: hand tensors over in this host's memory; None tries it where the host is this one.
    """

    host: str
    port: int
    name: str
    version: str = ""
    shared_memory: bool | None = None

    def __str__(self) -> str:
        return f"triton://{self.host}:{self.port}/{self.name}" + (f"/{self.version}" if self.version else "")


def is_remote(path: str | Path) -> bool:
    """Whether a text, or the path that was made of it, names a network on a server."""
    return str(path).startswith("triton:/")


def remote_address(path: str | Path) -> RemoteAddress:
    """Read `triton://HOST:PORT/NAME[/VERSION][?shm=on|off]`, also where a `Path` was made of it.

    Raises:
        UsageError: it is none.
    """
    text = str(path)
    match = re.fullmatch(r"triton:/+(\[[0-9a-fA-F:]+\]|[^/:\[\]?]+):([0-9]{1,5})/([A-Za-z0-9._-]+)(?:/([0-9]+))?(?:\?(.*))?", text)
    options = dict(parse_qsl(match.group(5) or "", keep_blank_values=True)) if match else {}
    if match is None or not 0 < int(match.group(2)) < 65536 or options.keys() - {"shm"} or options.get("shm", "on") not in ("on", "off"):
        raise UsageError(
            f"a network on a server is written triton://HOST:PORT/NAME[/VERSION][?shm=on|off], PORT that of gRPC (8001); got {text}"
        )
    shared = {"on": True, "off": False}.get(options.get("shm", ""))
    return RemoteAddress(match.group(1).strip("[]"), int(match.group(2)), match.group(3), match.group(4) or "", shared)


class TritonEngine(Engine):
    """A network on a Triton server.

    Args:
        address: where.

    Raises:
        PosetrtError: tritonclient is not installed, there is no server, or it has no such model of ours.
    """

    backend = "triton"

    def __init__(self, address: RemoteAddress) -> None:
        try:
            import tritonclient.grpc as grpc_client
        except ImportError as error:
            raise PosetrtError(f"a network on a server needs the package tritonclient with gRPC: {install_hint('tritonclient')}") from error
        self._grpc, self._address = grpc_client, address
        host = f"[{address.host}]" if ":" in address.host else address.host
        self._client: Any = grpc_client.InferenceServerClient(f"{host}:{address.port}")
        try:
            self._read_model()
        except BaseException:
            self._client.close()
            raise
        self._names = list(dict.fromkeys(self.manifest.head.outputs.values()))
        self._shared: _SharedMemory | None = None
        if address.shared_memory or (address.shared_memory is None and address.host in _HERE):
            self._shared = _SharedMemory(self._client, grpc_client)

    def _read_model(self) -> None:
        address = self._address
        try:
            if not self._asked(lambda: self._client.is_server_live(client_timeout=10.0)):
                raise PosetrtError(f"the Triton server at {address.host}:{address.port} is not live")
            if not self._asked(lambda: self._client.is_model_ready(address.name, address.version, client_timeout=10.0)):
                index = self._asked(lambda: self._client.get_model_repository_index(client_timeout=10.0))
                there = ", ".join(f"{printable(one.name)} ({printable(one.state or 'not loaded')})" for one in index.models) or "none"
                raise PosetrtError(f"{address}: the server has no model of that name and version that is ready; it has: {there}")
            config = self._asked(lambda: self._client.get_model_config(address.name, address.version, client_timeout=10.0)).config
        except RuntimeError as error:  # a channel that was closed
            raise PosetrtError(f"{address}: {error}") from error
        text = config.parameters["posetrt"].string_value if "posetrt" in config.parameters else ""
        if not text:
            raise PosetrtError(f"{address}: the model's configuration does not say what its tensors mean (parameter posetrt). {_ADVICE}")
        manifest = manifest_from_dict(parse_json(text, str(address), "manifest"), str(address))
        precision = config.parameters["posetrt_precision"].string_value if "posetrt_precision" in config.parameters else "fp32"
        if precision not in PRECISIONS:
            raise PosetrtError(
                f"{address}: parameter posetrt_precision is {printable(precision)}; one of {', '.join(PRECISIONS)} was expected"
            )
        given = next((one for one in config.input if one.name == manifest.input.name), None)
        if given is None:
            raise PosetrtError(f"{address}: the model has no input {printable(manifest.input.name)}, which its manifest names. {_ADVICE}")
        fixed = given.dims[0] if given.dims else 1
        most = config.max_batch_size or (0 if fixed == -1 else int(fixed))
        self.manifest = replace(manifest, input=replace(manifest.input, max_batch=most))
        self.precision = next(one for one in PRECISIONS if one == precision)

    def _asked(self, ask: Callable[[], Any]) -> Any:
        """Ask the server.

        Raises:
            PosetrtError: it does not answer, or refuses.
        """
        from tritonclient.utils import InferenceServerException

        try:
            return ask()
        except InferenceServerException as error:
            where = f"{self._address.host}:{self._address.port}"
            status = str(error.status() or "")
            if "UNAVAILABLE" in status or "DEADLINE_EXCEEDED" in status:
                raise PosetrtError(
                    f"no Triton server answers at {where} ({printable(error.message().splitlines()[0])}). The port is that of gRPC, 8001 unless the "
                    "server was started with another"
                ) from error
            raise PosetrtError(f"{self._address}: the server says: {printable(error.message())}") from error

    def infer(self, inputs: NDArray[Any]) -> Tensors:
        """Run the network; see `Engine.infer`."""
        if self._client is None:
            raise PosetrtError("this engine was closed")
        spec = self.manifest.input
        kind = {"float32": "FP32", "uint8": "UINT8", "int32": "INT32"}[spec.dtype]
        if inputs.dtype != np.dtype(spec.dtype):
            raise PosetrtError(f"{self._address} takes {spec.dtype} {spec.layout}; got {inputs.dtype} {inputs.shape}")
        given = self._grpc.InferInput(spec.name, list(inputs.shape), kind)
        wanted = [self._grpc.InferRequestedOutput(name) for name in self._names]
        if self._shared is not None:
            self._shared.place(given, inputs, wanted)
        else:
            given.set_data_from_numpy(np.ascontiguousarray(inputs))
        answer = self._asked(
            lambda: self._client.infer(
                self._address.name, [given], model_version=self._address.version, outputs=wanted, client_timeout=_PATIENCE_S
            )
        )
        return {name: self._array(answer, name) for name in self._names}

    def _array(self, answer: Any, name: str) -> NDArray[Any]:
        described = answer.get_output(name)
        if described is None:
            raise PosetrtError(f"{self._address}: the server gave no output {name}")
        array: NDArray[Any] | None = None
        if self._shared is not None:
            array = self._shared.array(name, described)
        if array is None:
            try:
                array = answer.as_numpy(name)
            except ValueError as error:
                raise PosetrtError(f"{self._address}: output {name} is not as long as its shape says: {error}") from error
        if array is None:
            raise PosetrtError(f"{self._address}: the server gave no data for output {name}")
        if self._shared is not None:
            self._shared.remember(name, array)
        return array

    def close(self) -> None:
        """Let go of the server; closing twice is harmless."""
        client, self._client = self._client, None
        if client is None:
            return
        if self._shared is not None:
            self._shared.close()
        with contextlib.suppress(Exception):  # it may have gone before
            client.close()


class _SharedMemory:
    """Regions of this host's memory that server and client both see: one for the input, one for each output once its size is known.

    A server that refuses them, as one in a container with a memory of its own, is served over the network.
    """

    def __init__(self, client: Any, grpc_client: Any) -> None:
        self._client, self._grpc = client, grpc_client
        self._own = uuid.uuid4().hex[:12]
        self._regions: dict[str, Any] = {}
        self._sizes: dict[str, int] = {}
        self._refused = False
        # The server's answer does not say where an output lies: it lies where it was asked to.
        self._asked: set[str] = set()

    def place(self, given: Any, inputs: NDArray[Any], wanted: list[Any]) -> None:
        """Put the input there, and have the outputs put there whose size is known."""
        from tritonclient.utils import shared_memory

        self._asked.clear()
        region = None if self._refused else self._region("in", inputs.nbytes)
        if region is None:
            given.set_data_from_numpy(np.ascontiguousarray(inputs))
            return
        shared_memory.set_shared_memory_region(region, [np.ascontiguousarray(inputs)])
        given.set_shared_memory(self._name("in"), inputs.nbytes)
        for output in wanted:
            size = self._sizes.get(output.name())
            if size and self._region(output.name(), size) is not None:
                output.set_shared_memory(self._name(output.name()), size)
                self._asked.add(output.name())

    def array(self, name: str, described: Any) -> NDArray[Any] | None:
        """A copy of an output that lies there; None where it came over the network."""
        from tritonclient.utils import shared_memory

        if name not in self._asked:
            return None
        kind = np.dtype(_TYPES[described.datatype])
        found = shared_memory.get_contents_as_numpy(self._regions[name], kind, list(described.shape))
        copied: NDArray[Any] = found.copy()
        return copied

    def remember(self, name: str, array: NDArray[Any]) -> None:
        """Of an output that came over the network: the next one of that size may lie there. A size that changes stays on the network."""
        known = self._sizes.setdefault(name, array.nbytes)
        if known < array.nbytes:
            self._sizes[name] = 0

    def _name(self, name: str) -> str:
        return f"posetrt_{self._own}_{name}"

    def _region(self, name: str, size: int) -> Any:
        from tritonclient.utils import InferenceServerException, shared_memory

        region = self._regions.get(name)
        if region is not None and self._sizes.get(f"region {name}") == size:
            return region
        self._drop(name)
        key = f"/{self._name(name)}"
        try:
            region = shared_memory.create_shared_memory_region(self._name(name), key, size)
            self._regions[name] = region
            self._client.register_system_shared_memory(self._name(name), key, size, client_timeout=10.0)
        except (InferenceServerException, shared_memory.SharedMemoryException, OSError):
            self._drop(name)
            self._refused = True
            return None
        self._sizes[f"region {name}"] = size
        return region

    def _drop(self, name: str) -> None:
        from tritonclient.utils import shared_memory

        region = self._regions.pop(name, None)
        if region is None:
            return
        with contextlib.suppress(Exception):  # the server may have gone, and takes no part in this
            self._client.unregister_system_shared_memory(self._name(name), client_timeout=5.0)
        with contextlib.suppress(Exception):
            shared_memory.destroy_shared_memory_region(region)

    def close(self) -> None:
        """Give the memory back."""
        for name in list(self._regions):
            self._drop(name)
