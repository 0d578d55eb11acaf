"""The verdict's sentences, exact, from tables whose numbers are plain."""

from typing import Any

import numpy as np

from harkd.compare.contrast import contrasts
from harkd.compare.omnibus import omnibus
from harkd.compare.scores import Scores
from harkd.compare.verdict import verdict

MINUS = "\N{MINUS SIGN}"


def told(differences: dict[str, list[float]], metric: str = "accuracy", **changed: Any) -> tuple[str, ...]:
    """The verdict on levels with these differences from the control `none`, subject by subject."""
    values = 0.5 + np.array([[0.0] * len(next(iter(differences.values()))), *differences.values()]).T
    scores = Scores(metric, ("none", *differences), tuple(str(1 + i) for i in range(len(values))), values, "none")
    return verdict(scores, contrasts(scores, **changed), omnibus(scores))


GAIN = [0.02] * 9 + [-0.01]
"""Nine subjects gain: mean 1.7 points. Nine tied ranks of 6, and one of 1: p = 2 * 2 / 2^10. In 1.3 % of the resamples four or
more lose, just more than the interval leaves out below: it ends at 2 - 3 * 0.4 points."""


def test_a_level_that_beats_the_control() -> None:
    (sentence,) = told({"mix1": GAIN})
    assert sentence == "mix1 beats none by 1.7 points on 9 of 10 subjects (p = 0.004, interval 0.8 to 2.0)."


def test_macro_f1_is_named_and_a_harm_is_told_as_a_positive_number() -> None:
    (sentence,) = told({"mix1": [-d for d in GAIN]}, metric="macro_f1")
    assert sentence == ("mix1 falls behind none by 1.7 points of macro-F1 on 9 of 10 subjects (p = 0.004, interval 0.8 to 2.0).")


def test_the_best_comes_first_and_peers_cannot_be_told_apart() -> None:
    steps = np.linspace(0.02, 0.05, 12)
    sentences = told({"mixup": steps.tolist(), "noise": (-steps).tolist(), "mix1": (steps + 0.001).tolist()})
    starts = [
        "mix1 beats none by 3.6 points on 12",
        "mixup beats none by 3.5 points on 12",
        "mix1 and mixup cannot be told apart.",
    ]
    assert len(sentences) == 4
    assert all(sentence.startswith(start) for sentence, start in zip(sentences, starts, strict=False))
    assert sentences[3].startswith("noise falls behind none by 3.5 points on 12 of 12 subjects (p = 0.001")


def test_nothing_helps_and_how_many_subjects_would_show_it() -> None:
    mixed = [0.06, -0.05, 0.07, -0.04, 0.05, -0.06, 0.06, 0.03, -0.02, 0.0]
    first, second = told({"mix1": mixed})
    assert first.startswith("mix1 is not reliably better than none: it is 1.0 point ahead, better for 5 of 10 subjects (p = 0.")
    # dz is 0.01 over the deviation 0.0501: 0.2 asks for 199.0 / 0.955 = 209 subjects, and there are ten.
    assert second == "About 199 more subjects would be needed to tell mix1 from none, if the difference is what it seems."
    first, *_ = told({"mix1": mixed, "noise": [-0.3, 0.1] * 5})
    assert first.startswith("Nothing tried is reliably better than none: the best, mix1, is 1.0 point ahead, ")


def test_nothing_is_even_ahead() -> None:
    first, *rest = told({"mix1": [-0.02, 0.01, -0.02, 0.01, -0.02, 0.01], "noise": [-0.2, 0.1] * 3}, alpha=0.1)
    assert first.startswith(
        f"Nothing tried is reliably better than none: the best, mix1, is no better on average ({MINUS}0.5 points; p"
    )
    assert not rest


def test_equivalence_in_practice() -> None:
    sentences = told({"mix1": [0.001, -0.001] * 10})
    assert (
        sentences[-1] == "mix1 and none are equivalent in practice: at most 1.0 point apart with a probability of at least 0.99."
    )
    assert "no better on average (0.0 points" in sentences[0]
    assert not any("more subjects" in sentence for sentence in sentences)
    assert not any("equivalent" in sentence for sentence in told({"mix1": [0.001, -0.001] * 10}, rope=0.0005))


def test_few_subjects_are_printed_one_by_one() -> None:
    assert told({"mix1": [0.02, -0.01, 0.05], "noise": [-0.01, 0.0, 0.01]}) == (
        f"mix1 is 2.0 points ahead of none on 3 subjects (per subject +2.0, {MINUS}1.0, +5.0).",
        f"noise is level with none on 3 subjects (per subject {MINUS}1.0, 0.0, +1.0).",
        "No p-value is given for mix1 and noise: 3 subjects are too few for a test; at least 7 are needed for 2 comparisons.",
    )


def test_a_refused_test_is_said_with_what_it_needs() -> None:
    up = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06]
    first, *_, last = told({"mix1": up, "noise": [-d for d in up]})
    assert first.startswith("Whether anything tried is better than none cannot be tested: the best, mix1, is 3.5 points ahead, ")
    assert "p =" not in first
    assert last == (
        "No p-value is given for mix1 and noise: with 6 subjects no corrected p-value is below 0.062, and 0.05 is asked for; "
        "at least 7 are needed for 2 comparisons."
    )


def test_missing_cells_are_said_at_the_end() -> None:
    nan = float("nan")
    sentences = told({"mix1": GAIN, "noise": [nan] * 10, "shift": [nan, 0.01, nan, *[-0.01] * 7]})
    assert sentences[-3] == "Friedman's test is left out: 0 subjects of 10 with all levels, and at least 6 are needed."
    assert sentences[-2:] == ("noise has no scores yet.", "shift has no score for subjects 1 and 3.")
    assert sentences[0].startswith("mix1 beats none by 1.7 points on 9 of 10 subjects (p = 0.012")


def test_nothing_to_compare() -> None:
    assert told({"mix1": [float("nan")] * 8}) == (
        "Nothing is compared: no subject has a score under none and under another level.",
        "mix1 has no scores yet.",
    )
