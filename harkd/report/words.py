"""Numbers as readers see them. One place, so that a number looks the same wherever it stands."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

SYNTHETIC = "Synthetic data: made by a program, measured on nobody. Results on it say nothing about people."

NO_BREAK = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"


def share(value: float, digits: int = 1) -> str:
    """A share from 0 to 1 as a percentage without its sign, for tables.

    >>> share(0.8512)
    '85.1'
    """
    return f"{100 * value:.{digits}f}"


def percent(value: float) -> str:
    """A share from 0 to 1 as a percentage, for sentences. The space does not break."""
    return f"{share(value)}{NO_BREAK}%"


def points(difference: float) -> str:
    """A difference of two shares in percentage points, always with its sign, unless it rounds to nothing.

    >>> points(0.018), points(-0.003), points(-0.0001)
    ('+1.8', '−0.3', '0.0')
    """
    text = f"{100 * difference:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", MINUS)


def count(value: int) -> str:
    """A whole number with its thousands apart.

    >>> count(95000)
    '95,000'
    """
    return f"{value:,}"


def kilobytes(size: int) -> str:
    """A size in bytes, in thousands.

    >>> kilobytes(26608)
    '26.6'
    """
    return f"{size / 1000:,.1f}"


def counts(values: Sequence[int]) -> str:
    """One number, or the range of several.

    >>> counts([1620, 1620]), counts([1080, 1620])
    ('1,620', '1,080–1,620')
    """
    low, high = min(values), max(values)
    return count(low) if low == high else f"{count(low)}–{count(high)}"


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean and sample standard deviation of shares, in percent; a single value has no deviation.

    >>> spread([0.84, 0.86]), spread([0.84])
    ('85.0 ± 1.4', '84.0')
    """
    mean = share(fmean(values), digits)
    return f"{mean} ± {share(stdev(values), digits)}" if len(values) > 1 else mean


def points_spread(values: Sequence[float]) -> str:
    """Mean and sample standard deviation of differences, in percentage points."""
    return f"{points(fmean(values))} ± {share(stdev(values))}" if len(values) > 1 else points(values[0])


def many(number: int, noun: str) -> str:
    """A number and its noun.

    >>> many(1, "seed"), many(3, "seed"), many(2, "class")
    ('1 seed', '3 seeds', '2 classes')
    """
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count(number)} {noun if number == 1 else plural}"


def listed(items: Sequence[str], word: str = "and") -> str:
    """Items as a phrase.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return f"{', '.join(items[:-1])} {word} {items[-1]}" if len(items) > 1 else "".join(items)


def subject(code: str) -> str:
    """How a subject is called: a bare number says too little.

    >>> subject("8"), subject("person-3")
    ('subject 8', 'person-3')
    """
    return f"subject {code}" if code.isdigit() else code


def duration(seconds: float) -> str:
    """A time in the unit that suits it.

    >>> duration(41.2), duration(134), duration(7320)
    ('41 s', '2 min 14 s', '2 h 2 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
