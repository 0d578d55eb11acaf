"""The grammar of signal preparation, and the order of its steps from files to windows."""

from dataclasses import MISSING, fields
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harkd.datasets import Recording, Segment, Sensor
from harkd.datasets.prepare import STEPS, parse, run, to_text, usage
from harkd.datasets.steps import Bandpass, Fill, Fit, Limit, Notch, Resample, Step
from harkd.errors import DataError, UsageError

FILES = r"""reader = "text"
pattern = '(?P<subject>\w+)_(?P<label>\w+)\.csv'
columns = { acc = ["x", "y", "z"] }
"""


@st.composite
def steps(draw: st.DrawFn) -> Step:
    """Any step with values that it takes."""
    kind = STEPS[draw(st.sampled_from(sorted(STEPS)))]
    hints = get_type_hints(kind)
    given: dict[str, Any] = {}
    for field in fields(kind):
        if field.default is not MISSING and draw(st.booleans()):
            continue
        hint = hints[field.name]
        if get_args(hint):
            given[field.name] = draw(st.sampled_from(get_args(hint)))
        elif hint is str:
            given[field.name] = draw(
                st.sampled_from(["acc", "left wrist", "class", "None", "a'b", 'a"b', "\\d", "größe", "1", ""])
            )
        elif hint is int:
            given[field.name] = draw(st.integers(2, 20))
        else:
            given[field.name] = draw(st.floats(1e-3, 1e6) | st.integers(1, 1000) | st.just(1e-300) | st.just(7.1e300))
    if kind is Bandpass:
        given["low"], given["high"] = sorted((given["low"], 2.5 * given["low"] + 1e-3))
    return kind(**given)


@given(st.lists(steps(), max_size=5))
def test_the_text_of_steps_means_the_steps(made: list[Step]) -> None:
    text = to_text(made)
    assert parse(text) == tuple(made)
    assert to_text(parse(text)) == text


@given(st.text(max_size=40) | st.text("+-()[]{},.=*'\"\\ 0123456789eifltnoch\0\n", max_size=40))
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except ValueError:
        return
    assert parse(to_text(found)) == found


def test_every_step_is_understood_with_what_it_needs_alone() -> None:
    needed = {"bandpass": "8, 30", "fill": "0.2", "fit": "64", "highpass": "1", "limit": "2", "lowpass": "8", "notch": "50"}
    for name, kind in STEPS.items():
        (step,) = parse(f"{name}({needed.get(name, '')})")
        assert type(step) is kind
        if name not in needed:
            assert parse(name) == (step,)  # without brackets too


