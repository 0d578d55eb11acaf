"""The grammar of strategies: what goes out comes in again, and what is wrong is shown where it is wrong."""

from __future__ import annotations

import tomllib
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harkd.augment import NODES, OPS, Compose, OneOf, leaves, parse, read_strategy, strategy_names, text, to_text
from harkd.augment.jitter import Jitter, NoiseInjection, Scaling
from harkd.augment.mask import Removal
from harkd.augment.mixing import Mixup
from harkd.augment.rotate import Rotate
from harkd.augment.warp import MagnitudeWarp, Shifting, TimeWarp
from harkd.errors import UsageError

OPENING = "an op name, a number, a text in quotes or one of ( ) + | , ="
NUMBER = "Input should be a valid number, unable to parse string as a number"
CHOOSE = ", ".join(sorted([*OPS, *NODES, *strategy_names(), "none"]))

# Random strategies


def number(most: float) -> st.SearchStrategy[float]:
    return st.floats(0, most) | st.integers(0, min(int(most), 1000)).map(float)


share = number(1)
sigma = number(1e300)
knots = st.integers(0, 20)
PLAIN = st.one_of(
    st.builds(Jitter, sigma, st.booleans(), p=share),
    st.builds(NoiseInjection, sigma, st.booleans(), p=share),
    st.builds(Scaling, sigma, st.sampled_from(["channel", "sensor"]), p=share),
    st.builds(Removal, share, st.sampled_from(["mean", "zero", "hold"]), p=share),
    st.builds(Rotate, number(180), p=share),
    st.builds(Shifting, share, p=share),
    st.builds(TimeWarp, sigma, knots, p=share),
    st.builds(MagnitudeWarp, sigma, knots, p=share),
)
MIXING = st.builds(Mixup, sigma, st.sampled_from(["any", "same_class", "other_class", "same_subject", "other_subject"]), p=share)


def sequence(op: st.SearchStrategy) -> st.SearchStrategy[Compose]:
    return st.lists(op, max_size=3).map(lambda ops: Compose(tuple(ops)))


def choice(op: st.SearchStrategy) -> st.SearchStrategy[OneOf]:
    return st.builds(lambda branches, p: OneOf(tuple(branches), p=p), st.lists(sequence(op), min_size=1, max_size=3), share)


OP = st.recursive(PLAIN, lambda op: op | choice(op), max_leaves=5)
STRATEGY = st.builds(lambda plain, mixing: plain + mixing, sequence(OP), sequence(MIXING)) | st.builds(
    lambda plain, mix, late: plain + mix + late, sequence(OP), MIXING, sequence(OP | MIXING)
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(STRATEGY)
def test_round_trip(strategy):
    written = to_text(strategy)
    assert parse(written) == strategy
    assert to_text(parse(written)) == written


@settings(max_examples=100, deadline=None, derandomize=True)
@given(STRATEGY, st.sampled_from([" ", "  ", "\t", "\n "]))
def test_white_space_means_nothing(strategy, space):
    written = to_text(strategy)
    for mark in "()+|,=":
        written = written.replace(mark, f"{space}{mark}{space}")
    assert parse(f"{space}{written}{space}") == strategy


PIECES = [
    *OPS,
    "jeon_mix1",
    "none",
    "one_of",
    "p",
    "sigma",
    "true",
    "nan",
    "(",
    ")",
    "+",
    "|",
    ",",
    "=",
    "0.5",
    "-1",
    "1e999",
    " ",
    "#",
    "é",
]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=12))
def test_nonsense_is_refused_and_never_crashes(nonsense):
    refused = f"strategy {nonsense!r}, position "
    try:
        strategy = parse(nonsense)
    except UsageError as problem:
        refused = str(problem).removeprefix(refused)
        strategy = None
    assert refused[:1].isdigit() if strategy is None else parse(to_text(strategy)) == strategy


