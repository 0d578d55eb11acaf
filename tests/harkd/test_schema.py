"""TOML files as dataclasses: what is wrong is named with file, line, key, and the key that was meant."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harkd.errors import HarkdError, UsageError
from harkd.schema import STRICT_KEYS, load_toml, validate


@dataclass(frozen=True)
class Wheel:
    __pydantic_config__ = STRICT_KEYS

    size: int
    colour: str = "black"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"a wheel of size {self.size} does not turn.")


@dataclass(frozen=True)
class Bike:
    __pydantic_config__ = STRICT_KEYS

    name: str
    wheels: tuple[Wheel, ...]
    gears: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    spare: Mapping[str, Wheel] = field(default_factory=dict)
    weight: float | None = None


TEXT = """\
name = "city"

[gears]
front = [30, 40]
"rear set" = [11, 13]

[[wheels]]
size = 28

[[wheels]]
size = 26
colour = "red"

[spare.front]
size = 20

[spare.back]
size = 21
"""


def loaded(folder: Path, text: str) -> Bike:
    path = folder / "bike.toml"
    path.write_text(text, encoding="utf-8")
    return load_toml(Bike, path)


def test_a_file_becomes_the_dataclass(tmp_path: Path) -> None:
    assert loaded(tmp_path, TEXT) == Bike(
        "city",
        (Wheel(28), Wheel(26, "red")),
        {"front": (30, 40), "rear set": (11, 13)},
        {"front": Wheel(20), "back": Wheel(21)},
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name =", "nmae =", "bike.toml:1: unknown key 'nmae'; did you mean 'name'?"),
        ('name = "city"', 'name = "city"\nwieght = 9', "bike.toml:2: unknown key 'wieght'; did you mean 'weight'?"),
        ("size = 28", "size = 28\ncolor = 'red'", "bike.toml:9: unknown key 'wheels.0.color'; did you mean 'colour'?"),
        ("size = 26", "sise = 26", "bike.toml:11: unknown key 'wheels.1.sise'; did you mean 'size'?"),
        ("size = 21", "size = 21\nx = 1", "bike.toml:19: unknown key 'spare.back.x'; choose from size, colour"),
        ("size = 21", "radius = 21", "bike.toml:18: unknown key 'spare.back.radius'; did you mean 'size'?"),
        ("size = 26", "size = 'big'", "bike.toml:11: wheels.1.size: Input should be a valid integer"),
        ("size = 26", "size = 0", "bike.toml:10: wheels.1: a wheel of size 0 does not turn"),
        ("size = 21", "size = -3", "bike.toml:17: spare.back: a wheel of size -3 does not turn"),
        ("size = 26\n", "", "bike.toml:10: wheels.1.size: Field required"),
        ("[30, 40]", "[30, 'x']", "bike.toml:4: gears.front.1: Input should be a valid integer"),
        ("[11, 13]", "[11, 'x']", "bike.toml:5: gears.rear set.1: Input should be a valid integer"),
        ('name = "city"', "", "bike.toml: name: Field required"),
        ("[11, 13]", "[11, 13", "bike.toml: not valid TOML"),
    ],
)
def test_a_mistake_is_named_with_its_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert TEXT.count(old) == 1
    with pytest.raises(UsageError) as caught:
        loaded(tmp_path, TEXT.replace(old, new))
    assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(message)


def test_what_was_found_is_shown(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\(found 'big'\)$"):
        loaded(tmp_path, TEXT.replace("26", "'big'"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 3, "colr": "red"}, "flag --wheel: unknown key 'colr'; did you mean 'colour'?"),
        ({"size": 0}, "flag --wheel: a wheel of size 0 does not turn"),
        ({}, "flag --wheel: size: Field required"),
        ("round", "flag --wheel: Input should be a dictionary or an instance of Wheel (found 'round')"),
    ],
)
def test_values_need_not_come_from_a_file(values: object, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        validate(Wheel, values, "flag --wheel")
    assert str(caught.value) == message


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.toml: no such file"):
        load_toml(Bike, tmp_path / "absent.toml")


@pytest.mark.parametrize("form", ["folder", "latin-1"])
def test_a_file_that_cannot_be_read_says_why(form: str, tmp_path: Path) -> None:
    path = tmp_path / "bike.toml"
    if form == "folder":
        path.mkdir()
    else:
        path.write_bytes('name = "Fährrad"'.encode("latin-1"))
    with pytest.raises(HarkdError, match=r"bike\.toml: cannot be read as UTF-8 text"):
        load_toml(Bike, path)
