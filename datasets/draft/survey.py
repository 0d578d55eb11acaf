"""From a folder to a draft: which files are recordings, and what they say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harkd.datasets.archives import is_archive
from harkd.datasets.download import sha256_of
from harkd.datasets.draft import side
from harkd.datasets.draft.arrays import arrays_in, from_arrays, from_edf
from harkd.datasets.draft.card_text import Plan
from harkd.datasets.draft.finish import finish
from harkd.datasets.draft.notes import Notes, many, some
from harkd.datasets.draft.paths import Field, align
from harkd.datasets.draft.pattern import Named, give_roles, literal, pattern_of
from harkd.datasets.draft.tabular import Tabular, all_words, forms_of, tabular
from harkd.datasets.draft.words import is_device, kind, parts, slug
from harkd.datasets.edf import read_edf
from harkd.datasets.store import unpacked
from harkd.errors import DataError, UsageError

READERS = {
    "text": (".csv", ".txt", ".tsv", ".dat", ".data", ".asc"),
    "mat": (".mat",),
    "npz": (".npz", ".npy"),
    "edf": (".edf", ".bdf"),
    "parquet": (".parquet", ".pq"),
}
_SAMPLE = 12


@dataclass
class Files:
    """The files of a folder.

    Attributes:
        folder: where they are; the unpacked archive, if there is one.
        names: relative paths, sorted.
    """

    folder: Path
    names: list[str]
    archive: str = ""
    forms: dict[str, Any] = field(default_factory=dict)

    def of(self, reader: str) -> list[str]:
        return [name for name in self.names if Path(name).suffix.lower() in READERS[reader]]


def survey(folder: Path, name: str, rate: float, notes: Notes) -> tuple[Plan, Path]:
    """Draft the card of a folder.

    Args:
        name: of the data set.
        rate: samples per second, where the files do not tell; 0: not known.

    Returns:
        The draft and the folder that its pattern is about.

    Raises:
        UsageError: there are no recordings that a card could describe.
    """
    files = _files(folder, notes)
    plan = Plan(name, folder.resolve().name or name, archive=files.archive)
    reader, recordings = _recordings(files, notes)
    plan.reader = reader
    told: dict[str, list[str]] = {}
    if reader in ("text", "parquet"):
        told = tabular(files.folder, _spread(recordings), files.forms, reader, Notes()).told()
    elif reader in ("mat", "npz"):
        content = _contents(files.folder, recordings[:1])
        told = from_arrays(content, (), Notes())[3]
    elif reader == "edf" and any(read_edf(files.folder / name).annotations for name in recordings[:3]):
        told = {"label": []}
    aligned = align(recordings)
    if aligned.apart:
        share = f"{many(len(aligned.apart), 'file')} of {len(recordings)}"
        notes.ask("files.pattern", f"{share} named otherwise, like {aligned.apart[0]!r}, are left out; should they be read, too?")
    _twice(files.folder, aligned.paths, notes)
    besides = _besides(files, set(recordings))
    give_roles(aligned, set(told) | _told_beside(besides), notes)
    notes.tell(f"{many(len(aligned.paths), 'recording file')} for the reader {reader!r}, like {aligned.paths[0]!r}")
    wanted = _tables(plan, besides, aligned.fields, aligned.paths, told, notes)
    named = pattern_of(aligned, notes, wanted)
    plan.pattern = named.pattern
    by_device = _by_device(named)
    if reader in ("text", "parquet"):
        _tabular_devices(plan, files, by_device, named, notes)
    elif reader in ("mat", "npz"):
        _array_devices(plan, files, by_device, named, notes)
    else:
        plan.streams, marks, plan.lasting = from_edf([files.folder / path for path in named.paths], notes)
        if marks and "label" not in named.fields and not plan.segments:
            plan.marks = {mark: mark for mark in marks if mark}
            notes.guess("files.events", f"the annotations {some(marks)} are the labels: take out those that are no class")
    finish(plan, files.folder, named, besides, rate, _readme(files), notes)
    return plan, files.folder


def _files(folder: Path, notes: Notes) -> Files:
    def listed(place: Path) -> list[str]:
        found = sorted(path for path in place.rglob("*") if path.is_file() and path.stat().st_size)
        names = [path.relative_to(place).as_posix() for path in found]
        return [n for n in names if not any(part.startswith((".", "__MACOSX")) for part in n.split("/"))]

    names = listed(folder)
    known = {suffix for suffixes in READERS.values() for suffix in suffixes}
    if any(Path(name).suffix.lower() in known and not _is_readme(name) for name in names):
        packed = [name for name in names if is_archive(Path(name)) and not name.lower().endswith((".npz",))]
        if packed:
            notes.tell(f"not looked into: {some(packed)}; unpack what belongs to the recordings")
        return Files(folder, names)
    packed = [name for name in names if is_archive(Path(name))]
    if len(packed) > 1:
        raise UsageError(f"{folder} holds {len(packed)} archives ({some(packed)}): unpack them there, then run this again")
    if not packed:
        there = Counter(Path(name).suffix.lower() or "without suffix" for name in names)
        what = f"its {len(names)} files are {some([f'{n} {s}' for s, n in there.most_common()])}" if names else "it is empty"
        raise UsageError(
            f"{folder} holds no recordings that a card can describe; {what}. Expected csv, txt, tsv, dat, mat, npz, npy, edf, "
            "bdf or parquet files, or one zip or tar archive of them"
        )
    inside = unpacked(folder / packed[0])
    notes.tell(f"the recordings are in the archive {packed[0]}; it is unpacked in harkd's cache when it is read")
    return Files(inside, listed(inside), literal(packed[0]))


def _is_readme(name: str) -> bool:
    stem = Path(name).stem.lower()
    return bool(re.match(r"read.?me|licen[cs]e|manual|changelog|citation|info$|notes?$|description", stem))


def _recordings(files: Files, notes: Notes) -> tuple[str, list[str]]:
    """The reader, and the files that are recordings."""
    problems: list[str] = []
    best: tuple[int, str, list[str]] | None = None
    for reader in READERS:
        names = [name for name in files.of(reader) if not _is_readme(name)]
        if reader == "text" and names:
            files.forms = forms_of(files.folder, files.of(reader))
            problems += [f"{name} ({files.forms[name].problem})" for name in names if files.forms[name].problem]
            names = _tables_of_recordings(files, [name for name in names if not files.forms[name].problem])
        if names:
            size = sum((files.folder / name).stat().st_size for name in names)
            if best is None or size > best[0]:
                best = size, reader, names
    if best is None:
        raise UsageError(f"{files.folder} holds no table that a card can describe: {some(problems)}")
    if problems and best[1] == "text":
        notes.tell(f"left out: {some(problems)}")
    return best[1], best[2]


def _tables_of_recordings(files: Files, names: list[str]) -> list[str]:
    """The text files that are recordings: those of the form that takes most room, and others as many and as large."""
    groups: dict[Any, list[str]] = {}
    for name in names:
        groups.setdefault(files.forms[name].signature, []).append(name)
    if not groups:
        return []
    size = {form: sum((files.folder / name).stat().st_size for name in group) for form, group in groups.items()}
    main = max(groups, key=lambda form: size[form])
    chosen = []
    for form, group in groups.items():
        words = {word for column in files.forms[group[0]].names for word in parts(column)}
        stretches = bool(words & {"start", "begin", "onset"}) and bool(words & {"stop", "end", "offset"})
        alike = len(group) >= 0.5 * len(groups[main]) and size[form] / len(group) >= 0.1 * size[main] / len(groups[main])
        if form == main or (alike and not stretches and sum(files.forms[group[0]].numeric) >= 2):
            chosen += group
    return sorted(chosen)


def _twice(folder: Path, names: Sequence[str], notes: Notes) -> None:
    """Ask about files with the same content."""
    by_size: dict[int, list[str]] = {}
    for name in names:
        by_size.setdefault((folder / name).stat().st_size, []).append(name)
    by_content: dict[str, list[str]] = {}
    for group in by_size.values():
        for name in group if len(group) > 1 else []:
            by_content.setdefault(sha256_of(folder / name), []).append(name)
    twice = [" = ".join(group) for group in by_content.values() if len(group) > 1]
    if twice:
        notes.ask(
            "files.pattern",
            f"{many(len(twice), 'file')} there more than once ({twice[0]}): narrow the pattern, or take copies out",
        )


def _spread(names: Sequence[str], most: int = _SAMPLE) -> list[str]:
    """Some of the names, from all over."""
    return list(dict.fromkeys(names[round(n * (len(names) - 1) / max(1, most - 1))] for n in range(min(most, len(names))))) or []


def _contents(folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    return [arrays_in(folder / name) for name in names]


def _besides(files: Files, recordings: set[str]) -> list[side.Beside]:
    found = []
    forms = files.forms or forms_of(files.folder, files.of("text"))
    for name in files.of("text"):
        usable = not forms[name].problem or _two_columns(forms[name])
        if name not in recordings and not _is_readme(name) and usable:
            table = side.open_table(files.folder, name, forms[name])
            if table is not None:
                found.append(table)
    return found


def _two_columns(form: Any) -> bool:
    return form.width >= 2 and form.problem == "no column of numbers"


def _told_beside(besides: Sequence[side.Beside]) -> set[str]:
    """Labels in a table with start and stop leave none to the paths."""
    for beside in besides:
        words = {word for column in beside.form.names for word in parts(column)}
        if words & {"start", "begin", "onset"} and words & {"stop", "end", "offset"}:
            return {"label"}
        if not beside.form.header and beside.table.shape[1] >= 4 and side.bounds(beside.table):
            return {"label"}
    return set()


def _tables(
    plan: Plan, besides: list[side.Beside], fields: Sequence[Field], paths: Sequence[str], told: Mapping[str, Any], notes: Notes
) -> Field | None:
    """Find the side tables; the field that has to name the recordings for them."""
    wanted: Field | None = None
    spans = side.spans(fields, paths)
    by_role: dict[str, Sequence[str]] = {f.role: f.values for f in fields if f.role in ("subject", "session")}
    by_role |= {key: values for key, values in told.items() if key != "label" and values}
    for beside in list(besides):
        names = [f for f in spans if f.role not in ("subject", "session", "device", "label", "twin")]
        scored = [(max(side.overlap(words, f.values) for words in beside.words), -n, f) for n, f in enumerate(names)]
        best = max(scored, default=(0.0, 0, None), key=lambda s: s[:2])
        known = dict(by_role)
        if "recording" not in known and best[0] >= 0.3 and best[2] is not None:
            known["recording"] = best[2].values
        found = side.segments(beside, known, fields, notes)
        if found is not None:
            plan.segments = found
            if "recording" in found.columns and "recording" not in told and best[2] is not None:
                wanted = best[2]
            besides.remove(beside)
            break
    needs = {key for key in ("subject", "session", "label") if key not in told and not any(f.role == key for f in fields)}
    weak = {f.role for f in fields if f.role == "label" and not f.strong} if not plan.segments else set()
    if plan.segments:
        needs.discard("label")
    for beside in besides:
        about = side.about(beside, fields, paths, needs | weak, notes)
        if about is not None:
            plan.tables = (*plan.tables, about[0])
            if about[0].key == "recording" and about[1].first != -3:
                wanted = about[1]
    return _placed(wanted, paths, fields)


def _placed(wanted: Field | None, paths: Sequence[str], fields: Sequence[Field]) -> Field | None:
    """The field with the tokens it stands on."""
    if wanted is None or wanted.first >= 0:
        return wanted
    if wanted.first == -3:
        return None
    row = align(paths).rows[0]
    slashes = [n for n, token in enumerate(row) if token.text == "/"]
    first = slashes[-1] + 1 if slashes else 0
    return Field(first, len(row) - (2 if wanted.first == -1 else 1), "words", wanted.values)


def _by_device(named: Named) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path, keys in zip(named.paths, named.keys, strict=True):
        found.setdefault(keys.get("device", ""), []).append(path)
    return dict(sorted(found.items()))


def _tabular_devices(plan: Plan, files: Files, by_device: Mapping[str, list[str]], named: Named, notes: Notes) -> None:
    """The sensors in the tables of each device, and what all tables share."""
    shared: Tabular | None = None
    for word, paths in by_device.items():
        mine = Notes()
        found = tabular(files.folder, _spread(paths), files.forms, plan.reader, mine)
        notes.found += mine.found
        notes.asked += [remark for remark in mine.asked if remark not in notes.asked]
        if shared is None:
            notes.guessed += mine.guessed
            shared = found
            form = found.form
            plan.header, plan.separator, plan.decimal, plan.comment = form.header, form.separator, form.decimal, form.comment
            plan.time, plan.time_unit, plan.keys, plan.device = (
                found.roles.time,
                found.roles.unit,
                found.roles.keys,
                found.roles.device,
            )
        elif (found.roles.time, found.form.header) != (shared.roles.time, shared.form.header):
            what = f"{found.roles.time!r} in the files of {word!r}, {shared.roles.time!r} in others"
            notes.ask("files.time", f"the column of time stamps is {what}: a card has one name for it; rename it in the files")
        _add(plan, word, found.streams, named, notes)
        plan.runs += found.runs
    if plan.keys:
        plan.values = all_words(files.folder, named.paths, files.forms, plan.reader, plan.keys)


def _array_devices(plan: Plan, files: Files, by_device: Mapping[str, list[str]], named: Named, notes: Notes) -> None:
    joints = _joints(files)
    for word, paths in by_device.items():
        contents = _contents(files.folder, _spread(paths))
        streams, keys, time, values = from_arrays(contents, joints, notes)
        plan.keys |= keys
        plan.time = time or plan.time
        plan.values |= values
        _add(plan, word, streams, named, notes)
    if not plan.streams:
        raise DataError(f"{files.folder / named.paths[0]}: holds no array of numbers over time")


def _add(plan: Plan, word: str, streams: Sequence[Any], named: Named, notes: Notes) -> None:
    """The sensors of one device, with names of their own."""
    f = named.fields.get("device")
    said = parts(word)
    for stream in streams:
        inner = parts(stream.device)
        known = next((k for part in (*said, *inner) if (k := kind(part))), "")
        if known and not stream.kind:
            stream.kind = known
        places = [part for part in (*said, *inner) if not kind(part)]
        if word.isdecimal():
            places = [slug(f"{f.prefix if f else 'device'}{word}")]
        elif re.fullmatch(r"[\d/]+", stream.device):
            places = [f"device{stream.device.replace('/', '_')}"]
        elif word and not is_device(word):
            places = [slug(word)]
        stream.words = tuple(dict.fromkeys([p for p in places if p != "inertial"] + list(stream.words)))
        if word and f is not None:
            stream.device = word
        plan.streams.append(stream)


def _joints(files: Files) -> list[str]:
    """Names of joints, one a line, in a text beside the recordings."""
    for name in files.of("text"):
        if "joint" in name.lower() and (files.folder / name).stat().st_size < 20_000:
            text = (files.folder / name).read_text(encoding="utf-8", errors="replace")
            found = re.findall(r"^\s*(?:\d+[.):]?\s*)?([A-Za-z]\w*)\s*[;,.]?\s*$", text, re.MULTILINE)
            if len(found) >= 5:
                return [slug(joint) for joint in found]
    return []


def _readme(files: Files) -> str:
    """What texts beside the recordings say of a rate."""
    for name in files.names:
        if Path(name).suffix.lower() in ("", ".txt", ".md", ".rst") and _is_readme(name):
            with (files.folder / name).open(encoding="utf-8", errors="replace") as file:
                text = file.read(100_000)
            found = re.search(r"(\d+(?:\.\d+)?)\s*(?:Hz|hertz|samples per second)", text, re.IGNORECASE)
            if found:
                return f"{name} says {found[0]!r}"
    return ""