# What a text means


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("none", ()),
        ("none+none", ()),
        ("jitter", (Jitter(),)),
        ("jitter()", (Jitter(),)),
        ("jitter(0.1)", (Jitter(0.1),)),
        ("jitter(sigma=0.1)", (Jitter(0.1),)),
        ("jitter(.1)", (Jitter(0.1),)),
        ("jitter(1e-1)", (Jitter(0.1),)),
        ("jitter(1.)", (Jitter(1.0),)),
        ("jitter(0.1, true)", (Jitter(0.1, exact=True),)),
        ("jitter(exact=true, p=0.5)", (Jitter(exact=True, p=0.5),)),
        ("jitter(p=0)", (Jitter(p=0.0),)),
        ("time_warp(0.2, 6)", (TimeWarp(0.2, 6),)),
        ("time_warp(0.2, 6.0)", (TimeWarp(0.2, 6),)),
        ("removal(0.5, fill=hold)", (Removal(0.5, "hold"),)),
        ("removal(0.5, hold)", (Removal(0.5, "hold"),)),
        ("none+jitter", (Jitter(),)),
        ("rotate(15)+jitter(0.05)", (Rotate(15.0), Jitter(0.05))),
        ("none|mixup(0.4)", (Mixup(0.4),)),
        ("jitter|mixup(0.4, partner=same_class)", (Jitter(), Mixup(0.4, "same_class"))),
        ("jitter|none", (Jitter(),)),
        ("jitter|mixup+jitter(0.1)", (Jitter(), Mixup(), Jitter(0.1))),
        ("one_of(jitter, rotate)", (OneOf((Jitter(), Rotate())),)),
        ("one_of(jitter+rotate, none, p=0.5)", (OneOf((Compose((Jitter(), Rotate())), Compose(())), p=0.5),)),
        ("one_of(one_of(jitter), none)", (OneOf((OneOf((Jitter(),)), Compose(()))),)),
        ("jeon_mix1", (Removal(0.5), Shifting(0.5))),
        ("jeon_mix2+jitter", (Removal(0.5), NoiseInjection(0.2), Shifting(0.5), Jitter())),
        ("one_of(jeon_mix1, none)", (OneOf((Compose((Removal(0.5), Shifting(0.5))), Compose(()))),)),
    ],
)
def test_meaning(written, meant):
    assert parse(written) == Compose(meant)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("  none ", "none"),
        ("jitter", "jitter(0.05)"),
        ("jitter(sigma=0.10, exact=false, p=1)", "jitter(0.1)"),
        ("jitter(5e-1,p=.5)", "jitter(0.5, p=0.5)"),
        ("rotate(15.0)", "rotate(15)"),
        ("jitter(1e22)", "jitter(10000000000000000000000)"),
        ("jitter(1e-9)", "jitter(1e-09)"),
        ("time_warp(0.2, knots=4)", "time_warp(0.2)"),
        ("time_warp(0.2, 5)", "time_warp(0.2, knots=5)"),
        ("none|mixup", "none|mixup(0.2)"),
        ("jeon_mix1 | mixup(0.2)", "removal(0.5)+shifting(0.5)|mixup(0.2)"),
        ("one_of ( jitter , none , p = 0.5 )", "one_of(jitter(0.05), none, p=0.5)"),
    ],
)
def test_canonical_text(written, canonical):
    assert to_text(parse(written)) == canonical


def test_the_text_of_a_single_op():
    assert to_text(Jitter(0.1, p=0.5)) == "jitter(0.1, p=0.5)"
    assert to_text(OneOf((Jitter(0.1),))) == "one_of(jitter(0.1))"


# What is wrong


