"""Windows before and after a strategy: the numbers of the gallery, and its page."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from harkd.augment import OPS, Augmenter, parse
from harkd.augment.ops import NODES
from harkd.datasets import IGNORE, Card, Cut, Recording, Segment, Windows
from harkd.errors import UsageError
from harkd.report import columns
from harkd.report.before_after import cases, choose, deviations, difference, peak, spectrum
from harkd.report.gallery import Gallery
from harkd.report.gallery_page import privacy, to_page, to_picture


def gallery(windows: Windows, strategy: str, **more: Any) -> Gallery:
    """With the subjects as they are."""
    return Gallery(windows, {name: name for name in windows.subjects.tolist()}, strategy, split="official", **more)


# Numbers


@pytest.mark.parametrize(("hertz", "rate", "samples"), [(2.0, 50.0, 100), (2.0, 50.0, 125), (12.5, 100.0, 64)])
def test_the_spectrum_of_a_sine(hertz: float, rate: float, samples: int) -> None:
    """A whole number of periods: all of its amplitude stands at its frequency, whatever the mean."""
    t = np.arange(samples) / rate
    x = np.stack([1.5 * np.sin(2 * np.pi * hertz * t) + 7, 1.5 * np.cos(2 * np.pi * hertz * t)]).astype(np.float32)
    at, amplitude = spectrum(x, rate)
    assert at[amplitude.argmax()] == pytest.approx(hertz)
    assert peak(x, rate) == pytest.approx(hertz)
    assert amplitude.max() == pytest.approx(1.5, rel=1e-4)
    assert at[-1] == pytest.approx(rate / 2 if samples % 2 == 0 else rate / 2 * (1 - 1 / samples))
    assert amplitude[np.abs(at - hertz) > 2 * rate / samples].max() < 1e-4
    # A second channel without anything in it halves the power.
    x[1] = 3.0
    assert spectrum(x, rate)[1].max() == pytest.approx(1.5 / np.sqrt(2), rel=1e-4)


def test_spectra_of_what_has_none() -> None:
    assert len(spectrum(np.ones((3, 2), np.float32), 50.0)[0]) == 0
    assert np.isnan(peak(np.ones((3, 2), np.float32), 50.0))
    assert np.isnan(peak(np.full((3, 64), 2.0, np.float32), 50.0))
    assert np.isfinite(spectrum(np.full((1, 8), np.nan, np.float32), 50.0)[1]).all()


def test_a_difference_is_in_standard_deviations(toy: Any) -> None:
    before = np.zeros((3, 50), np.float32)
    assert difference(before, before + 2, 4.0) == 0.5
    after = before.copy()
    after[0] = 2
    assert difference(before, after, 2.0) == pytest.approx(np.sqrt(1 / 3))
    spec = gallery(toy.train, "jitter").spec
    x = torch.cat([toy.train.gather(torch.tensor([n]))["acc"] for n in range(len(toy.train))])
    expected = x.double().transpose(0, 1).flatten(1).var(1, correction=0).mean().sqrt()
    assert deviations(toy.train, spec)["acc"] == pytest.approx(float(expected), rel=1e-3)


# Which windows


def test_windows_of_as_many_classes_as_can_be(toy: Any) -> None:
    def classes(number: int, seed: int = 0) -> list[int]:
        return toy.train.labels[torch.tensor(choose(toy.train, number, seed))].tolist()

    for seed in range(5):
        assert len(set(classes(2, seed))) == 2
        assert classes(3, seed) == [0, 1, 2]
        assert sorted(np.bincount(classes(7, seed))) == [2, 2, 3]
    assert choose(toy.train, 3, 0) == choose(toy.train, 3, 0) != choose(toy.train, 3, 1)
    assert sorted(choose(toy.train, 63, 0)) == list(range(63))
    with pytest.raises(UsageError, match="64 windows are asked for, but the training part of swings has only 63"):
        choose(toy.train, 64, 0)


# Before and after


def test_what_is_shown_is_what_training_sees(toy: Any) -> None:
    text, at, draws = "time_warp(0.3)+jitter(0.1)|mixup(0.8)", [5, 40], [0, 3]
    shown = cases(parse(text), toy.train, at, draws, seed=7)
    augmenter = Augmenter(parse(text), toy.train, seed=7)
    for case, place in zip(shown, at, strict=True):
        recorded = toy.train.gather(torch.tensor([place]))
        assert [state.title for state in case.states] == ["recorded", "draw 1", "draw 4"]
        assert (case.at, case.subject) == (place, toy.train.subjects[place])
        assert case.recorded.shares == {toy.train.classes[int(toy.train.labels[place])]: 1.0}
        for name in ("acc", "gyro"):
            np.testing.assert_array_equal(case.recorded.x[name], recorded[name][0].numpy())
        for draw, state in zip(draws, case.drawn, strict=True):
            batch = augmenter(torch.tensor([place]), torch.tensor([draw]))
            for name in ("acc", "gyro"):
                np.testing.assert_array_equal(state.x[name], batch.x[name][0].numpy())
            shares = batch.targets["movement"][0]
            assert state.shares == {toy.train.classes[n]: float(share) for n, share in enumerate(shares) if share > 0}


def test_shifting_keeps_every_sample(toy: Any) -> None:
    (case,) = cases(parse("shifting(0.5)"), toy.train, [3], range(8))
    before = case.recorded.x["acc"]
    rolls = set()
    for state in case.drawn:
        (roll,) = (n for n in range(32) if np.array_equal(np.roll(before, n, 1), state.x["acc"]))
        rolls.add(roll)
        assert state.shares == case.recorded.shares
    assert len(rolls) > 3


def test_the_partner_is_of_the_class_that_the_label_says(toy: Any) -> None:
    shown = cases(parse("none|mixup(1, partner=other_class)"), toy.train, [0, 30, 60], range(4))
    for state in (state for case in shown for state in case.drawn):
        (partner,) = state.partners
        own, other = state.shares
        assert partner == other
        assert state.shares[own] + state.shares[other] == pytest.approx(1)
        assert state.shares[own] >= 0.5
    (case,) = cases(parse("none|mixup(1, partner=same_class)"), toy.train, [0], [0])
    assert case.drawn[0].partners == (case.label,)
    assert case.drawn[0].shares == {case.label: 1.0}
    assert case.recorded.partners == ()


def test_the_steps_draw_what_the_whole_strategy_draws(toy: Any) -> None:
    strategy = parse("shifting(0.5)+scaling(0.3)+jitter(0.01)")
    steps = [cases(strategy, toy.train, [3], [0], stop=stop)[0].drawn[0].x["acc"] for stop in range(4)]
    np.testing.assert_array_equal(steps[0], toy.train.gather(torch.tensor([3]))["acc"][0].numpy())
    assert any(np.array_equal(np.roll(steps[0], n, 1), steps[1]) for n in range(1, 32))
    gain = steps[2] / steps[1]
    np.testing.assert_allclose(gain, np.repeat(gain[:, :1], 32, 1), rtol=1e-5)  # one for each channel
    assert 0 < np.abs(steps[3] - steps[2]).max() < 0.1


def test_nothing_happens(toy: Any) -> None:
    (case,) = cases(parse("none"), toy.train, [0], [0, 1])
    assert all(state.alike(case.recorded) for state in case.drawn)
    (case,) = cases(parse("jitter(0.1)"), toy.train, [0], [0])
    assert not case.drawn[0].alike(case.recorded)


@pytest.fixture(scope="module")
def dense(toy_card: Card) -> Windows:
    """Two recordings of one sensor that counts, each sample labelled by the half of the window that it is in."""
    card = replace(toy_card, sensors=toy_card.sensors[:1], windows=Cut(20, 20), counts=type(toy_card.counts)(), splits={})
    recordings = []
    for number in range(2):
        x = np.arange(100, dtype=np.float32) + np.zeros((3, 1), np.float32)
        phase = np.arange(100) // 10 % 2
        phase[0] = IGNORE
        segments = (Segment(0.0, 2.0, {"activity": number}),)
        recordings.append(Recording(str(number), str(number), {"acc": x}, segments=segments, dense={"phase": phase}))
    return Windows.cut(recordings, card)


def test_labels_of_samples_move_along(dense: Windows) -> None:
    (case,) = cases(parse("shifting(0.5)"), dense, [1], range(4))
    assert case.recorded.dense["phase"].tolist() == [0] * 10 + [1] * 10
    for state in case.drawn:
        np.testing.assert_array_equal(state.dense["phase"], state.x["acc"][0].astype(int) // 10 % 2)
    page = to_page(gallery(dense, "shifting(0.5)", number=1))
    assert "phase of every sample as recorded, draw 1, draw 2 and draw 3: 0, 1" in page
    with pytest.raises(UsageError, match="has a label per sample"):
        to_page(gallery(dense, "none|mixup(0.2)"))


# The page


def test_the_page_needs_nothing_else(toy: Any) -> None:
    page = to_page(gallery(toy.train, "time_warp(0.2)+jitter(0.05)|mixup(0.8)", number=2))
    assert not re.search(r"(src|href)=[\"'](?!data:|#)", page)
    assert not re.findall(r"https?://(?!www\.w3\.org/)", re.sub(r"data:[^\"]+", "", page))
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert "var(--distilled" in page
    drawings = re.findall(r'<svg [^>]*role="img"[^>]*aria-label="([^"]+)"', page)
    assert sum("acc as recorded, draw 1, draw 2 and draw 3" in alt for alt in drawings) == 2
    assert len(drawings) == len(re.findall("<svg ", page))
    assert any(re.match(r"Label, recorded: slow; draw 1: slow \d", alt) for alt in drawings)
    assert page == to_page(gallery(toy.train, "time_warp(0.2)+jitter(0.05)|mixup(0.8)", number=2))


def test_what_the_card_denies_is_named(toy_windows: Windows) -> None:
    """The toy's pace says what rest and run are, and walk is another; rotation says nothing."""
    shown = gallery(toy_windows, "time_warp(0.2)+rotate(60)", number=3, draws=1)
    page = to_page(shown)
    assert "harkd train refuses this strategy: time_warp(0.2) assumes that pace does not change the class" in page
    assert "pace denied for walk" in page
    assert page.count("The card denies pace for walk: what comes out may be of another class.") == 1
    assert "The card denies pace for rest" not in page
    assert 'kept if rotation</td><td class="words">allowed' in page
    assert "denies it for walk;" in shown.refusal()
    assert gallery(toy_windows, "rotate(60)").refusal() == ""
    assert "refuses" not in to_page(gallery(toy_windows, "rotate(60)", number=1, draws=1))


