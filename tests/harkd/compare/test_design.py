"""Factors, levels, folds and cells: what a study consists of before anything is trained."""

from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harkd.compare.design import Design, Factor, factors_of, folds_of, level_options, listed
from harkd.compare.options import Study
from harkd.datasets import Windows
from harkd.datasets.card import SubjectSplit
from harkd.datasets.splits import split
from harkd.errors import UsageError
from harkd.evaluation import pseudonyms
from harkd.options import CE, KD, Distill, Pair, identity

ONE_FOLD = ("official",)


def design(*vary: str, control: str = "", seeds: int = 1, folds: tuple[str, ...] = ONE_FOLD, **pair: Any) -> Design:
    return Design.of(Pair(**pair), Study(vary=vary, control=control, seeds=seeds), folds)


def options_of(found: Design, name: str) -> Distill:
    return next(level.options for level in found.levels if level.name == name)


# Lists


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("none", ("none",)),
        ("none,um2017", ("none", "um2017")),
        (" none , um2017 ", ("none", "um2017")),
        ("a(b,c),d", ("a(b,c)", "d")),
        ("a(b(c,d),e),[f,g],{h,i}", ("a(b(c,d),e)", "[f,g]", "{h,i}")),
        ('drop("x,y"),none', ('drop("x,y")', "none")),
        ('drop("),("),none', ('drop("),(")', "none")),
        ("acc;acc,gyro", ("acc", "acc,gyro")),
        ("a(b;c),d", ("a(b;c),d",)),
        ("", ("",)),
        ("a,", ("a", "")),
    ],
)
def test_lists(text: str, levels: tuple[str, ...]) -> None:
    assert listed(text) == levels


WORDS = st.recursive(
    st.sampled_from(["a", "rotate", "0.1", "x=3"]),
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda words: f"f({', '.join(words)})"),
    max_leaves=6,
)


@given(st.lists(WORDS, min_size=1, max_size=5))
def test_a_list_of_nested_words_comes_apart_where_it_was_joined(words: list[str]) -> None:
    assert listed(",".join(words)) == tuple(words)
    assert listed(" ; ".join([*words, "end"])) == (*words, "end")


# Factors


def test_the_factors_are_those_with_flags_then_the_others() -> None:
    pair = Pair(augment="none,jeon_mix1", method="kd", teacher="wrn1d-16-1,wrn1d-16-2")
    assert factors_of(pair, Study(vary=("rate=0.1,0.2", "teacher-augment=clean"))) == (
        Factor("augment", ("none", "jeon_mix1")),
        Factor("method", ("kd",)),
        Factor("student", ("dscnn-s",)),
        Factor("teacher", ("wrn1d-16-1", "wrn1d-16-2")),
        Factor("rate", ("0.1", "0.2")),
        Factor("teacher_augment", ("clean",)),
    )


