"""The one exception family of harkd: every message says what was found, where, what was expected and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HarkdError(Exception):
    """Something a user can understand and mend. The command line prints it as one line and exits with 1."""


class UsageError(HarkdError):
    """The request itself is wrong: an unknown name, an impossible combination. Exit code 2."""


class DataError(HarkdError):
    """Recordings, cards or splits do not hold what they should."""


class LeakError(DataError):
    """A split lets the same subject, session or samples stand on both sides."""


class Interrupted(HarkdError):
    """The user stopped a run; its state is saved."""


class TrainingError(HarkdError):
    """Training cannot go on: a loss is not finite, a checkpoint does not fit."""


PAGE = 40
"""Names: more are not listed where the nearest is told."""


def unknown(kind: str, name: str, choices: Iterable[str]) -> UsageError:
    """The error for a name that does not exist, with the nearest one that does, and with all of them unless they fill a page.

    >>> print(unknown("method", "kdd", ["ce", "kd"]))
    unknown method 'kdd': did you mean 'kd'? (choose from ce, kd)
    """
    known = sorted(choices)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f": did you mean {near[0]!r}?" if near else ""
    listed = "" if near and len(known) > PAGE else f" (choose from {', '.join(known)})"
    return UsageError(f"unknown {kind} {name!r}{hint}{listed}")