def test_privacy(toy: Any) -> None:
    shown = gallery(toy.train, "jitter", number=3)
    told = privacy(shown)
    people = len({str(toy.train.subjects[at]) for at in shown.at})
    assert told.startswith(f"The page shows 3 windows of recorded signals of {people} subject")
    made_up = replace(toy.train, card=replace(toy.train.card, synthetic=True))
    assert privacy(gallery(made_up, "jitter")) == ""
    assert "Synthetic data" in to_page(gallery(made_up, "jitter", number=1, draws=1))


def test_steps_show_every_prefix(toy: Any) -> None:
    shown = gallery(toy.train, "shifting(0.5)+jitter(0.05)|mixup(0.8)", number=1, draws=1, steps=True)
    assert [title for title, _ in shown.sections()] == [
        "After 1 op: shifting(0.5)",
        "After 2 ops: shifting(0.5) + jitter(0.05)",
        "Before and after shifting(0.5) + jitter(0.05) | mixup(0.8)",
    ]


def test_what_changes_nothing_is_said(toy: Any) -> None:
    (_, items) = gallery(toy.train, "jitter(0.1, p=0)", number=1).sections()[0]
    assert "Nothing changes in draw 1, draw 2 and draw 3." in items[0].caption
    (_, items) = gallery(toy.train, "jitter(0.1)", number=1).sections()[0]
    assert "Nothing" not in items[0].caption
    rows = items[0].numbers[0].rows
    assert rows[0][2] == "0.00"
    assert all(float(row[2]) == pytest.approx(0.1, abs=0.02) for row in rows[1:])