@pytest.mark.parametrize(
    ("pair", "vary", "message"),
    [
        ({"augment": "none,none"}, (), "augment: level 'none' stands there twice"),
        ({"augment": "none,,um2017"}, (), "augment: a level is empty; got 'none,,um2017'"),
        ({"augment": "none,mild="}, (), "augment: a level is empty; got 'none,mild='"),
        ({}, ("assistants=paths(dscnn-m, )",), "assistants: a level is empty; got 'direct=,dscnn-m,,dscnn-m,'"),
        ({}, ("rate",), "--vary takes OPTION=LEVEL,LEVEL, like rate=0.001,0.003; got 'rate'"),
        ({}, ("rate=0.1,0.2", "rate=0.3"), "--vary gives rate twice; write all its levels in one"),
        ({}, ("augment=none,um2017",), "--vary augment: it has a flag of its own, --augment LEVEL,LEVEL"),
        ({}, ("split=a,b",), "--vary split: it says what is compared on, and is the same for all; use --folds"),
        ({}, ("seed=0,1",), "--vary seed: it says what is compared on, and is the same for all; use --seeds"),
        ({}, ("data=a,b",), "--vary data: it says what is compared on, and is the same for all; use a study for each"),
        ({}, ("rte=1,2",), "unknown option in --vary 'rte': did you mean 'rate'? (choose from assistants, "),
        ({}, ("kd.wieght=1,2",), "unknown option of kd in --vary 'wieght': did you mean 'weight'? (choose from "),
        ({}, ("kdd.weight=1,2",), "unknown method in --vary 'kdd': did you mean 'kd'? (choose from "),
    ],
)
def test_factors_that_are_refused(pair: dict[str, str], vary: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        factors_of(Pair(**pair), Study(vary=vary))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


# Levels


def test_a_level_may_have_a_name_of_its_own() -> None:
    found = design(
        "teacher_sees=wrist=acc; both=acc,gyro", augment="none,mild=jitter(sigma=0.02),rotate(20)", control="mild/both"
    )
    assert found.names[2:5] == ("mild/wrist", "mild/both", "rotate(20)/wrist")
    assert (found.control, options_of(found, "mild/both").teacher_sees) == ("mild/both", "acc,gyro")
    assert options_of(found, "mild/wrist") == options_of(design("teacher_sees=acc", augment="none,jitter(0.02)"), "jitter(0.02)")


@pytest.mark.parametrize("augment", ["a=none,a=rotate(20)", "none,none=rotate(20)"])
def test_a_name_stands_for_one_level(augment: str) -> None:
    with pytest.raises(UsageError, match=r"^augment: level '(a|none)' stands there twice$"):
        design(augment=augment)


def test_levels_are_the_product_of_the_factors_in_the_order_in_which_they_were_written() -> None:
    found = design(augment="none,jeon_mix1", method="kd,ce", control="jeon_mix1/ce")
    assert found.names == ("none/kd", "none/ce", "jeon_mix1/kd", "jeon_mix1/ce")
    assert (found.control, found.notes) == ("jeon_mix1/ce", ())
    assert type(options_of(found, "none/kd").method_options) is KD
    assert type(options_of(found, "none/ce").method_options) is CE


def test_the_first_level_is_the_control_unless_another_is_named() -> None:
    assert design(augment="um2017,none").control == "um2017"
    assert design(augment="um2017,none", control="none").control == "none"


@pytest.mark.parametrize(
    ("pair", "vary", "name", "expected"),
    [
        ({}, "rate=0.1,1e-3", "1e-3", {"rate": 0.001}),
        ({}, "epochs=8,9", "9", {"epochs": 9}),
        ({}, "force_augment=true,false", "true", {"force_augment": True}),
        ({}, "schedule=onecycle,stairs", "stairs", {"schedule": "stairs"}),
        ({}, "kd.weight=0.5,0.9", "0.5", {"method_options": KD(weight=0.5)}),
        ({}, "student_sees=acc; acc,gyro", "acc,gyro", {"student_sees": "acc,gyro"}),
        ({"augment": "none,um2017"}, "rate=0.1", "um2017", {"rate": 0.1}),
    ],
)
def test_any_option_can_be_varied(pair: dict[str, str], vary: str, name: str, expected: dict[str, Any]) -> None:
    found = options_of(design(vary, **pair), name)
    assert {key: getattr(found, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("pair", "vary", "message"),
    [
        ({}, "rate=0.1,fast", "rate: Input should be a valid number, unable to parse string as a number (found 'fast')"),
        ({}, "schedule=onecycle,stair", "unknown value 'stair': did you mean 'stairs'?"),
        ({}, "epochs=2,0", "epochs is at least 1, got 0"),
        ({}, "kd.weight=0.5,2", "weight lies between 0 and 1, got 2.0"),
        ({"method": "kd,kdd"}, "rate=0.1", "unknown method 'kdd': did you mean 'kd'?"),
        ({"augment": "none,jiter(0.1)"}, "rate=0.1", "unknown augmentation 'jiter': did you mean 'jitter'?"),
    ],
)
def test_levels_that_are_none_are_refused(pair: dict[str, str], vary: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        design(vary, **pair)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_factor_that_does_not_concern_a_level_is_a_dash() -> None:
    """Labels alone are the same with any teacher, and with any weight of one."""
    found = design("kd.weight=0.5,0.9", "teacher_augment=same,clean", method="ce,kd", teacher="wrn1d-16-1,wrn1d-16-2")
    ce, *kd = found.names
    assert ce == "ce/-/-/-"
    assert kd == [f"kd/wrn1d-16-{n}/{weight}/{sees}" for n in (1, 2) for weight in ("0.5", "0.9") for sees in ("same", "clean")]
    assert found.notes == ()  # nobody asked for labels alone with two teachers
    assert design(method="ce,kd", teacher="wrn1d-16-1,wrn1d-16-2", control="ce/-").control == "ce/-"


def test_labels_alone_are_the_same_run_in_studies_of_other_teachers() -> None:
    one, two = (design(method="ce,kd", teacher=teacher) for teacher in ("wrn1d-16-1", "wrn1d-28-1"))
    assert one.cells[0] == two.cells[0]
    assert one.cells[1].name != two.cells[1].name


def test_two_spellings_of_one_strategy_fall_together_and_it_is_said() -> None:
    found = design(augment="none,jitter(0.05),jitter(sigma=0.05)", method="kd,ce", control="jitter(sigma=0.05)/ce")
    assert found.names == ("none/kd", "none/ce", "jitter(0.05)/kd", "jitter(0.05)/ce")
    assert found.notes == (
        "jitter(sigma=0.05)/kd is the same as jitter(0.05)/kd",
        "jitter(sigma=0.05)/ce is the same as jitter(0.05)/ce",
    )
    assert found.control == "jitter(0.05)/ce"
    assert design("rate=0.1,1e-1,0.2").notes == ("1e-1 is the same as 0.1",)


@pytest.mark.parametrize(
    ("pair", "vary"),
    [
        ({}, ()),
        ({"augment": "jitter(0.05),jitter(sigma=0.05)"}, ()),
        ({"method": "ce"}, ("kd.weight=0.1,0.5",)),
        ({"method": "ce", "teacher": "wrn1d-16-1,wrn1d-16-2"}, ()),
    ],
    ids=["one", "one in two spellings", "options of another method", "no teacher"],
)
def test_there_has_to_be_something_to_compare(pair: dict[str, str], vary: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"^there is nothing to compare: give an option several levels, like --augment"):
        design(*vary, **pair)


def test_a_control_that_is_no_level() -> None:
    with pytest.raises(UsageError) as caught:
        design(augment="none,jeon_mix1", method="ce,kd", control="noen/kd")
    assert str(caught.value) == (
        "unknown control (of the form AUGMENT/METHOD) 'noen/kd': did you mean 'none/kd'? "
        "(choose from jeon_mix1/ce, jeon_mix1/kd, none/ce, none/kd)"
    )


def test_a_level_holds_all_other_options_as_they_were_given() -> None:
    pair = Pair(data="x", epochs=7, rate=0.02, student_sees="acc", split="blind", teacher_epochs=3)
    chosen = {"augment": "rotate(20)", "method": "kd", "student": "dscnn-xs", "teacher": "wrn1d-16-1"}
    found = level_options(pair, chosen)
    changed = chosen | {"split": "official"}
    assert {name: value for name, value in asdict(found).items() if name != "method_options"} == asdict(pair) | changed


# Cells


def test_a_whole_seed_comes_before_the_next() -> None:
    found = design(augment="none,rotate(20)", seeds=2, folds=("kfold:2/0", "kfold:2/1"), seed=5)
    assert [(cell.seed, cell.fold, cell.level) for cell in found.cells] == [
        (seed, fold, level) for seed in (5, 6) for fold in ("kfold:2/0", "kfold:2/1") for level in ("none", "rotate(20)")
    ]
    for cell in found.cells:
        assert (cell.options.seed, cell.options.split, cell.options.augment) == (cell.seed, cell.fold, cell.level)


def test_only_some_levels_and_seeds() -> None:
    found = design(augment="none,um2017,jeon_mix1", seeds=3)
    part = found.only(["um2017", "none"], [0, 1])
    assert (part.names, part.seeds, part.control) == (("none", "um2017"), (0, 1), "none")
    assert set(part.cells) == {cell for cell in found.cells if cell.seed < 2 and cell.level != "jeon_mix1"}


def test_names_of_cells_are_folders() -> None:
    found = design(augment="none,um2017", folds=("kfold:3/0", "loso:person-2", "session:a/../b", "official"))
    names = [cell.name for cell in found.cells]
    assert len(set(names)) == len(names)
    assert names[0] == f"dscnn-s-kd-kfold-3of0-s0-{identity(found.cells[0].options)}"
    assert all("/" not in name and not name.startswith(".") for name in names)


CHANGES: dict[str, Any] = {
    "augment": "um2017",
    "rate": 0.5,
    "student": "dscnn-xs",
    "seed": 3,
    "split": "kfold:2/1",
    "teacher_seed": 4,
    "batch": 12,
    "method_options": KD(weight=0.3),
}


@settings(deadline=None)
@given(st.sets(st.sampled_from(sorted(CHANGES))), st.sets(st.sampled_from(sorted(CHANGES))))
def test_names_of_cells_differ_exactly_if_their_options_do(one: set[str], other: set[str]) -> None:
    first = design(augment="none,um2017").cells[0]
    names = [
        replace(first, level=str(number), options=replace(first.options, **{name: CHANGES[name] for name in changed})).name
        for number, changed in enumerate((one, other))
    ]
    assert (names[0] == names[1]) == (one == other)


# Folds


def folds(windows: Windows, text: str, chosen: str = "official") -> tuple[str, ...]:
    return folds_of(Pair(split=chosen), Study(folds=text), windows, pseudonyms(windows))


def test_folds(toy_windows: Windows) -> None:
    assert folds(toy_windows, "3") == ("kfold:3/0", "kfold:3/1", "kfold:3/2")
    assert folds(toy_windows, "") == tuple(f"kfold:5/{fold}" for fold in range(5))
    assert folds(toy_windows, "loso") == tuple(f"loso:{name}" for name in "123456")
    assert folds(toy_windows, "session") == ("session:am", "session:pm")
    assert folds(toy_windows, "split") == ("official",)
    assert folds(toy_windows, "", "loso:3") == folds(toy_windows, "split", "loso:3") == ("loso:3",)


def test_splits_of_the_card_as_folds(toy_windows: Windows) -> None:
    def with_splits(**tested: tuple[str, ...]) -> Windows:
        people = set(toy_windows.subjects.tolist())
        splits = {name: SubjectSplit(train=tuple(sorted(people - set(test))), test=test) for name, test in tested.items()}
        return replace(toy_windows, card=replace(toy_windows.card, splits=splits))

    there = with_splits(odd=("1", "3", "5"), even=("2", "4", "6"), most=("1", "2", "3", "4"))
    assert folds(there, "odd,even") == ("odd", "even")
    with pytest.raises(UsageError, match=r"^--folds odd,most: every subject is tested once, and 2 are in the test part"):
        folds(there, "odd,most")
    with pytest.raises(UsageError, match=r"session, splits of the card \(odd, even, most\) or split; got 'odd,evn'$"):
        folds(there, "odd,evn")


def test_subjects_with_names_are_left_out_by_their_pseudonyms(toy: Any) -> None:
    windows = toy.windows(each=1, subjects=("11", "7", "8", "9"))
    codes = {name: f"person-{name}" for name in windows.subjects.tolist()}
    assert folds_of(Pair(), Study(folds="loso"), windows, codes) == tuple(f"loso:person-{n}" for n in (7, 8, 9, 11))


@pytest.mark.parametrize("text", ["1", "7", "0", "-2", "3.0", "three", "kfold:3"])
def test_folds_that_are_not_understood(toy_windows: Windows, text: str) -> None:
    message = rf"^--folds is a number from 2 to 6 \(the subjects\), loso, session.* or split; got '{text}'$"
    with pytest.raises(UsageError, match=message):
        folds(toy_windows, text)


def test_folds_against_a_split(toy_windows: Windows) -> None:
    with pytest.raises(UsageError, match=r"^--split loso:3 and --folds 3: give one of them$"):
        folds(toy_windows, "3", "loso:3")


def test_folds_by_session_need_two(toy_windows: Windows) -> None:
    morning = toy_windows.subset(np.flatnonzero(toy_windows.sessions == "am"))
    with pytest.raises(UsageError, match=r"^--folds session needs at least two sessions, toy has 1$"):
        folds(morning, "session")


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_every_subject_is_tested_exactly_once_over_the_folds(toy: Any, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.integers(0, 99).map(str), min_size=4, max_size=9, unique=True))
    windows = toy.windows(each=1, subjects=names)
    # With fewer people, some fold would have nobody left to train on.
    numbers = [str(n) for n in range(2, len(names) + 1) if n > 2 or len(names) > 4]
    text = data.draw(st.sampled_from([*numbers, "loso"]))
    codes = {name: name for name in names}
    tested: list[str] = []
    for fold in folds_of(Pair(), Study(folds=text), windows, codes):
        train, val, test = (set(part.subjects.tolist()) for part in split(windows, fold))
        assert train
        assert train.isdisjoint(val | test)
        assert val.isdisjoint(test)
        tested += test
    assert sorted(tested) == sorted(names)


def test_every_option_of_a_pair_can_be_a_factor_but_what_is_compared_on() -> None:
    """A new option has to take its place: it can be varied, or it says what is compared on."""
    fixed = {"data", "data_folder", "split", "seed", "window", "step"}
    for name in {f.name for f in fields(Pair)} - {"augment", "method", "student", "teacher"}:
        if name in fixed:
            with pytest.raises(UsageError, match=f"^--vary {name}: it says what is compared on"):
                factors_of(Pair(), Study(vary=(f"{name}=1,2",)))
        else:
            assert factors_of(Pair(), Study(vary=(f"{name}=1,2",)))[-1] == Factor(name, ("1", "2"))
