"""From aligned paths to the pattern of a card: which field is the subject, the label, the device."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from harkd.datasets.draft.notes import Notes, some
from harkd.datasets.draft.paths import Aligned, Field
from harkd.datasets.draft.words import ACTIVITIES, SESSIONS, is_device

Keys = dict[str, str]


@dataclass
class Named:
    """A pattern, and what it reads from each path.

    Attributes:
        keys: per path, with `recording` only if the pattern has that group.
        fields: by role.
    """

    pattern: str
    paths: list[str]
    keys: list[Keys]
    fields: dict[str, Field]
    aligned: Aligned


def give_roles(aligned: Aligned, told: Collection[str], notes: Notes) -> None:
    """Say what each field is.

    Args:
        told: the keys that the files' contents tell, so that paths need not.
    """
    fields = aligned.fields
    free = {"subject", "session", "label"} - set(told)
    for strong in (True, False):
        for f in fields:
            wanted = f.hint
            if not strong and wanted == "subject" and "subject" not in free and f.prefix.lower() == "s" and len(f.distinct) > 1:
                wanted = "session"
            if f.role or f.strong != strong or not wanted or (len(f.distinct) == 1 and wanted not in free):
                continue
            if wanted == "device" and len(f.distinct) > 1 and _complete(fields, f):
                _assign(f, "device", notes, f"the word {f.prefix!r} before it")
            elif wanted == "recording" or wanted in free:
                _assign(f, wanted, notes, f"{f.prefix!r} before it")
                free.discard(wanted)
            _twins(fields)
    words = [f for f in fields if not f.role and f.kind in ("word", "words")]
    for f in list(words):
        names = {value.lower() for value in f.distinct}
        if all(map(is_device, names)) and (_complete(fields, f) or not names <= {"left", "right"}):
            if not any(other.role == "device" for other in fields):
                _assign(f, "device", notes, f"words for devices ({some(f.distinct)})")
            words.remove(f)
        elif "session" in free and names <= SESSIONS:
            _assign(f, "session", notes, f"words for sessions ({some(f.distinct)})")
            free.discard("session")
            words.remove(f)
    _twins(fields)
    words = [f for f in words if not f.role]
    if "label" in free and words:
        scores = [sum(bool(ACTIVITIES.search(value)) for value in f.distinct) / len(f.distinct) for f in words]
        best = max(range(len(words)), key=lambda n: (scores[n], n))
        if scores[best] > 0.3 or "subject" not in free or len(words) > 1:
            why = "words for activities" if scores[best] > 0.3 else "no other field looks like one"
            _assign(words[best], "label", notes, f"{why} ({some(words[best].distinct)})")
            free.discard("label")
            words.pop(best)
    _twins(fields)
    left = [f for f in fields if not f.role and f.kind in ("word", "words", "unit", "digits")]
    if "subject" in free and left:
        folders = [f for f in left if aligned.rows[0][f.last + 1].text == "/"] if len(fields) > 1 or told else []
        units = [f for f in left if f.kind == "unit"]
        named = [f for f in left if f.kind in ("word", "words")]
        best_of = units or folders or named or ([] if "label" in free else [f for f in left if len(left) > 1][:1])
        if best_of:
            _assign(best_of[0], "subject", notes, f"it varies and nothing else explains it ({some(best_of[0].distinct)})")
            free.discard("subject")
    _twins(fields)


def _assign(f: Field, role: str, notes: Notes, why: str) -> None:
    f.role = role
    several = f"{len(f.distinct)} values like {f.distinct[0]!r}" if len(f.distinct) > 1 else f"only {f.distinct[0]!r}"
    notes.guess("files.pattern", f"{role}: {several}; {why}")


def _twins(fields: Sequence[Field]) -> None:
    """A field that divides the files as another that has a role says the same once more."""
    for f in fields:
        if not f.role and len(f.distinct) > 1 and any(o.role and o.role != "twin" and o.same_parts(f) for o in fields):
            f.role = "twin"


def _complete(fields: Sequence[Field], device: Field) -> bool:
    """Whether nearly every combination of the other fields is there for every device: parts of one recording."""
    rest = [f for f in fields if f is not device and not f.same_parts(device) and f.kind != "date"]
    by_word: dict[str, set[tuple[str, ...]]] = {}
    for n, word in enumerate(device.values):
        by_word.setdefault(word, set()).add(tuple(f.values[n] for f in rest))
    union = set().union(*by_word.values())
    return sum(map(len, by_word.values())) >= 0.75 * len(union) * len(by_word)


def pattern_of(aligned: Aligned, notes: Notes, recording: Field | None = None) -> Named:
    """The regular expression for aligned paths whose fields have roles.

    Args:
        recording: the field that names a recording, where a table needs it.
    """
    fields = aligned.fields
    by_role = {f.role: f for f in reversed(fields) if f.role not in ("", "twin")}
    device = by_role.get("device")
    span: tuple[int, int] | None = None
    if recording is not None:
        by_role["recording"] = recording
        span = recording.first, recording.last
    elif device is not None:
        span = _span(aligned, by_role, device, notes)
    if span is None or ("recording" in by_role and span != (by_role["recording"].first, by_role["recording"].last)):
        by_role.pop("recording", None)
    for explicit in (False, True):
        text = _spell(aligned, by_role, span, explicit)
        expression = re.compile(text)
        matches = [expression.fullmatch(path) for path in aligned.paths]
        if all(match and all(match[role] == f.values[n] for role, f in by_role.items()) for n, match in enumerate(matches)):
            break
    keys = [dict(match.groupdict()) for match in matches if match is not None]
    return Named(text, aligned.paths, keys, by_role, aligned)


def _span(aligned: Aligned, by_role: dict[str, Field], device: Field, notes: Notes) -> tuple[int, int] | None:
    """The tokens that name a recording: the same for all its devices, and for no other recording."""
    others = [f for f in aligned.fields if not f.same_parts(device)]
    count = len(aligned.paths)
    whole = {tuple(f.values[n] for f in others) for n in range(count)}
    beside = [by_role[role] for role in ("subject", "session") if role in by_role]
    if "recording" in by_role:
        f = by_role["recording"]
        if len({(f.values[n], *(b.values[n] for b in beside)) for n in range(count)}) == len(whole):
            return f.first, f.last
    blocked = {at for f in aligned.fields if f.same_parts(device) for at in range(f.first, f.last + 1)}
    runs: list[list[Field]] = [[]]
    for f in aligned.fields:
        if blocked & set(range(f.first, f.last + 1)):
            runs.append([])
        else:
            runs[-1].append(f)
    for run in sorted(filter(None, runs), key=len, reverse=True):
        texts = [tuple(f.values[n] for f in run) + tuple(b.values[n] for b in beside) for n in range(count)]
        if len(set(texts)) == len(whole):
            first = run[0].first
            if first and aligned.rows[0][first - 1].kind in ("word", "words") and first - 1 not in blocked:
                first -= 1
            return first, run[-1].last
    notes.ask(
        "files.pattern",
        "which files belong to one recording cannot be told: give the pattern a group (?P<recording>...) that is the same for "
        f"the files of one recording ({some(device.distinct)})",
    )
    return None


_CLASSES = {"digits": r"\d+", "date": r"[\d_.T -]+", "word": "[A-Za-z]+", "words": "[A-Za-z_ -]+", "unit": r"[A-Za-z]+\d+"}


def _spell(aligned: Aligned, by_role: dict[str, Field], span: tuple[int, int] | None, explicit: bool) -> str:
    row = aligned.rows[0]
    named = {f.first: (role, f) for role, f in by_role.items() if role != "recording"}
    plain = {f.first: f for f in aligned.fields}
    text, at = "", 0
    while at < len(row):
        if span and at == span[0]:
            text += "(?P<recording>"
        last = at
        if at in named or at in plain:
            role, f = named.get(at, ("", plain.get(at)))
            assert f is not None
            body = _body(f, explicit or role == "device")
            inside = span and span == (f.first, f.last)
            text += f"(?P<{role}>{body})" if role else body if inside or "|" not in body else f"(?:{body})"
            last = f.last
        else:
            text += literal(row[at].text)
        if span and last == span[1]:
            text += ")"
        at = last + 1
    return text


def _body(f: Field, explicit: bool) -> str:
    if explicit and f.kind != "digits":
        return "|".join(map(literal, sorted(f.distinct, key=lambda value: (-len(value), value))))
    body = _CLASSES[f.kind]
    if f.kind == "words":
        joined = {mark for value in f.distinct for mark in value if not mark.isalpha()}
        body = "[A-Za-z" + "".join(mark for mark in "_ -" if mark in joined) + "]+"
    if not all(value.isascii() for value in f.distinct):
        body = body.replace("A-Za-z", r"\w")
    return body


def literal(text: str) -> str:
    """A text as a regular expression; what cannot be written in a card is any letter.

    >>> literal("a+b.csv")
    'a\\\\+b\\\\.csv'
    """
    return "".join("\\" + c if c in ".+*?^$()[]{}|\\" else c if c.isprintable() else "." for c in text)
