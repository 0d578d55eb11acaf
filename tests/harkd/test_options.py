"""Options: one set of frozen dataclasses is command line, recipe, stored configuration and identity, without loss."""

import shlex
import tomllib
from collections.abc import Callable
from dataclasses import MISSING, asdict, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from harkd.cast import helpers
from harkd.commands.cli import RECIPES, parse_run, read_recipe
from harkd.errors import HarkdError, UsageError
from harkd.options import CE, ESKD, KD, METHOD_OPTIONS, Data, Distill, Machine, Pair, Train, command_line, identity

METHODS = sorted(METHOD_OPTIONS)
EXAMPLES = settings(max_examples=40, deadline=None)

SHARE = st.floats(0, 1)
POSITIVE = st.floats(0, 1e300, exclude_min=True)
BOUNDED: dict[str, st.SearchStrategy[Any]] = {
    "epochs": st.integers(9, 10**6),
    "keep_epochs": st.lists(st.integers(1, 9)).map(tuple),
    "batch": st.integers(2, 10**6),
    "window": st.integers(0, 10**6),
    "step": st.integers(0, 10**6),
    "patience": st.integers(0, 10**6),
    "draws": st.integers(0, 10**6),
    "teacher_epochs": st.integers(1, 10**6),
    "teacher_patience": st.integers(0, 10**6),
    "peers": st.integers(0, 10**6),
    "rate": POSITIVE,
    "temperature": POSITIVE,
    "clip": st.floats(0, 1e300),
    "consistency": st.floats(0, 1e300),
    "weight_decay": st.floats(0, 1e300),
    **dict.fromkeys(("hint_weight", "similarity_weight"), st.floats(0, 1e300)),
    **dict.fromkeys(("student_stages", "teacher_stages"), st.lists(st.integers(-9, 9)).map(tuple)),
    **dict.fromkeys(
        ("adain_weight", "stats_weight", "attention_weight", "flow_weight", "pkt_weight", "distance_weight", "angle_weight"),
        st.floats(0, 1e300),
    ),
    "prior_weight": st.floats(0, 1e300),
    "ratio": SHARE,
    **dict.fromkeys(("span", "blocks", "heads"), st.integers(1, 10**6)),
    "turns": st.lists(st.integers(0, 10**6)).map(tuple),
    **dict.fromkeys(("smoothing", "weight", "stop", "decay", "hint_share"), SHARE),
    **dict.fromkeys(("drop_number", "negatives"), st.integers(0, 10**6)),
    "width": st.integers(1, 10**6),
    "contrast_temperature": POSITIVE,
    **dict.fromkeys(("survival", "pace", "tolerance"), st.floats(0, 1, exclude_min=True)),
    **dict.fromkeys(("label_weight", "kl_weight", "feature_weight", "contrast_weight"), st.floats(0, 1e300)),
    **dict.fromkeys(("relation_weight", "semantic_weight", "ridge"), st.floats(0, 1e300)),
    **dict.fromkeys(("momentum", "margin", "adapter_share", "confidence", "stage_share"), SHARE),
    **dict.fromkeys(("peer_weight", "anchor_weight", "domain_weight", "target_weight", "others_weight"), st.floats(0, 1e300)),
    **dict.fromkeys(("sharpness", "alpha"), POSITIVE),
    **dict.fromkeys(("warm_up", "clean_share"), SHARE),
    "first_share": st.floats(0, 1, exclude_min=True),
    "delta": st.floats(1, 1e300),
    **dict.fromkeys(("generations", "branches"), st.integers(0, 10**6)),
    **dict.fromkeys(("stages", "groups"), st.integers(1, 10**6)),
}
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(["-x", "--epochs", "-3", "a b", "'", '"', "="]),
    int: st.integers(-(2**63), 2**63 - 1),
    bool: st.booleans(),
}


