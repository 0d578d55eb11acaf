"""What gets installed is what lies in the tree: the wheel, its requirements, the lock file and the two symlinks."""

import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from importlib.metadata import requires
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LINKED = ("datasets", "augment")

# Too heavy for what they would add, or tied to one torch release each.
FORBIDDEN = {"fastai", "lightning", "pytorch-lightning", "timm", "torchaudio", "torchvision"}


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """The command's standard output; a failure shows all that it printed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def sources() -> list[str]:
    """Every file of the working tree that git tracks or would offer to track."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return sorted({name for name in listed if name and os.path.lexists(ROOT / name)})


@pytest.fixture(scope="module")
def wheel(sources: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources, so that no earlier build or editable install leaks into it."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in sources:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name, follow_symlinks=False)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, tree)
    (built,) = out.glob("harkd-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script folder of a fresh environment that holds the wheel and borrows its dependencies from this one.

    A folder named in a .pth file has its own .pth files ignored: this environment's editable harkd stays unseen.
    """
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, symlinks=os.name != "nt")
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    site = Path(run(scripts / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    borrowed = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (site / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    pip = (sys.executable, "-m", "pip", "--python", scripts / "python")
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", "--ignore-installed", wheel)
    return scripts


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def test_the_wheel_holds_the_tree_and_nothing_else(wheel: Path, sources: list[str]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = set()
    for name in sources:
        top = name.split("/")[0]
        if top in LINKED:
            expected.add(f"harkd/{name}")
        elif top == "harkd" and not (ROOT / name).is_symlink():
            expected.add(name)
    assert packed == expected
    assert {"harkd/py.typed", "harkd/datasets/__init__.py", "harkd/augment/__init__.py"} <= packed


def test_the_wheel_asks_for_torch_and_for_nothing_forbidden(wheel: Path) -> None:
    asked = [Requirement(text) for text in metadata(wheel).get_all("Requires-Dist", [])]
    assert "torch>=2.11" in map(str, asked)
    assert not FORBIDDEN & {canonicalize_name(requirement.name) for requirement in asked}


def test_the_wheel_carries_its_licence(wheel: Path) -> None:
    assert metadata(wheel)["License-Expression"] == "Apache-2.0"
    assert metadata(wheel).get_all("License-File") == ["LICENSE"]


def test_the_installed_wheel_runs(wheel: Path, installed: Path, tmp_path: Path) -> None:
    show = "import harkd, harkd.augment as a, harkd.datasets as d; print(harkd.__file__, a.__file__, d.__file__, sep='|')"
    for file in run(installed / "python", "-c", show, cwd=tmp_path).strip().split("|"):
        assert Path(file).is_relative_to(installed.parent)
    assert metadata(wheel)["Version"] in run(installed / "harkd", "--version", cwd=tmp_path)
    assert json.loads(run(installed / "harkd", "list", "nets", "--json", cwd=tmp_path))


def needed(requirement: Requirement, seen: set[tuple[str, str]]) -> Iterator[str]:
    """The names of all distributions that a requirement brings in on this machine."""
    name = canonicalize_name(requirement.name)
    for extra in {"", *requirement.extras}:
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        yield name
        for text in requires(name) or []:
            child = Requirement(text)
            if child.marker is None or child.marker.evaluate({"extra": extra}):
                yield from needed(child, seen)


def test_the_lock_is_complete() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = chain(project["dependencies"], *project["optional-dependencies"].values())
    roots = [root for root in map(Requirement, texts) if root.name != project["name"]]

    lines = (ROOT / "constraints.txt").read_text().splitlines()
    locked = {}
    for pin in (Requirement(line) for line in lines if line and not line.startswith("#")):
        (exact,) = pin.specifier
        assert exact.operator == "=="
        locked[canonicalize_name(pin.name)] = exact.version

    assert locked["torch"] == "2.13.0"
    for root in roots:
        assert root.specifier.contains(locked[canonicalize_name(root.name)]), f"{root} is not what the lock has"

    seen: set[tuple[str, str]] = set()
    names = {name for root in roots for name in needed(root, seen)}
    # A CUDA wheel of torch pins its libraries itself; the CPU wheel has none.
    names = {name for name in names if not name.startswith(("cuda-", "nvidia-", "triton"))}
    assert not names - locked.keys()
    assert not FORBIDDEN & locked.keys()


@pytest.mark.parametrize("name", LINKED)
def test_the_symlinks_are_committed_and_relative(name: str, sources: list[str]) -> None:
    assert os.readlink(ROOT / "harkd" / name) == f"../{name}"
    assert run("git", "ls-files", "--stage", f"harkd/{name}").startswith("120000 ")


def test_no_file_imports_what_is_forbidden(sources: list[str]) -> None:
    """Forbidden packages, and our own folders by a name that only a checkout knows (harkd.datasets is right)."""
    forbidden = {name.replace("-", "_") for name in FORBIDDEN} | set(LINKED)
    found = []
    for file in (name for name in sources if name.endswith(".py")):
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"), file)):
            match node:
                case ast.Import():
                    modules = [alias.name for alias in node.names]
                case ast.ImportFrom(module=str(module), level=0):
                    modules = [module]
                case _:
                    continue
            found += [f"{file}:{node.lineno} {name}" for name in modules if name.split(".")[0] in forbidden]
    assert not found
