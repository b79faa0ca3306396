"""Which boards of a fleet can take which engine of a model folder, and what must be built where: from the reports of their doctors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posetrt.runtime.engines import onnxruntime
from posetrt.runtime.engines.choose import as_precision, built_engines, check_made_from
from posetrt.runtime.engines.preflight import Here, reason
from posetrt.runtime.errors import EngineMismatch, PosetrtError, UsageError, printable
from posetrt.runtime.files import read_json
from posetrt.runtime.model.folder import ModelFolder
from posetrt.runtime.model.sidecar import Sidecar, check_engine_file


@dataclass(frozen=True)
class Machine:
    """What a doctor's report says of a machine, as far as it decides what runs there.

    Attributes:
        name: as the list calls it.
        what: the board or computer, for people.
        sm: of its GPU, times ten; None without one.
        tensorrt: its version; None where TensorRT, pycuda or the driver is missing.
        onnxruntime: its version; None where that is missing.
        device: the CPU, as `engines.onnxruntime.device` gives it; None where an older doctor did not say.
        missing: what must be mended first: what the doctor did not find, with the command.
        unusable: people cannot be found there at all, and why; "" where they can.
    """

    name: str
    what: str
    sm: int | None = None
    tensorrt: str | None = None
    onnxruntime: str | None = None
    device: Mapping[str, Any] | None = None
    missing: tuple[str, ...] = ()
    unusable: str = ""


@dataclass(frozen=True)
class Verdict:
    """What becomes of one machine.

    Attributes:
        machine: by its name.
        what: the board or computer.
        precision: of the engine.
        state: "ready": an engine of the folder fits; "build": one must be built; "shared": another machine's build fits too;
            "blocked": something is missing first.
        engine: file name of the one that fits; None where none does.
        build_on: the machine that builds for all of its kind.
        reasons: why no engine fits, or what is missing.
        commands: what to type there.
    """

    machine: str
    what: str
    precision: str
    state: str
    engine: str | None = None
    build_on: str | None = None
    reasons: tuple[str, ...] = ()
    commands: tuple[str, ...] = field(default=())


def read_machines(path: Path) -> list[Machine]:
    """Read the reports of a fleet.

    Args:
        path: a JSON list of `{"name": ..., "doctor": report or path of one}`, an object of name → the same, one report of
            `posetrt doctor --json`, or a folder of reports, of which each file's name is the machine's.

    Raises:
        UsageError: there is no such file, or it holds no report.
        PosetrtError: it is not JSON, or a report is none of the doctor's.
    """
    if path.is_dir():
        entries: list[tuple[str, Any]] = [(one.stem, str(one.name)) for one in sorted(path.glob("*.json"))]
        folder = path
    elif path.is_file():
        entries, folder = _entries(read_json(path, "list of boards"), path), path.parent
    else:
        raise UsageError(
            f"there is no folder or list of boards at {path}; write a report on each board: posetrt doctor --json > NAME.json, and collect them in a folder"
        )
    if not entries:
        raise UsageError(f"{path} holds no report of: posetrt doctor --json")
    names = [name for name, _ in entries]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{path} has {', '.join(map(printable, repeated))} more than once: give each board a name of its own")
    return [_machine(name, read_json(folder / one, "doctor's report") if isinstance(one, str) else one, path) for name, one in entries]


def plan(folder: ModelFolder, machines: Sequence[Machine], precision: str | None = None) -> list[Verdict]:
    """Say for each machine which engine it takes, or what must be built where.

    One machine of each kind builds: engines are for one GPU and one TensorRT, or one CPU and one ONNX Runtime, so that all machines of a
    kind take the same file.

    Args:
        folder: of the model.
        machines: of the fleet.
        precision: None takes the folder's default, else fp16 on a GPU and fp32 on a CPU.
    """
    hashes = folder.hashes()
    builders: dict[Any, str] = {}
    return [_verdict(folder, hashes, machine, precision or folder.default_precision(), builders) for machine in machines]


def _verdict(folder: ModelFolder, hashes: Mapping[str, str], machine: Machine, asked: str | None, builders: dict[Any, str]) -> Verdict:
    chosen = as_precision(asked) if asked else "fp16" if machine.tensorrt else "fp32"
    if machine.unusable:
        return Verdict(machine.name, machine.what, chosen, "blocked", reasons=(machine.unusable, *machine.missing))
    backend = "tensorrt" if machine.tensorrt else "onnxruntime"
    reasons = []
    for engine, sidecar in built_engines(folder, chosen, backend).items():
        why = _why_not(engine, sidecar, hashes, machine)
        if why is None:
            return Verdict(machine.name, machine.what, chosen, "ready", engine.name)
        reasons.append(f"{engine.name} {why}")
    if chosen == "int8" and not folder.calibration.is_file():
        first = f"posetrt calibrate {folder.quoted} --images DIR"
        return Verdict(
            machine.name,
            machine.what,
            chosen,
            "blocked",
            reasons=("the folder has no ranges for INT8 yet; once, on any computer:",),
            commands=(first,),
        )
    kind = (machine.sm, machine.what, machine.tensorrt) if machine.tensorrt else (str(machine.device), machine.onnxruntime)
    known = machine.tensorrt is not None or machine.device is not None
    builder = builders.setdefault(kind, machine.name) if known else machine.name
    if builder != machine.name:
        return Verdict(machine.name, machine.what, chosen, "shared", build_on=builder, reasons=tuple(reasons))
    command = f"posetrt build {folder.quoted} --precision {chosen}"
    return Verdict(machine.name, machine.what, chosen, "build", build_on=machine.name, reasons=tuple(reasons), commands=(command,))


def _why_not(engine: Path, sidecar: Sidecar, hashes: Mapping[str, str], machine: Machine) -> str | None:
    """Why an engine does not fit a machine, as the rest of a sentence; None where it does."""
    why = check_made_from(engine, sidecar, hashes)
    if why is None and machine.tensorrt:
        why = reason(sidecar, Here("tensorrt", machine.tensorrt, machine.sm or 0, machine.what))
    elif why is None and machine.device is None:
        why = "may fit: this report is of an older posetrt, and does not say which CPU the machine has"
    elif why is None:
        why = onnxruntime.differs(sidecar, machine.onnxruntime or "none", dict(machine.device or {}))
    if why is None:
        try:
            check_engine_file(engine, sidecar)
        except EngineMismatch as error:
            why = str(error)
    return why


def _entries(content: Any, path: Path) -> list[tuple[str, Any]]:
    """(name, report or its path) of each machine."""
    if _is_report(content):
        return [(path.stem, content)]
    if isinstance(content, Mapping):
        return [(str(name), one) for name, one in content.items()]
    if not isinstance(content, list):
        raise UsageError(f"{path}: a list of boards was expected, each with name and doctor; got {type(content).__name__}")
    entries = []
    for place, one in enumerate(content):
        if not isinstance(one, Mapping) or not isinstance(one.get("name"), str) or "doctor" not in one:
            raise UsageError(
                f'{path}: entry {place} must be {{"name": ..., "doctor": what `posetrt doctor --json` prints, or a path to it}}'
            )
        entries.append((one["name"], one["doctor"]))
    return entries


def _is_report(content: Any) -> bool:
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(one, Mapping) and isinstance(one.get("what"), str) for one in content)
    )


def _machine(name: str, report: Any, where: Path) -> Machine:
    if not _is_report(report):
        raise PosetrtError(f"{where}: the report of {printable(name)} is not what `posetrt doctor --json` prints, a list of findings")
    findings = {one["what"]: one for one in report}
    found = {what: one["found"] for what, one in findings.items() if isinstance(one.get("found"), str)}
    board = found.get("Jetson", "not a Jetson")
    facts = findings.get("device", {}).get("facts")
    facts = facts if isinstance(facts, Mapping) else {}
    sm = facts.get("sm") if isinstance(facts.get("sm"), int) else _sm(board)
    on_gpu = {"TensorRT", "pycuda", "NVIDIA driver"} <= found.keys() and sm is not None
    device = facts.get("cpu") if isinstance(facts.get("cpu"), Mapping) else None
    what = board.partition(" (")[0] if board != "not a Jetson" else str(facts.get("gpu") or (device or {}).get("machine") or "computer")
    missing = tuple(_remedies(findings.values(), board != "not a Jetson"))
    usable = (
        {"numpy", "OpenCV"} <= found.keys() and ("ONNX Runtime" in found or on_gpu) and not any(one.get("fatal") is True for one in report)
    )
    unusable = "" if usable else found.get("verdict") or "people cannot be found on this machine as it is"
    if usable and board != "not a Jetson" and not on_gpu:
        unusable = "its GPU cannot be used as it is"
    return Machine(
        name,
        printable(what),
        sm,
        found.get("TensorRT") if on_gpu else None,
        found.get("ONNX Runtime"),
        device,
        missing,
        printable(unusable),
    )


def _sm(board: str) -> int | None:
    match = re.search(r"\bsm_([0-9]{2,3})\b", board)
    return int(match.group(1)) if match else None


def _remedies(findings: Iterable[Mapping[str, Any]], on_jetson: bool) -> list[str]:
    """What the doctor would have mended, of what running needs."""
    needed = {
        "numpy",
        "OpenCV",
        "JetPack",
        "Python",
        *(("TensorRT", "pycuda", "NVIDIA driver", "groups") if on_jetson else ("ONNX Runtime",)),
    }
    return [
        printable(f"{one['what']}: {one['remedy']}")
        for one in findings
        if one["what"] in needed and one.get("remedy") and (one.get("found") is None or one.get("fatal") is True)
    ]


def table(verdicts: Sequence[Verdict]) -> str:
    """The plan for people: a line for each machine, and then what to do."""
    width = max(len(one.machine) for one in verdicts)
    lines = []
    for one in verdicts:
        told = {
            "ready": f"takes {one.engine}",
            "build": f"build there: {'; '.join(one.commands)}",
            "shared": f"takes what {one.build_on} builds: copy its engines/",
            "blocked": "; ".join((*one.reasons, *one.commands)),
        }[one.state]
        lines.append(f"{one.machine:<{width}}  {one.what:<28} {one.precision:<5} {one.state:<8} {told}")
        if one.state == "build":
            lines += [f"{'':<{width}}  because {why}" for why in one.reasons]
    counts = {state: sum(one.state == state for one in verdicts) for state in ("ready", "build", "shared", "blocked")}
    lines.append("")
    lines.append(
        f"{len(verdicts)} machines: {counts['ready']} ready, {counts['build']} to build on, {counts['shared']} that take those builds, "
        f"{counts['blocked']} blocked"
    )
    return "\n".join(lines)