@pytest.mark.parametrize(
    ("written", "position", "problem"),
    [
        ("", 1, "expected an op or a strategy, found the end"),
        ("   ", 4, "expected an op or a strategy, found the end"),
        ("jitter+", 8, "expected an op or a strategy, found the end"),
        ("+jitter", 1, "expected an op or a strategy, found '+jitter'"),
        ("jitter++rotate", 8, "expected an op or a strategy, found '+rotate'"),
        ("jitter|", 8, "expected an op or a strategy, found the end"),
        ("|mixup", 1, "expected an op or a strategy, found '|mixup'"),
        ("0.5", 1, "expected an op or a strategy, found '0.5'"),
        ("jitter rotate", 8, "expected '+', '|' or the end, found 'rotate'"),
        ("jitter(0.1))", 12, "expected '+', '|' or the end, found ')'"),
        ("none(3)", 5, "expected '+', '|' or the end, found '(3)'"),
        ("jitter-0.5", 7, "expected '+', '|' or the end, found '-0.5'"),
        ("jitter|mixup|mixup", 13, "expected '+' or the end, found '|mixup'"),
        ("jitter(0.1", 11, "expected ',' or ')', found the end"),
        ("jitter(0.1 true)", 12, "expected ',' or ')', found 'true)'"),
        ("jitter(", 8, "expected a value, found the end"),
        ("jitter(sigma=)", 14, "expected a value, found ')'"),
        ("jitter(=3)", 8, "expected a value, found '=3)'"),
        ("jitter(,)", 8, "expected a value, found ',)'"),
        ("jitter  # loud", 9, f"expected {OPENING}, found '# loud'"),
        ("jitter(0.1)-rotate(15)", 12, f"expected {OPENING}, found '-rotate(15)'"),
        ("one_of(jitter|mixup)", 14, "expected ',' or ')', found '|mixup)'"),
        ("jiter(0.1)", 1, "unknown augmentation 'jiter': did you mean 'jitter'?"),
        ("jitter+rotat(3)", 8, "unknown augmentation 'rotat': did you mean 'rotate'?"),
        ("jeon_mix3", 1, "unknown augmentation 'jeon_mix3': did you mean 'jeon_mix2'?"),
        ("one_of(jitter, qqqqqq)", 16, f"unknown augmentation 'qqqqqq' (choose from {CHOOSE})"),
        ("jitter(sgma=1)", 8, "unknown option of jitter 'sgma': did you mean 'sigma'? (choose from exact, p, sigma)"),
        ("one_of(jitter, q=1)", 16, "unknown option of one_of 'q' (choose from p)"),
        ("jitter(0.1, true, 3)", 19, "jitter takes at most 2 values without a name (sigma, exact)"),
        ("rotate(1, any, 0.5)", 16, "rotate takes at most 2 values without a name (max_angle, about)"),
        ("jitter(0.05, sigma=1)", 14, "sigma is given twice"),
        ("jitter(p=0.5, p=0.1)", 15, "p is given twice"),
        ("one_of(jitter, p=0.5, p=0.5)", 23, "p is given twice"),
        ("jitter(p=0.5, 0.1)", 15, "values without a name come before those with one"),
        ("one_of(p=0.5, jitter)", 15, "values without a name come before those with one"),
        ("jitter(-0.05)", 1, "Jitter: sigma is a finite number from 0 up; got -0.05"),
        ("rotate(15)+noise_injection(-.2)", 12, "NoiseInjection: sigma_max is a finite number from 0 up; got -0.2"),
        ("jitter(1e999)", 1, "Jitter: sigma is a finite number from 0 up; got inf"),
        ("jitter(nan)", 1, "Jitter: sigma is a finite number from 0 up; got nan"),
        ("rotate(181)", 1, "Rotate: max_angle is a finite number from 0 to 180; got 181.0"),
        ("removal(1.5)", 1, "Removal: share is a finite number from 0 to 1; got 1.5"),
        ("shifting(2)", 1, "Shifting: share is a finite number from 0 to 1; got 2.0"),
        ("time_warp(0.1, -1)", 1, "knots counts the values between the two ends, so it is at least 0; got -1"),
        ("jitter(p=2)", 1, "p is a share of windows, from 0 to 1; got 2.0"),
        ("jitter(p=-0.5)", 1, "p is a share of windows, from 0 to 1; got -0.5"),
        ("one_of(jitter, p=2)", 1, "p is a share of windows, from 0 to 1; got 2.0"),
        ("one_of(jitter, p=often)", 1, f"one_of: p: {NUMBER} (found 'often')"),
        ("one_of(jitter, p=true)", 16, "p: expected something like 1, found true"),
        ("jitter(true)", 8, "sigma: expected something like 0.05, found true"),
        ("jitter(0.05, exact=1)", 14, "exact: expected something like false, found 1"),
        ("one_of()", 1, "OneOf needs at least one op or strategy to choose from"),
        ("jitter+one_of(p=0.5)", 8, "OneOf needs at least one op or strategy to choose from"),
        ("mixup(0.2)", 1, "mixup mixes windows, so it stands after '|'"),
        ("jitter+mixup", 8, "mixup mixes windows, so it stands after '|'"),
        ("one_of(jitter, mixup)", 16, "mixup mixes windows, so it stands after '|'"),
        ("none|one_of(mixup)", 6, "a mixing op cannot stand inside OneOf: put it at the end, after '|'"),
        ("jitter | rotate", 10, "after '|' comes an op that mixes windows, and rotate(15) does not"),
        ("jitter|jeon_mix1", 8, "after '|' comes an op that mixes windows, and removal(0.5) does not"),
        (
            "rotate + removal(0.5, half)",
            10,
            "removal: fill: unknown value 'half': did you mean 'hold'? (choose from hold, mean, zero)",
        ),
    ],
)
def test_errors_say_where_and_what(written, position, problem):
    with pytest.raises(UsageError) as refused:
        parse(written)
    assert str(refused.value) == f"strategy {written!r}, position {position}: {problem}"


