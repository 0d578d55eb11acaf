"""A search space, and Optuna as the one who chooses from it (extra [search])."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harkd.compare.design import check_option, listed
from harkd.errors import UsageError
from harkd.export.tools import need

TOGETHER = 4
"""Trials that are chosen before their results are in. Fixed: with another number others would be chosen."""
_RANGE = re.compile(r"(?P<low>[^.,]+(?:\.\d+)?[^.,]*)\.\.(?P<high>[^:]+)(?P<log>:log)?")


@dataclass(frozen=True)
class Dimension:
    """An option that is searched: between two numbers, or among levels."""

    option: str
    levels: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    @classmethod
    def parse(cls, text: str) -> Dimension:
        """From OPTION=LOW..HIGH, OPTION=LOW..HIGH:log or OPTION=LEVEL,LEVEL.

        >>> Dimension.parse("rate=1e-4..1e-2:log").high
        0.01
        >>> Dimension.parse("batch=32..128").whole
        True

        Raises:
            UsageError: it is none of these, or the range is empty.
        """
        option, equals, space = text.partition("=")
        option = option.strip().replace("-", "_")
        if not equals or not space.strip():
            raise UsageError(f"--search takes OPTION=LOW..HIGH, OPTION=LOW..HIGH:log or OPTION=LEVEL,LEVEL; got {text!r}")
        check_option(option, "--search")
        found = _RANGE.fullmatch(space.strip())
        if not found:
            levels = listed(space)
            if "" in levels:
                raise UsageError(f"--search {option}: a level is empty; got {space!r}")
            if twice := [level for level in levels if levels.count(level) > 1]:
                raise UsageError(f"--search {option}: level {twice[0]!r} stands there twice")
            return cls(option, levels)
        try:
            low, high = float(found["low"]), float(found["high"])
        except ValueError:
            raise UsageError(f"--search {option}: {found['low']!r}..{found['high']!r} are not two numbers") from None
        log = bool(found["log"])
        if not -math.inf < low < high < math.inf or (log and low <= 0):
            raise UsageError(
                f"--search {option}: the range goes from a number{' above 0' if log else ''} to a larger one; got {text!r}"
            )
        whole = found["low"].strip().lstrip("-").isdecimal() and found["high"].strip().isdecimal()
        return cls(option, (), low, high, log, whole)


class Sampler:
    """Chooses trials, and learns from their scores: Optuna's tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011).

    The same seed and scores give the same trials: a search that was interrupted is told the old scores and goes on.
    """

    def __init__(self, space: Sequence[Dimension], seed: int) -> None:
        optuna = need("optuna")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space = space
        self._fail = optuna.trial.TrialState.FAIL
        self._study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))

    def ask(self) -> tuple[Any, dict[str, str]]:
        """A trial, and a level for each option as text."""
        trial = self._study.ask()
        chosen: dict[str, str] = {}
        for d in self.space:
            if d.levels:
                chosen[d.option] = trial.suggest_categorical(d.option, d.levels)
            elif d.whole:
                chosen[d.option] = str(trial.suggest_int(d.option, int(d.low), int(d.high), log=d.log))
            else:
                chosen[d.option] = repr(trial.suggest_float(d.option, d.low, d.high, log=d.log))
        return trial, chosen

    def tell(self, trial: Any, score: float | None) -> None:
        """The score of a trial; None if it failed."""
        if score is None:
            self._study.tell(trial, state=self._fail)
        else:
            self._study.tell(trial, score)


def search(
    sampler: Sampler, trials: int, score: Callable[[Sequence[tuple[int, Mapping[str, str]]]], Sequence[float | None]]
) -> list[tuple[dict[str, str], float | None]]:
    """Choose and try, some at a time.

    Args:
        score: tries numbered choices and returns their scores in the same order.
    """
    told: list[tuple[dict[str, str], float | None]] = []
    while len(told) < trials:
        asked = [sampler.ask() for _ in range(min(TOGETHER, trials - len(told)))]
        found = score([(len(told) + place, chosen) for place, (_, chosen) in enumerate(asked)])
        for (trial, chosen), value in zip(asked, found, strict=True):
            sampler.tell(trial, value)
            told.append((chosen, value))
    return told
