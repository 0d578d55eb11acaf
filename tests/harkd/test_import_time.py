"""What is imported when: a --help must not wait for torch."""

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import harkd
from harkd.__main__ import COMMANDS

HEAVY = (
    "torch",
    "scipy",
    "sklearn",
    "pandas",
    "matplotlib",
    "statsmodels",
    "ray",
    "optuna",
    "tensorboard",
    "mlflow",
    "sqlalchemy",
)


def heavy_after(*steps: str) -> dict[str, list[str]]:
    """The heavy modules that are there after each of some statements, in a fresh Python."""
    code = f"""
import contextlib, io, json, sys
found = {{}}
for step in {list(steps)!r}:
    with contextlib.redirect_stdout(io.StringIO()):
        exec(step)
    found[step] = [name for name in {HEAVY!r} if name in sys.modules]
print(json.dumps(found))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_no_help_and_no_option_needs_a_heavy_module() -> None:
    helps = [f"from harkd.__main__ import main; assert main([{command!r}, '--help']) == 0" for command in COMMANDS]
    found = heavy_after("import harkd", "import harkd.options", "from harkd.__main__ import main; main(['--help'])", *helps)
    assert len(found) == 3 + len(COMMANDS)
    assert found == {step: [] for step in found}


def test_mistakes_on_the_command_line_are_told_without_a_heavy_module() -> None:
    steps = [
        f"from harkd.__main__ import main; sys.stderr = io.StringIO(); assert main({words!r}) == 2"
        for words in (
            ["trian"],
            ["train", "--ent", "x"],
            ["distill", "--recipe", "nowhere"],
            ["list", "net"],
            ["train", "--epochs", "0"],
        )
    ]
    found = heavy_after(*steps)
    assert found == {step: [] for step in steps}


def test_the_check_sees_a_heavy_module() -> None:
    found = heavy_after("import harkd", "harkd.Player")
    assert found["import harkd"] == []
    assert "torch" in found["harkd.Player"]


@pytest.mark.parametrize("name", harkd.__all__)
def test_public_names_resolve_and_are_typed(name: str) -> None:
    found = getattr(harkd, name)
    for function in [found] if inspect.isfunction(found) else [found.__init__] if inspect.isclass(found) else []:
        signature = inspect.signature(function)
        bare = [p.name for p in signature.parameters.values() if p.annotation is p.empty and p.name != "self"]
        assert not bare
        assert signature.return_annotation is not signature.empty


def test_type_checkers_see_the_public_names() -> None:
    """Static imports under TYPE_CHECKING name the same things from the same modules as the lazy ones."""
    source = Path(inspect.getfile(harkd)).read_text()
    (block,) = [node for node in ast.parse(source).body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    homes = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert sorted(homes) == sorted(harkd.__all__)
    assert homes == {name: f"harkd.{home}" for name, home in harkd._HOMES.items()}
    assert (Path(inspect.getfile(harkd)).parent / "py.typed").is_file()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'harkd' has no attribute 'fitt'"):
        harkd.fitt  # noqa: B018