@pytest.mark.parametrize(
    ("written", "position", "where", "words", "found"),
    [
        ("jitter(loud)", 1, "jitter: sigma", ["number"], "'loud'"),
        ("time_warp(0.1, 2.5)", 1, "time_warp: knots", ["integer", "fractional"], "2.5"),
    ],
)
def test_values_of_the_wrong_kind_are_refused(written, position, where, words, found):
    """The sentence itself is pydantic's."""
    with pytest.raises(UsageError) as refused:
        parse(written)
    message = str(refused.value)
    assert message.startswith(f"strategy {written!r}, position {position}: {where}: ")
    assert message.endswith(f" (found {found})")
    assert all(word in message for word in words)


# Named strategies


@pytest.mark.parametrize("name", strategy_names())
def test_shipped_strategies_parse_and_are_cited(name):
    found = read_strategy(name)
    strategy = parse(name)
    assert strategy == parse(found.strategy)
    if not any(other in found.strategy for other in strategy_names()):  # names of pools are spelt out
        assert to_text(strategy) == found.strategy  # shipped in canonical form, so that a report shows what the file says
    assert list(leaves(strategy))
    assert found.title
    assert len(found.citation) > 40
    assert any(year in found.citation for year in map(str, range(1990, 2030)))
    assert set(tomllib.loads((text.STRATEGIES / f"{name}.toml").read_text())) <= {f.name for f in fields(found)}


def test_names_of_ops_and_strategies_do_not_clash():
    names = [*OPS, *NODES, *strategy_names(), "none", "true", "false", "p"]
    assert len(set(names)) == len(names)


def test_an_unknown_strategy_names_the_nearest():
    with pytest.raises(UsageError, match=r"unknown strategy 'jeon_mix': did you mean 'jeon_mix\d'\?"):
        read_strategy("jeon_mix")


@pytest.fixture
def mixing_strategy(monkeypatch, tmp_path):
    """A named strategy that mixes."""
    (tmp_path / "strong.toml").write_text('title = "t"\nstrategy = "jitter(0.1)|mixup(0.4)"\ncitation = "c"\n')
    monkeypatch.setattr(text, "STRATEGIES", tmp_path)


@pytest.mark.usefixtures("mixing_strategy")
@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("strong", "jitter(0.1)|mixup(0.4)"),
        ("rotate(5)+strong", "rotate(5)+jitter(0.1)|mixup(0.4)"),
        ("strong|mixup(0.2)", "jitter(0.1)|mixup(0.4)+mixup(0.2)"),
    ],
)
def test_a_named_strategy_may_mix(written, canonical):
    assert to_text(parse(written)) == canonical
    assert parse(canonical) == parse(written)


@pytest.mark.usefixtures("mixing_strategy")
def test_a_named_strategy_that_mixes_stays_out_of_choices():
    with pytest.raises(UsageError, match=r"position 1: a mixing op cannot stand inside OneOf"):
        parse("one_of(strong, none)")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('title = "t"\nstrategy = "jitter"\n', "citation"),
        ('title = "t"\nstrategy = "jitter"\ncitation = "c"\nauthor = "a"\n', "unknown key 'author'"),
    ],
)
def test_a_strategy_file_is_checked(monkeypatch, tmp_path, content, problem):
    (tmp_path / "mine.toml").write_text(content)
    monkeypatch.setattr(text, "STRATEGIES", tmp_path)
    with pytest.raises(UsageError, match=problem):
        parse("mine")
