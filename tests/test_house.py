"""The house itself: the four links, a lean import, data files in the wheel."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

import pytest

import posetrt
from posetrt.cli import build_parser, commands

ROOT = Path(__file__).resolve().parents[1]


def test_each_folder_is_a_subpackage_by_a_relative_link() -> None:
    for name in ("export", "runtime", "calib", "jetson"):
        link = ROOT / "src" / "posetrt" / name
        assert link.is_symlink()
        assert str(link.readlink()) == f"../../{name}"
        assert (link / "__init__.py").is_file()


def test_importing_posetrt_imports_numpy_and_nothing_else() -> None:
    probe = (
        "import sys, json; import numpy; import posetrt; "
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))))"
    )
    loaded = json.loads(
        subprocess.run([sys.executable, "-S", "-c", probe], env=_environment(), capture_output=True, text=True, check=True).stdout
    )
    assert {name for name in loaded if not name.startswith("_")} <= {"numpy", "posetrt", "mkl", "sitecustomize"}


def _environment() -> dict[str, str]:
    import numpy

    return {"PYTHONPATH": f"{ROOT / 'src'}:{Path(numpy.__file__).parents[1]}", "PATH": "/usr/bin:/bin"}


FLOORS = {
    "runtime": 0,
    "export": 1,
    "jetson": 1,
    "calib": 2,
    "corpus": 3,
    "rollout": 3,
    "doctor": 3,
    "arguments": 3,
    "doors": 4,
    "bench": 4,
    "commands": 5,
    "cli": 6,
}
FLOORS |= {"usage": 1, "defaults_file": 1, "following": 3, "looking": 3, "run_options": 4}
"""Who may import whom: a module imports from its own folder and from lower floors."""


def _imports() -> dict[str, set[str]]:
    """Each module of the package and the modules of ours that it imports when it is imported, types alone left out."""
    package = ROOT / "src" / "posetrt"
    modules = {
        "posetrt." + ".".join(path.relative_to(folder.parent).with_suffix("").parts): path
        for folder in (
            ROOT / "runtime",
            ROOT / "export",
            ROOT / "calib",
            ROOT / "jetson",
            package / "bench",
            package / "corpus",
            package / "commands",
        )
        for path in folder.rglob("*.py")
        if not {"ros2", "examples"} & set(path.parts)
    } | {f"posetrt.{path.stem}": path for path in package.glob("*.py") if path.stem not in ("__init__", "__main__")}
    return {name: _imported(path, modules) for name, path in modules.items()}


def _imported(path: Path, modules: Mapping[str, Path]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("posetrt"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in modules else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("posetrt.")}
    return found


def test_no_import_runs_upwards() -> None:
    wrong = []
    for module, others in _imports().items():
        own = module.split(".")[1]
        for other in others - {"posetrt"}:
            theirs = other.split(".")[1]
            if own != theirs and FLOORS[theirs] >= FLOORS[own] and {own, theirs} != {"commands", "cli"}:
                wrong.append(f"{module} imports {other}")
    assert not wrong


def test_the_version_of_the_package_is_the_version_of_the_project() -> None:
    assert f'version = "{posetrt.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()


def test_every_command_has_help_and_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    for name in commands():
        with pytest.raises(SystemExit) as stopped:
            build_parser().parse_args([name, "--help"])
        assert stopped.value.code == 0
        assert f"posetrt {name}" in capsys.readouterr().out


@pytest.mark.slow
def test_an_installed_wheel_carries_its_data_files(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path), str(ROOT)], check=True)
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", str(next(tmp_path.glob("*.whl")))], check=True)
    probe = (
        "import posetrt, pathlib; from importlib import resources; "
        "assert resources.files('posetrt.runtime').joinpath('sinks').joinpath('page.html').is_file(); "
        "from posetrt.runtime.model.folder import open_folder; "
        "from posetrt.runtime.model.shipped import network_folder, shipped_model; assert open_folder(network_folder(shipped_model())); "
        "print(len(posetrt.load_skeleton('face70').parts), posetrt.__file__)"
    )
    said = subprocess.run([str(python), "-I", "-c", probe], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert said.startswith("70 ")
    assert str(tmp_path) in said


KNOWN_IN = (
    *("runtime/heads/", "export/heads/", "calib/heads/", "src/posetrt/bench/heads/"),
    *("export/networks/", "calib/scenes/", "runtime/model/format1.py"),
)
"""Where kinds and roles are known: the heads, the networks that the project writes, the maps that it draws, the reader of old manifests."""
PARSERS_OWN = ("src/posetrt/bench/parser_benchmark.py", "src/posetrt/bench/reference_parser.py", "src/posetrt/commands/bench_parser.py")
WORDS = {"paf", "pafs", "paf-decoded", "heatmap", "heatmaps", "simcc", "simcc_x", "simcc_y", "displacements"}
"""Kinds and roles that mean nothing else. (Rows, boxes, offsets, peaks, pairs and points are words of the rest of the project too.)"""


def test_no_module_outside_the_heads_names_a_kind_or_a_role() -> None:
    named = []
    for folder in ("runtime", "export", "calib", "jetson", "src/posetrt/bench", "src/posetrt/corpus", "src/posetrt/commands"):
        for path in (ROOT / folder).rglob("*.py"):
            where = path.relative_to(ROOT).as_posix()
            if where.startswith((*KNOWN_IN, *PARSERS_OWN)):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                word = node.value if isinstance(node, ast.Constant) else getattr(node, "attr", getattr(node, "id", None))
                if isinstance(word, str) and word in WORDS:
                    named.append(f"{where}:{node.lineno} {word}")
    assert not named


def test_the_public_workflow_is_one_that_the_runner_takes_and_covers_each_python() -> None:
    import yaml

    path = ROOT / ".github" / "workflows" / "ci.yml"
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)]
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pythons = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]["fast"]["strategy"]["matrix"]["python"]
    assert f'requires-python = ">={pythons[0]}"' in project
    assert pythons == ["3.10", "3.11", "3.12", "3.13"]