def made(kind: type, **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any instance of a dataclass of options."""
    hints = get_type_hints(kind)

    def of(name: str) -> st.SearchStrategy[Any]:
        if get_origin(hints[name]) is Literal:
            return st.sampled_from(get_args(hints[name]))
        return BOUNDED[name] if name in BOUNDED else BY_TYPE[hints[name]]

    return st.builds(kind, **{f.name: more[f.name] if f.name in more else of(f.name) for f in fields(kind)})


def distills(method: str) -> st.SearchStrategy[Distill]:
    return made(Distill, method=st.just(method), method_options=made(METHOD_OPTIONS[method]))


ANY = st.one_of(made(Train), *map(distills, METHODS))


@EXAMPLES
@given(ANY)
def test_a_stored_configuration_is_a_recipe_for_the_same_options(tmp_path_factory: Any, options: Train | Distill) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.toml"
    path.write_text(tomli_w.dumps(asdict(options)), encoding="utf-8")
    assert read_recipe(type(options), str(path)) == options
    assert identity(read_recipe(type(options), str(path))) == identity(options)


@EXAMPLES
@given(ANY)
def test_the_command_of_some_options_is_understood_as_these_options(options: Train | Distill) -> None:
    program, command, *words = shlex.split(command_line(options))
    assert (program, command) == ("harkd", type(options).__name__.lower())
    assert parse_run(type(options), "harkd", words) == (options, Machine())


def test_the_command_says_what_differs_from_the_defaults_and_no_more() -> None:
    assert command_line(Train()) == "harkd train"
    assert command_line(Distill()) == "harkd distill"
    given = Train(net="dscnn-s", epochs=7, keep_epochs=(1, 7), force_augment=True, sees="-", rate=1e-5)
    assert command_line(given) == "harkd train --epochs 7 --rate 1e-05 --keep-epochs 1 7 --force-augment --net dscnn-s --sees=-"
    eskd = Distill(method="eskd", method_options=ESKD(stop=0.5))
    assert command_line(eskd) == "harkd distill --method eskd --stop 0.5"


def other(value: Any) -> Any:
    """A value of the same type that is not `value`, and allowed wherever `value` is."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 if value else 0.25
    return (1,) if isinstance(value, tuple) else {"adamw": "sgd", "batchmean": "mean", "two": "one"}.get(value, value + "2")


EVERYTHING: list[Any] = [Train(), *(Distill(method=key, method_options=kind()) for key, kind in METHOD_OPTIONS.items())]


@pytest.mark.parametrize("options", EVERYTHING, ids=lambda options: getattr(options, "method", "train"))
def test_the_identity_changes_with_every_field(options: Any) -> None:
    nested = options.method_options if isinstance(options, Distill) else None
    changed = [
        replace(options, **{f.name: other(getattr(options, f.name))}) for f in fields(options) if not f.name.startswith("method")
    ]
    if nested:
        own = [replace(nested, **{f.name: other(getattr(nested, f.name))}) for f in fields(nested)]
        changed += [replace(options, method_options=each) for each in own]
    names = {identity(each) for each in (options, *changed)}
    assert len(names) == 1 + len(changed)
    assert all(len(name) == 10 for name in names)


@EXAMPLES
@given(ANY)
def test_the_identity_does_not_change_with_the_order(options: Any) -> None:
    values = {f.name: getattr(options, f.name) for f in reversed(fields(options))}
    assert identity(type(options)(**values)) == identity(options)


def test_methods_and_commands_with_equal_options_have_identities_of_their_own() -> None:
    assert len({identity(options) for options in EVERYTHING}) == len(EVERYTHING)


def teacher_training(options: Distill) -> Train:
    (helper,) = helpers(options, validates=True)
    assert isinstance(helper.training, Train)
    return helper.training


def test_a_teacher_is_shared_by_students_that_differ_in_nothing_it_sees() -> None:
    base = Distill(
        teacher_epochs=9, teacher_patience=3, teacher_strategy="rotate(15)", teacher_seed=4, rate=0.1, split="kfold:3/1"
    )
    same = [
        replace(base, seed=5),
        replace(base, student="dscnn-xs", student_sees="acc", epochs=3, patience=2, keep_epochs=(1,)),
        replace(base, augment="jitter(0.05)", augment_seed=7, draws=4, teacher_augment="clean", select="best"),
        replace(base, method="eskd", method_options=ESKD(stop=0.5)),
    ]
    assert {identity(teacher_training(each)) for each in (base, *same)} == {identity(teacher_training(base))}
    others = [
        replace(base, teacher_seed=5),
        replace(base, split="kfold:3/2"),
        replace(base, teacher_sees="acc"),
        replace(base, rate=1),
    ]
    assert len({identity(teacher_training(each)) for each in (base, *others)}) == 5
    told = teacher_training(base)
    assert (told.net, told.epochs, told.patience, told.augment, told.seed, told.augment_seed) == (
        "wrn1d-16-1",
        9,
        3,
        "rotate(15)",
        4,
        4,
    )
    assert (told.select, told.draws, told.keep_epochs, told.rate, told.split) == ("best", 0, (), 0.1, "kfold:3/1")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Train(epochs=0), "epochs is at least 1, got 0"),
        (lambda: Train(batch=1), "batch is at least 2, got 1"),
        (lambda: Train(window=-1), "window is at least 0, got -1"),
        (lambda: Data(step=-2), "step is at least 0, got -2"),
        (lambda: Train(rate=0.0), "rate is positive, got 0.0"),
        (lambda: Train(rate=float("nan")), "rate is positive, got nan"),
        (lambda: Train(rate=float("inf")), "rate is positive and finite, got inf"),
        (lambda: Train(clip=float("inf")), "clip is at least 0 and finite, got inf"),
        (lambda: Train(clip=float("nan")), "clip is at least 0, got nan"),
        (lambda: Train(consistency=-1), "consistency is at least 0, got -1"),
        (lambda: Train(weight_decay=-0.1), "weight_decay is at least 0, got -0.1"),
        (lambda: Train(smoothing=1.5), "smoothing lies between 0 and 1, got 1.5"),
        (lambda: Train(epochs=3, keep_epochs=(1, 4)), r"keep_epochs lie between 1 and epochs \(3\), got 4"),
        (lambda: CE(smoothing=-1), "smoothing lies between 0 and 1, got -1"),
        (lambda: KD(weight=1.1), "weight lies between 0 and 1, got 1.1"),
        (lambda: KD(weight=float("nan")), "weight lies between 0 and 1, got nan"),
        (lambda: KD(temperature=0), "temperature is positive, got 0"),
        (lambda: KD(smoothing=2), "smoothing lies between 0 and 1, got 2"),
        (lambda: ESKD(stop=2), "stop lies between 0 and 1, got 2"),
        (lambda: ESKD(decay=-1), "decay lies between 0 and 1, got -1"),
        (lambda: ESKD(weight=7), "weight lies between 0 and 1, got 7"),
        (lambda: Pair(epochs=0), "epochs is at least 1, got 0"),
        (lambda: Pair(window=-1), "window is at least 0, got -1"),
        (lambda: Pair(teacher_epochs=0), "teacher_epochs is at least 1, got 0"),
        (lambda: Pair(teacher_patience=-1), "teacher_patience is at least 0, got -1"),
        (lambda: Distill(method="kdd"), "unknown method 'kdd': did you mean 'kd'?"),
        (lambda: Distill(method="ce"), "method 'ce' takes options CE, got KD"),
        (lambda: Distill(method="kd", method_options=ESKD()), "method 'kd' takes options KD, got ESKD"),
        (lambda: Machine(threads=-1), "threads is at least 0, got -1"),
    ],
)
def test_impossible_values_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