@pytest.mark.slow
def test_every_op_is_shown_or_its_lack_is_told(toy: Any) -> None:
    shown = gallery(toy.train, "", draws=1)
    families = shown.sections()
    drawn = [item.pieces[-1].name.partition("-")[0] for _, items in families for item in items]
    missing = [entry.name for entry in shown.entries if shown.why_not(entry)]
    assert sorted(drawn + missing) == sorted([*OPS, *NODES])
    assert {"jitter", "rotate", "mixup", "rand_augment"} <= set(drawn)
    assert {"stretch", "filter_by_teacher", "attention_erasing"} <= set(missing)
    page = to_page(shown)
    assert "Stretch changes sensors of kind skeleton only; these windows have acc (acc), gyro (gyro)" in page
    assert len(set(re.findall(r' id="([^"]+)"', page))) == len(re.findall(r' id="([^"]+)"', page))


@pytest.mark.parametrize("dark", [False, True])
def test_the_picture(toy: Any, dark: bool) -> None:
    from matplotlib.image import imread

    shown = gallery(toy.train, "shifting|mixup(0.8)", number=2, draws=2, steps=True)
    png = to_picture(shown, dark=dark)
    assert png == to_picture(shown, dark=dark)
    pixels = imread(io.BytesIO(png))
    assert (pixels[0, 0, :3].mean() < 0.2) == dark
    assert pixels.shape[0] > 1000


def test_states_share_their_scale(toy: Any) -> None:
    """What was made smaller looks smaller: the axes of all columns are those of the largest."""
    from matplotlib.figure import Figure

    from harkd.report.recordings import LIGHT

    (case,) = cases(parse("removal(1, fill=zero)"), toy.train, [0], [0, 1])
    piece = columns.signals("x", case, toy.train.sensors["acc"])
    figure = Figure(figsize=(piece.size[0] / 72, piece.size[1] / 72), dpi=72)
    piece.fill(columns.Canvas(figure, piece.size, LIGHT))
    above, below = figure.axes[::2], figure.axes[1::2]
    assert len(above) == len(below) == 3
    assert len({axes.get_ylim() for axes in above}) == len({axes.get_ylim() for axes in below}) == 1
    low, high = above[0].get_ylim()
    assert low <= case.recorded.x["acc"].min() < case.recorded.x["acc"].max() <= high
