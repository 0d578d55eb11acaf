"""Pages that are made from the code are those that the code makes now."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harkd.datasets import names, read_card
from harkd.datasets.card import CARDS
from harkd.datasets.prepare import STEPS, parse

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_pages_are_up_to_date(generate: Any) -> None:
    for name, text in generate.pages().items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, f"run python docs/generate.py: docs/{name} is old"


def test_the_table_has_every_data_set_and_says_where_it_was_checked() -> None:
    rows = [line for line in (DOCS / "datasets.md").read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    told = {row.split("`")[1]: row.rsplit("|", 2)[1].strip() for row in rows}
    assert list(told) == names()
    assert told["seglearn_watch"] == told["uci_hmp"] == "yes"
    assert told["synthetic_motion"] == "synthetic: made by harkd"
    assert told["uci_hapt"] == "no: on repacked or rebuilt copies"


def test_the_card_of_the_guide_is_one_and_its_steps_are_understood(tmp_path: Path) -> None:
    guide = (DOCS / "own-data.md").read_text(encoding="utf-8")
    block = guide.split("```toml\n")[1].split("```")[0]
    (tmp_path / "gym.toml").write_text(block, encoding="utf-8")
    card = read_card(str(tmp_path / "gym.toml"))
    assert [type(step).__name__ for step in parse(card.prepare)] == ["Resample", "Fill"]
    table = guide.split("| step | does |")[1].split("##")[0]
    named = [word for row in table.splitlines()[2:] if row for word in re.findall(r"`([^`]+)`", row.split("|")[1])]
    defaults = {"lowpass": "lowpass(5)", "highpass": "highpass(1)"}
    assert {word.split("(")[0] for word in named} == set(STEPS)
    for word in named:
        assert len(parse(defaults.get(word, word))) == 1


def test_the_schema_knows_every_key_of_the_cards() -> None:
    """A small validator of what the schema says: objects, their keys, and which of them are needed."""
    schema = json.loads((DOCS / "card.schema.json").read_text(encoding="utf-8"))

    def check(value: Any, kind: dict[str, Any], where: str) -> None:
        if "$ref" in kind:
            kind = schema["$defs"][kind["$ref"].removeprefix("#/$defs/")]
        if "properties" in kind and isinstance(value, dict):
            assert set(value) <= set(kind["properties"]), where
            assert set(kind.get("required", [])) <= set(value), where
            for key, inner in value.items():
                check(inner, kind["properties"][key], f"{where}.{key}")
        elif kind.get("type") == "array" and isinstance(value, list) and "items" in kind:
            for inner in value:
                check(inner, kind["items"], where)

    for path in CARDS.glob("*.toml"):
        check(tomllib.loads(path.read_text(encoding="utf-8")), schema, path.stem)