@pytest.mark.parametrize("kind", [Train, Pair, Machine, *METHOD_OPTIONS.values()], ids=lambda kind: kind.__name__)
def test_every_option_has_a_default_and_an_explanation(kind: type, capsys: pytest.CaptureFixture[str]) -> None:
    assert all(f.default is not MISSING for f in fields(kind))
    source = [cls for cls in kind.__mro__ if cls.__module__.startswith("harkd.options")]
    import inspect

    text = "".join(map(inspect.getsource, source))
    for f in fields(kind):
        assert f"    {f.name}: " in text
        after = text.split(f"    {f.name}: ", 1)[1].split("\n")[1]
        assert after.strip().startswith('"""'), f"{kind.__name__}.{f.name} has no docstring"


# Recipes


def recipe(folder: Path, text: str) -> str:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


DISTILL = 'student = "dscnn-xs"\nepochs = 9\nmethod = "eskd"\n[method_options]\nweight = 0.5\nstop = 0.25\n'


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], Distill(student="dscnn-xs", epochs=9, method="eskd", method_options=ESKD(weight=0.5, stop=0.25))),
        (["--epochs", "3"], Distill(student="dscnn-xs", epochs=3, method="eskd", method_options=ESKD(weight=0.5, stop=0.25))),
        (["--stop=1.0"], Distill(student="dscnn-xs", epochs=9, method="eskd", method_options=ESKD(weight=0.5, stop=1.0))),
        # Another method starts from its own defaults: the recipe's options are not its own.
        (["--method", "kd"], Distill(student="dscnn-xs", epochs=9, method="kd", method_options=KD())),
        (["--method=kd", "--weight", "0.1"], Distill(student="dscnn-xs", epochs=9, method="kd", method_options=KD(weight=0.1))),
        (["--method", "ce"], Distill(student="dscnn-xs", epochs=9, method="ce", method_options=CE())),
        (
            ["--method", "ce", "--method", "eskd"],
            Distill(student="dscnn-xs", epochs=9, method="eskd", method_options=ESKD(weight=0.5, stop=0.25)),
        ),
    ],
)
def test_flags_override_a_recipe(tmp_path: Path, words: list[str], wanted: Distill) -> None:
    path = recipe(tmp_path, DISTILL)
    assert parse_run(Distill, "harkd distill", ["--recipe", path, *words]) == (wanted, Machine(recipe=path))
    assert parse_run(Distill, "harkd distill", [*words, f"--recipe={path}"]) == (wanted, Machine(recipe=path))


