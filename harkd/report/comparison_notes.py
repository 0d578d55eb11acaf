"""What a reader of a study has to mind: what was held fixed, what was not, what is missing, and what a choice rests on."""

from __future__ import annotations

from collections.abc import Sequence

from harkd.report.compared import Compared
from harkd.report.words import SYNTHETIC, counts, listed, many

ALIKE = {
    "student": "The students differ ({}): their differences are also those of net and size.",
    "student_sees": "The students see different data ({}): their differences are also those of sensors.",
    "prepare": "The signals are prepared in different ways ({}).",
    "window": "The windows differ in length ({}), and with them what is tested.",
    "select": "The tested weights are chosen in different ways ({}).",
}
"""Options whose difference a reader takes for something else; each with the sentence that says so."""

NAMED = 4
"""More configurations than these are counted, not named."""


def notes(compared: Compared) -> tuple[str, ...]:
    """Sentences that stand under the verdict."""
    results = compared.results
    told = []
    if compared.about.terms.synthetic:
        told.append(SYNTHETIC)
    if not compared.equal_updates:
        told.append(f"not a comparison of like with like: {updates(compared)}")
    told += [sentence.format(listed(_values(compared, name))) for name, sentence in ALIKE.items() if name in compared.differing]
    told += _at_once(compared)
    if not results.complete:
        told.append("the study is not finished: some runs are missing or failed, see below.")
    if results.dropped:
        left = many(len(results.dropped), "configuration")
        told.append(f"{left} {'was' if len(results.dropped) == 1 else 'were'} left out early and not tested, see below.")
    if compared.asked.trials:
        told.append(
            f"one configuration is the best of {many(compared.asked.trials, 'trial')} on validation subjects; the others had no "
            "such choice."
        )
    if len(results.design.seeds) == 1:
        told.append("there is one seed only, and another may turn a result round.")
    return tuple(told)


def updates(compared: Compared) -> str:
    """Whether the number of student updates was held fixed."""
    if compared.equal_updates:
        folds = " of a fold" if len(compared.results.design.folds) > 1 else ""
        number = counts([number for level in compared.levels for number in compared.updates(level)])
        return f"The number of student updates is the same for all runs{folds}: {number}."
    groups: dict[str, list[str]] = {}
    for level in compared.levels:
        groups.setdefault(counts(compared.updates(level)), []).append(level)
    *few, most = sorted(groups.items(), key=lambda group: len(group[1]))
    rest = listed(most[1]) if len(most[1]) == 1 else "all others" if few else "all, but not in the same runs"
    told = [*(f"{number} for {listed(levels)}" for number, levels in few), f"{most[0]} for {rest}"]
    return f"the numbers of student updates differ ({', '.join(told)}), so longer training may be what helps or harms."


def held(compared: Compared) -> str:
    """What all configurations have in common, in one sentence."""
    same = ["the data and the folds"]
    if "student" not in compared.differing:
        same.append(f"the student ({compared.about.net})")
    if compared.equal_updates:
        same.append("the number of student updates")
    text = f"Held fixed: {listed(same)}."
    return text if "the number" in text else f"{text} Not held fixed: the number of student updates."


def choice(compared: Compared) -> str:
    """By what a configuration may be chosen, and what its test score is then worth."""
    best = compared.ranked[0]
    flattered = (
        f"The first row is the best of {len(compared.levels)} on the test subjects, and its score flatters it a little for being "
        "chosen by them."
    )
    if compared.winner is None:
        return f"There are no validation subjects by which to choose. {flattered}"
    chosen = f"By validation subjects the choice is {'the same' if compared.winner == best else compared.winner}"
    if len(compared.results.design.folds) > 1:
        return f"{flattered} {chosen}; its test score had no part in that, though validation subjects of a fold test in another."
    return f"{flattered} {chosen}; its test score had no part in that."


def _at_once(compared: Compared) -> list[str]:
    """Configurations that differ from the control in several things at once."""
    several = {level: names for level in compared.levels if len(names := compared.unlike(level)) > 1}
    if not several:
        return []
    levels = listed(list(several)) if len(several) <= NAMED else many(len(several), "configuration")
    what = listed(list(dict.fromkeys(name for names in several.values() for name in names)))
    differ = "differs" if len(several) == 1 else "differ"
    return [f"{levels} {differ} from {compared.control} in several things at once ({what}): a difference is that of all of them."]


def _values(compared: Compared, name: str) -> Sequence[str]:
    return list(dict.fromkeys(str(value) for value in compared.differing[name].values()))
