"""Aligning the paths of files: which parts of them vary, and how."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harkd.datasets.draft.words import LETTERS, is_device, role

Kind = Literal["word", "words", "digits", "date", "unit", "mark"]
_TOKEN = re.compile(
    r"(?P<date>\d{4}([-_.])\d\d\2\d\d(?:[-_T ]\d\d[-_.:]?\d\d[-_.:]?\d\d)?)|(?P<digits>\d+)|(?P<word>[^\W\d_]+)|(?P<mark>[\W_])"
)


@dataclass(frozen=True)
class Token:
    """A part of a path."""

    kind: Kind
    text: str


def tokens(path: str, merge: bool = False) -> list[Token]:
    """The parts of a path; with `merge`, words that are joined by _, - or a space are one, unless they name a device or a role.

    >>> [token.text for token in tokens("s1/climb_stairs.csv", merge=True)]
    ['s', '1', '/', 'climb_stairs', '.csv']
    """
    stem, dot, suffix = path.rpartition(".")
    found = [Token(match.lastgroup, match[0]) for match in _TOKEN.finditer(stem)]  # type: ignore[arg-type]
    if merge:
        found = _merged(found)
    return [*found, Token("mark", dot + suffix)]


def _merged(found: Sequence[Token]) -> list[Token]:
    kept: list[Token] = []
    at = 0

    def plain(place: int) -> bool:
        token = found[place] if place < len(found) else None
        alone = token is None or len(token.text) > 2 or place + 1 >= len(found) or found[place + 1].kind != "digits"
        return token is not None and token.kind == "word" and alone and not is_device(token.text) and not role(token.text)

    while at < len(found):
        end = at
        if plain(at):
            while end + 2 < len(found) and found[end + 1].text in ("_", "-", " ") and plain(end + 2):
                if end > at and found[end + 1].text != found[at + 1].text:
                    break
                end += 2
        text = "".join(token.text for token in found[at : end + 1])
        kept.append(Token("words" if found[at].kind == "word" else found[at].kind, text))
        at = end + 1
    return kept


def shape(parts: Sequence[Token]) -> tuple[str, ...]:
    """What two paths have in common that are built alike."""
    return tuple(token.text if token.kind == "mark" else token.kind for token in parts)


@dataclass
class Field:
    """A part of the paths that varies.

    Attributes:
        first, last: its tokens.
        values: of every file.
        hint: the role that the word before it tells, or ''.
        strong: whether that was a whole word, not a letter.
        prefix: that word.
    """

    first: int
    last: int
    kind: Kind
    values: tuple[str, ...]
    hint: str = ""
    strong: bool = False
    prefix: str = ""
    role: str = ""

    @property
    def distinct(self) -> list[str]:
        return sorted(set(self.values), key=lambda v: (not v.isdecimal(), int(v) if v.isdecimal() else 0, v))

    def same_parts(self, other: Field) -> bool:
        """Whether both divide the files alike."""
        pairs = set(zip(self.values, other.values, strict=True))
        return len(pairs) == len(set(self.values)) == len(set(other.values))


@dataclass
class Aligned:
    """Paths that are built alike.

    Attributes:
        paths: those.
        rows: their tokens.
        fields: what varies, from left to right; and single subjects that a word names.
        apart: paths that are built otherwise.
    """

    paths: list[str]
    rows: list[list[Token]]
    fields: list[Field]
    apart: list[str]


def align(paths: Sequence[str]) -> Aligned:
    """The largest group of paths that are built alike, and their fields."""
    fine, coarse = ([tokens(path, merge) for path in paths] for merge in (False, True))
    most = {merge: Counter(map(shape, rows)).most_common(1)[0] for merge, rows in ((False, fine), (True, coarse))}
    merge = most[True][1] > most[False][1] or _phrases([row for row in fine if shape(row) == most[False][0]])
    rows, top = (coarse, most[True][0]) if merge else (fine, most[False][0])
    chosen = [number for number, row in enumerate(rows) if shape(row) == top]
    kept = [rows[number] for number in chosen]
    apart = [path for number, path in enumerate(paths) if number not in set(chosen)]
    return Aligned([paths[n] for n in chosen], kept, _fields(kept), apart)


def _phrases(rows: Sequence[Sequence[Token]]) -> bool:
    """Whether neighbouring words vary together, such as climb_stairs and sit_down: then they are one name."""
    for at in range(len(rows[0]) - 2):
        three = [row[at : at + 3] for row in rows]
        if [token.kind for token in three[0]] == ["word", "mark", "word"] and three[0][1].text in ("_", "-", " "):
            if at + 3 < len(rows[0]) and rows[0][at + 3].kind == "digits":
                continue
            first, second = {row[0].text for row in three}, {row[2].text for row in three}
            known = any(is_device(word) or role(word) for word in first | second)
            both = {(row[0].text, row[2].text) for row in three}
            if not known and len(first) > 1 and len(second) > 1 and len(both) < len(first) * len(second):
                return True
    return False


def _fields(rows: Sequence[Sequence[Token]]) -> list[Field]:
    fields: list[Field] = []
    columns = [tuple(row[at].text for row in rows) for at in range(len(rows[0]))]
    varies = [len(set(column)) > 1 for column in columns]
    at = 0
    while at < len(columns):
        token = rows[0][at]
        follows = at + 1 < len(columns) and rows[0][at + 1].kind == "digits"
        if token.kind in ("word", "words") and varies[at] and follows and max(map(len, columns[at])) < 3:
            # f1, m2: letter and number are one name.
            values = tuple(a + b for a, b in zip(columns[at], columns[at + 1], strict=True))
            fields.append(Field(at, at + 1, "unit", values))
            at += 2
            continue
        if token.kind != "mark":
            hint, strong, prefix = _hint(rows[0], at, varies)
            if varies[at] or (
                hint == "subject" and token.kind in ("digits", "word", "words") and (strong or token.kind == "digits")
            ):
                fields.append(Field(at, at, token.kind, columns[at], hint, strong, prefix))
        at += 1
    return fields


def _hint(row: Sequence[Token], at: int, varies: Sequence[bool]) -> tuple[str, bool, str]:
    """What the constant word before a token says: s01, subject_01, trials/01."""
    before = at - 1
    if before >= 0 and row[before].kind == "mark" and row[before].text in "_- /":
        before -= 1
    if before < 0 or row[before].kind not in ("word", "words") or varies[before]:
        return "", False, ""
    word = row[before].text
    if role(word):
        return role(word), True, word
    if before == at - 1 and word.lower() in LETTERS and row[at].kind == "digits":
        return LETTERS[word.lower()], False, word
    return "", False, word if before == at - 1 else ""