def test_flags_override_switches_and_lists_of_a_recipe(tmp_path: Path) -> None:
    path = recipe(tmp_path, "force_augment = true\nkeep_epochs = [1, 2]\n")
    assert parse_run(Train, "harkd train", ["--recipe", path])[0] == Train(force_augment=True, keep_epochs=(1, 2))
    words = ["--recipe", path, "--no-force-augment", "--keep-epochs", "3"]
    assert parse_run(Train, "harkd train", words)[0] == Train(keep_epochs=(3,))
    assert parse_run(Train, "harkd train", ["--recipe", path, "--force-augment", "--keep-epochs"])[0] == Train(force_augment=True)


def test_the_last_of_two_recipes_counts(tmp_path: Path) -> None:
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text("epochs = 1\n")
    two.write_text("batch = 2\n")
    words = ["--recipe", str(one), "--recipe", str(two)]
    assert parse_run(Train, "harkd train", words) == (Train(batch=2), Machine(recipe=str(two)))


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.toml")))
def test_shipped_recipes_are_found_by_name_and_say_what_is_used(name: str) -> None:
    text = (RECIPES / f"{name}.toml").read_text()
    options = read_recipe(Distill, name)
    for key, value in tomllib.loads(text).items():
        found = getattr(options, key)
        assert (asdict(found) | value == asdict(found)) if key == "method_options" else found == value


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (Train, "epochs = 1\nbatc = 3\n", ":2: unknown key 'batc'; did you mean 'batch'?"),
        (Train, 'epochs = 1\nbatch = "many"\n', ":2: batch: "),
        (Train, "epochs = 0\n", ": epochs is at least 1, got 0"),
        (Train, "epochs =\n", ": not valid TOML: "),
        (Train, "keep_epochs = 3\n", ":1: keep_epochs: "),
        (Train, 'optimiser = "adam"\n', ":1: optimiser: "),
        (Train, 'student = "dscnn-xs"\n', " is a recipe for harkd distill (it says 'student'), not for harkd train"),
        (Distill, 'net = "dscnn-xs"\n', " is a recipe for harkd train (it says 'net'), not for harkd distill"),
        (Distill, 'out = "x"\n', ":1: unknown key 'out'"),
        (Distill, 'method = "kdd"\n', ": unknown method 'kdd': did you mean 'kd'?"),
        (Distill, "method_options = 3\n", ": method_options is a table, [method_options]; got 3"),
        (Distill, "[method_options]\nweight = 3\n", ": weight lies between 0 and 1, got 3.0"),
        (
            Distill,
            "[method_options]\nstop = 0.5\n",
            ":2: unknown key 'stop'; choose from weight, temperature, reduction, smoothing",
        ),
        (Distill, 'method = "eskd"\n[method_options]\nstopp = 0.5\n', ":3: unknown key 'stopp'; did you mean 'stop'?"),
        (Distill, "[method_option]\nweight = 0.5\n", ":1: unknown key 'method_option'; did you mean 'method'?"),
    ],
)
def test_mistakes_in_a_recipe_name_the_file_and_the_line(tmp_path: Path, kind: type, text: str, message: str) -> None:
    path = recipe(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        read_recipe(kind, path)
    told = str(caught.value)
    assert told.startswith(f"{path}{message}")
    assert "\n" not in told


def test_recipes_that_are_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown recipe 'demoo': did you mean 'demo'\?"):
        read_recipe(Distill, "demoo")
    for missing in (tmp_path / "x.toml", tmp_path / "x"):
        with pytest.raises(UsageError, match=f"^{missing}: no such file$"):
            read_recipe(Train, str(missing))
    with pytest.raises(UsageError, match=f"^{tmp_path} is a folder, and a recipe is a TOML file$"):
        read_recipe(Train, str(tmp_path))
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=rf"did you mean {tmp_path}/config\.toml\?"):
        read_recipe(Train, str(tmp_path))
    with pytest.raises(HarkdError, match=r"config\.toml: cannot be read as UTF-8 text"):
        read_recipe(Train, str(tmp_path / "config.toml"))


def test_the_configuration_of_a_run_repeats_it_to_the_bit(harkd: Any, world: Any, trained: Path, tmp_path: Path) -> None:
    told = harkd("train", "--recipe", trained / "config.toml", "--out", "again")
    assert told.code == 0
    for name in ("config.toml", "history.jsonl", "last.safetensors", "best.safetensors", "epoch-2.safetensors", "best.json"):
        assert (tmp_path / "again" / name).read_bytes() == (trained / name).read_bytes(), name
    assert len((trained / "history.jsonl").read_text().splitlines()) == 8


def test_the_configuration_of_a_student_repeats_it_and_its_teacher(harkd: Any, distilled: Path, tmp_path: Path) -> None:
    assert harkd("distill", "--recipe", distilled / "config.toml", "--out", "again/student").code == 0
    (teacher,) = distilled.parent.glob("teacher-*")
    for name in ("history.jsonl", "last.safetensors", "best.safetensors"):
        assert (tmp_path / "again" / "student" / name).read_bytes() == (distilled / name).read_bytes()
        assert (tmp_path / "again" / teacher.name / name).read_bytes() == (teacher / name).read_bytes()