def test_values_are_given_by_place_or_name() -> None:
    assert parse("bandpass(8, high=30, phase=causal)") == (Bandpass(8, 30, 4, phase="causal"),)
    assert parse(" limit(2.0,of='left wrist') +\n fill(0.2) + resample() ") == (Limit(2, "left wrist"), Fill(0.2), Resample())
    assert parse("fit(128.0)") == (Fit(128),)
    assert type(parse("fit(128.0)")[0].samples) is int  # type: ignore[attr-defined]
    assert parse("fill(1e999)") == (Fill(np.inf),)
    assert to_text([Limit(2, "left wrist"), Notch(50)]) == "limit(most=2, of='left wrist')+notch(frequency=50)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resampel()", "unknown preparation step 'resampel': did you mean 'resample'"),
        ("bandpass(8)", "preparation step bandpass needs high"),
        ("bandpass()", "preparation step bandpass needs low and high"),
        ("bandpass(8, 30, 4, zero)", "preparation step bandpass takes 3 values, low, high, order; name the others: phase=, of="),
        ("bandpass(30, 8)", "bandpass takes rising frequencies above 0 Hz, got 30, 8"),
        ("bandpass(8, 8)", "bandpass takes rising frequencies above 0 Hz"),
        ("lowpass(-1)", "lowpass takes rising frequencies above 0 Hz, got -1"),
        ("lowpass(1, order=0)", "lowpass takes an order of 1 to 20, got 0"),
        ("lowpass(1, order=2.5)", "preparation step lowpass: order is a whole number, got 2.5"),
        ("lowpass(1, phase=linear)", "unknown phase of lowpass 'linear'"),
        ("lowpass(1, faze=zero)", "unknown value of lowpass 'faze' .choose from high, of, order, phase"),
        ("lowpass(low)", "preparation step lowpass: high is a number, got 'low'"),
        ("notch(50, quality=0)", "notch takes a positive quality, got 0"),
        ("fill(-0.1)", "fill takes seconds, at least 0, got -0.1"),
        ("fill(0.2, of=3)", "preparation step fill: of is a word, got 3"),
        ("fill(True)", "True is neither a number nor a word"),
        ("fill([1])", r"\[1\] is neither a number nor a word"),
        ("limit(0)", "limit is positive, got 0"),
        ("limit(1e999)", "preparation step limit: most is a finite number, got inf"),
        ("fit(1)", "fit takes at least 2 samples, got 1"),
        ("fit(1e999)", "preparation step fit: samples is a finite number"),
        ("fit(64, clock=mine)", "unknown clock of fit 'mine'"),
        ("resample(-1)", "resample takes a rate in Hz and a positive gap in seconds"),
        ("resample(gap=0)", "resample takes a rate in Hz and a positive gap"),
        ("euclidean(by=person)", "unknown by of euclidean 'person'"),
        ("fill(0.2) - resample()", r"fill\(0.2\) - resample\(\) is not a step like fill\(0.2\)"),
        ("fill(0.2)(3)", r"fill\(0.2\)\(3\) is not a step"),
        ("fill(0.2", "is not understood: write steps like"),
        ("fill(**x)", "unknown value of fill 'None'"),
        ("fill(*x)", "neither a number nor a word"),
        (f"fill({'9' * 400})", "is not understood"),
        ("+".join(["gravity"] * 9999), "is not understood"),
        ("a\0b", "holds a zero byte"),
    ],
)
def test_what_is_not_understood_is_quoted(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        usage(text)


# From files to windows


def test_a_card_with_time_stamps_needs_a_clock(own: Any) -> None:
    with pytest.raises(UsageError, match=r"the files have time stamps: 'prepare' needs the step resample\(\) or fit\(...\)"):
        own.card(FILES + 'time = "t"')
    with pytest.raises(UsageError, match=r"own\.toml.*unknown preparation step 'fil'"):
        own.card(FILES, prepare="fil(0.2)")


def test_another_rate_in_the_files_needs_resample(own: Any, seen: Any) -> None:
    own.table("p1_walk.csv", "x y z", [[t, 0, 1] for t in range(80)])
    with pytest.raises(DataError, match=r"sensor 'acc' has 20 Hz in its files and 10 Hz in the card: 'prepare' needs the step"):
        own.windows(FILES + "rate = { acc = 20.0 }")
    windows = own.windows(FILES + "rate = { acc = 20.0 }", prepare="resample()")
    np.testing.assert_allclose(seen(windows, "acc")[3:-3].ravel(), 2 * np.arange(12, 28), atol=0.05)
    assert (seen(windows, "acc", 2) == 1).all()


def test_steps_of_the_command_line_follow_the_cards(own: Any, seen: Any) -> None:
    from harkd.datasets import load

    own.table("p1_walk.csv", "x y z", [[5 if t == 3 else 1, 0, 1] for t in range(8)])
    own.card(FILES, prepare="limit(2)")
    windows = load(str(own.folder.parent / "own.toml"), own.folder, prepare="fill(0.2)")
    assert seen(windows, "acc").tolist() == [[1, 1, 1, 1], [1, 1, 1, 1]]
    assert windows.card.prepare == "limit(most=2)+fill(seconds=0.2)"
    with pytest.raises(DataError, match=r"1 values|3 values are not finite.* mend them, like fill\(0.2\)"):
        load(str(own.folder.parent / "own.toml"), own.folder)
    with pytest.raises(UsageError, match="unknown sensor 'gyro'"):
        load(str(own.folder.parent / "own.toml"), own.folder, prepare="fill(0.2, of=gyro)")


def test_a_word_that_is_no_name_survives_in_the_card(own: Any) -> None:
    """A placement with a space: the text of the steps is stored with windows and must be understood again."""
    from dataclasses import replace

    own.table("p1_walk.csv", "x y z", [[t, 0, 1] for t in range(8)])
    card = own.card(FILES)
    card = replace(card, sensors=(replace(card.sensors[0], placement="left wrist"),), prepare="fill(1, of='left wrist')")
    from harkd.datasets.loading import from_files

    assert from_files(card, own.folder).card.prepare == "fill(seconds=1, of='left wrist')"


ACC = Sensor("acc", "acc", "g", 10.0)


def holes(*missing: slice, samples: int = 40) -> Recording:
    x = np.tile(np.arange(samples, dtype=np.float32), (3, 1))
    for part in missing:
        x[1, part] = np.nan
    return Recording("a", "1", {"acc": x}, segments=(Segment(0.5, 3.5, {"activity": 1}),))


def test_windows_avoid_what_cannot_be_filled() -> None:
    """Of the labelled 0.5 to 3.5 s, 1.0 to 1.5 s are missing for long, one sample is filled, and the end is open."""
    done, _ = run(parse("fill(0.2)"), [holes(slice(10, 15), slice(20, 21), slice(33, 40))], [ACC], [ACC])
    assert [(s.start, s.stop) for s in done[0].segments] == [(0.5, 1.0), (1.5, 3.3)]
    assert all(dict(s.targets) == {"activity": 1} for s in done[0].segments)
    assert done[0].signals["acc"][1, 20] == 20
    assert np.isfinite(done[0].signals["acc"]).all()


def test_a_recording_without_anything_left_gives_no_window() -> None:
    done, _ = run(parse("fill(0.2)"), [holes(slice(0, 40))], [ACC], [ACC])
    assert all(s.stop <= s.start for s in done[0].segments)
    assert done[0].segments  # none would mean all of it


def test_holes_of_several_sensors_join() -> None:
    gyro = Sensor("gyro", "gyro", "dps", 20.0)
    acc = holes(slice(10, 15))
    x = np.zeros((3, 80), np.float32)
    x[0, 26:40] = np.nan  # 1.3 to 2.0 s
    both = Recording("a", "1", {**acc.signals, "gyro": x}, segments=acc.segments)
    done, _ = run(parse("fill(0.2)"), [both], [ACC, gyro], [ACC, gyro])
    assert [(s.start, s.stop) for s in done[0].segments] == [(0.5, 1.0), (2.0, 3.5)]
