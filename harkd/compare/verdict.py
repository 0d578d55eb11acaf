"""The verdict of a study in plain sentences, for a reader without statistics, the most important first."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harkd.compare.contrast import Contrast
from harkd.compare.omnibus import Omnibus
from harkd.compare.scores import FEW, Scores
from harkd.report.words import count, listed, many, points, share

SURE = 0.95
"""The probability from which two levels are called equivalent."""
FAR = 1000
"""More subjects than this are not counted out: no study of wearables will have them."""


def verdict(scores: Scores, contrasts: Sequence[Contrast], omnibus: Omnibus) -> tuple[str, ...]:
    """What helps, what harms, what cannot be told apart, how many subjects are missing, what is equivalent, what is not there.

    Differences are in percentage points, p-values corrected by Holm, intervals those of one comparison.
    """
    told = sorted((c for c in contrasts if c.subjects), key=lambda c: -c.difference)
    enough = [c for c in told if c.subjects >= FEW]
    helping = [c for c in told if c.different and c.difference > 0]
    harming = [c for c in reversed(told) if c.different and c.difference < 0]
    sentences = [_different(c, "beats", c.wins, scores.metric) for c in helping]
    if not told:
        sentences.append(f"Nothing is compared: no subject has a score under {scores.control} and under another level.")
    elif not enough:
        sentences += [_each(c, scores) for c in told]
    elif not helping and len(harming) < len(contrasts):
        sentences.append(_nothing(enough, len(contrasts) == 1, scores.metric))
    sentences += _apart(helping, omnibus)
    sentences += [_different(c, "falls behind", c.losses, scores.metric) for c in harming]
    sentences += _needed(enough)
    sentences += [_equivalent(c) for c in enough if c.equivalent >= SURE]
    return (*sentences, *_refusals(told), *_omnibus(omnibus, enough), *scores.missing)


def p_value(p: float) -> str:
    """A p-value for sentences and tables.

    >>> p_value(0.0042), p_value(0.0009), p_value(0.21)
    ('= 0.004', '< 0.001', '= 0.210')
    """
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _different(contrast: Contrast, verb: str, subjects: int, metric: str) -> str:
    return (
        f"{contrast.level} {verb} {contrast.control} by {_gap(contrast.difference, metric)} on {subjects} of "
        f"{many(contrast.subjects, 'subject')} ({_evidence(contrast, turned=contrast.difference < 0)})."
    )


def _nothing(enough: Sequence[Contrast], alone: bool, metric: str) -> str:
    """Nothing beats the control: the best that was tried (`enough` holds it first), or the only one where it was `alone`."""
    best = enough[0]
    who = "it" if alone else f"the best, {best.level},"
    lead = f"{f'{best.level} is not' if alone else 'Nothing tried is'} reliably better than {best.control}"
    if all(contrast.refused for contrast in enough):
        lead = f"Whether {best.level if alone else 'anything tried'} is better than {best.control} cannot be tested"
    if best.difference <= 0 or _level(best):
        return f"{lead}: {who} is no better on average ({points(best.difference)} points; {_evidence(best)})."
    where = f"better for {best.wins} of {many(best.subjects, 'subject')}"
    return f"{lead}: {who} is {_gap(best.difference, metric)} ahead, {where} ({_evidence(best)})."


def _each(contrast: Contrast, scores: Scores) -> str:
    """A level with so few subjects that the difference of every one can stand in a sentence."""
    level, control, names = scores.paired(contrast.level, contrast.control)
    by_subject = ", ".join(points(one - other) for one, other in zip(level, control, strict=True))
    place = f"{_gap(contrast.difference, scores.metric)} {'ahead of' if contrast.difference > 0 else 'behind'}"
    if _level(contrast):
        place = "level with"
    return f"{contrast.level} is {place} {contrast.control} on {many(len(names), 'subject')} (per subject {by_subject})."


def _apart(helping: Sequence[Contrast], omnibus: Omnibus) -> list[str]:
    """The levels that Nemenyi does not tell from the best of those that help: the best bar in which it stands."""
    if not helping:
        return []
    best, control = helping[0].level, helping[0].control
    bar = next((group for group in omnibus.groups if best in group), ())
    peers = [level for level in bar if level != control]
    return [f"{listed(peers)} cannot be told apart."] if len(peers) > 1 else []


def _needed(enough: Sequence[Contrast]) -> list[str]:
    """For the best level that is ahead and not proven: how many subjects would prove it."""
    for contrast in enough:
        unproven = not contrast.different and contrast.difference > 0 and contrast.equivalent < SURE
        if unproven and contrast.needed is not None and contrast.needed > contrast.subjects:
            more = contrast.needed - contrast.subjects
            number = f"More than {count(FAR)} more subjects" if more > FAR else f"About {many(more, 'more subject')}"
            told = f"to tell {contrast.level} from {contrast.control}, if the difference is what it seems"
            return [f"{number} would be needed {told}."]
    return []


def _equivalent(contrast: Contrast) -> str:
    # Rounded down: the posterior never makes it certain.
    probability = min(0.99, math.floor(100 * contrast.equivalent) / 100)
    apart = f"at most {_gap(contrast.rope)} apart with a probability of at least {probability:.2f}"
    return f"{contrast.level} and {contrast.control} are equivalent in practice: {apart}."


def _refusals(told: Sequence[Contrast]) -> list[str]:
    """One sentence for all levels that are refused for the same reason."""
    reasons: dict[str, list[str]] = {}
    for contrast in told:
        if contrast.refused:
            reasons.setdefault(contrast.refused, []).append(contrast.level)
    return [f"No p-value is given for {listed(levels)}: {reason}." for reason, levels in reasons.items()]


def _omnibus(omnibus: Omnibus, enough: Sequence[Contrast]) -> list[str]:
    """Why there is no test of all levels at once, where there are several and the refusals do not say it already."""
    return [omnibus.refused] if omnibus.refused and len(enough) > 1 else []


def _level(contrast: Contrast) -> bool:
    """Whether the difference is none in the digits that are told."""
    return points(contrast.difference) == "0.0"


def _evidence(contrast: Contrast, turned: bool = False) -> str:
    """p-value and interval, as far as there are any; `turned` where the sentence tells the loss as a positive number."""
    parts = [] if contrast.p_holm is None else [f"p {p_value(contrast.p_holm)}"]
    if contrast.low is not None and contrast.high is not None:
        low, high = (-contrast.high, -contrast.low) if turned else (contrast.low, contrast.high)
        parts.append(f"interval {_bound(low)} to {_bound(high)}")
    return ", ".join(parts) or "no test"


def _bound(value: float) -> str:
    """A difference in points, with a sign only below zero."""
    return points(value).removeprefix("+")


def _gap(difference: float, metric: str = "accuracy") -> str:
    number = share(abs(difference))
    of = " of macro-F1" if metric == "macro_f1" else ""
    return f"{number} {'point' if number == '1.0' else 'points'}{of}"
