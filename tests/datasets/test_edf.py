"""EDF files are read as mne reads them, and what is wrong with one is said: no file raises anything but DataError."""

import os
import tracemalloc
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harkd.datasets.edf import Annotation, Edf, Stretch, read_edf
from harkd.errors import DataError

DATA = Path(os.environ.get("HARKD_TEST_DATA", "")) / "eegmmidb" / "files"
CORPUS = Path(__file__).parent / "corpus" / "edf"
SCALE = ("-100", "100", "-2000", "2000")  # 0.05 uV per step
KEEP = b"\x14\x14\0"  # ends a time-keeping TAL


def made(
    signals: Sequence[tuple[str, NDArray[np.int_]]],
    tals: Sequence[bytes] = (),
    *,
    kind: str = "EDF+C",
    seconds: str = "1",
    scale: Sequence[tuple[str, str, str, str]] = (),
    units: Sequence[str] = (),
    bdf: bool = False,
    head: dict[int, str] | None = None,
) -> bytes:
    """An EDF file: `signals` are labels and digital values (record, sample), `tals` the annotation bytes of each record.

    `head` replaces the text at a byte of the header's first 256.
    """
    width = 3 if bdf else 2
    rows = [values.astype("<i4").view(np.uint8).reshape(*values.shape, 4)[..., :width] for _, values in signals]
    labels, counts = [label for label, _ in signals], [values.shape[1] for _, values in signals]
    ranges = [*(scale or [SCALE] * len(signals))]
    if tals:
        size = -(-max(map(len, tals)) // width)
        rows.append(
            np.frombuffer(b"".join(tal.ljust(size * width, b"\0") for tal in tals), np.uint8).reshape(len(tals), size, width)
        )
        labels, counts, ranges = [*labels, f"{kind[:3]} Annotations"], [*counts, size], [*ranges, ("-1", "1", "-32768", "32767")]
    columns = [
        (16, labels), (80, [""] * len(labels)), (8, [*(units or ["uV"] * len(signals)), ""]),
        *((8, [part[i] for part in ranges]) for i in range(4)), (80, [""] * len(labels)), (8, counts), (32, [""] * len(labels)),
    ]  # fmt: skip
    size = 256 * (len(labels) + 1)
    first = "\xffBIOSEMI" if bdf else "0"
    texts = [(8, first), (80, "X X X X"), (80, "Startdate 02-MAR-2021 X X X"), (8, "02.03.21"), (8, "10.20.30"), (8, size),
             (44, kind), (8, len(rows[0])), (8, seconds), (4, len(labels))]  # fmt: skip
    text = "".join(f"{value:<{size}}" for size, value in texts)
    for at, new in (head or {}).items():
        text = text[:at] + new + text[at + len(new) :]
    text += "".join(f"{value:<{width}}" for width, values in columns for value in values[: len(labels)])
    return text.encode("latin-1") + np.concatenate([row.reshape(len(row), -1) for row in rows], axis=1).tobytes()


def ramp(records: int, samples: int, first: int = -5) -> NDArray[np.int_]:
    return np.arange(first, first + records * samples).reshape(records, samples)


def kept(*onsets: float) -> list[bytes]:
    return [f"+{onset:g}".encode() + KEEP for onset in onsets]


def read(folder: Path, content: bytes, **chosen: Any) -> Edf:
    path = folder / "made.edf"
    path.write_bytes(content)
    return read_edf(path, **chosen)


def check_against_mne(path: Path, found: Edf) -> None:
    reader = mne.io.read_raw_bdf if path.suffix == ".bdf" else mne.io.read_raw_edf
    raw = reader(path, preload=True, verbose="error", stim_channel=[])
    assert [name.strip(" .") for name in raw.ch_names] == list(found.signals)
    assert set(found.rates.values()) == {raw.info["sfreq"]}
    volts = {"uV": 1e-6, "mV": 1e-3}
    ours = np.stack([values * volts.get(found.units[label], 1) for label, values in found.signals.items()])
    np.testing.assert_allclose(ours, raw.get_data(), rtol=1e-9, atol=1e-9 * np.abs(ours).max())
    theirs = sorted(zip(raw.annotations.onset, raw.annotations.duration, raw.annotations.description, strict=True))
    assert [a[1:] for a in sorted(found.annotations)] == [(duration, text) for _, duration, text in theirs]
    assert [a.onset for a in sorted(found.annotations)] == pytest.approx([onset for onset, _, _ in theirs], rel=1e-9, abs=1e-9)
    assert found.start is not None
    assert raw.info["meas_date"].replace(tzinfo=None) == found.start.replace(microsecond=0)


@pytest.mark.skipif(not DATA.is_dir(), reason="HARKD_TEST_DATA does not name a folder with eegmmidb/files")
@pytest.mark.parametrize("run", [4, 6, 8, 10, 12, 14])
def test_real_recordings_are_what_mne_reads(run: int) -> None:
    found = read_edf(DATA / "S001" / f"S001R{run:02}.edf")
    check_against_mne(DATA / "S001" / f"S001R{run:02}.edf", found)
    assert (len(found.signals), found.records, found.stretches) == (64, 125, (Stretch(0.0, 0, 125),))


def test_a_file_worked_out_by_hand(tmp_path: Path) -> None:
    tals = [
        b"+0.5" + KEEP + b"+0.75\x151.5\x14Fu\xc3\x9f\x14rechts\x14\0",
        b"+2.5" + KEEP + b"+2\x14M\xfcller\x14\0+3\x15\x14end\x14\0",
    ]
    slow, fast = np.array([[-2000], [2000]]), ramp(2, 4)
    content = made([("Cz..", fast), (" Resp . ", slow)], tals, seconds="2", units=["uV", "mV"])
    found = read(tmp_path, content)
    assert list(found.signals) == ["Cz", "Resp"]
    np.testing.assert_allclose(found.signals["Cz"], np.arange(-5, 3) * 0.05, atol=1e-12)
    assert found.signals["Resp"].tolist() == [-100, 100]
    assert (found.rates, found.units) == ({"Cz": 2.0, "Resp": 0.5}, {"Cz": "uV", "Resp": "mV"})
    assert found.annotations == ((0.25, 1.5, "Fuß"), (0.25, 1.5, "rechts"), (1.5, 0, "Müller"), (2.5, 0, "end"))
    assert found.start == datetime(2021, 3, 2, 10, 20, 30, 500_000)
    assert (found.records, found.seconds, found.dropped) == (2, 2.0, 0)
    assert found.stretches == (Stretch(0.0, 0, 2),)


def test_only_the_signals_that_are_named(tmp_path: Path) -> None:
    broken = ("0", "0", "0", "0")
    content = made([("Cz", ramp(2, 4)), ("off", ramp(2, 3))], scale=[SCALE, broken])
    assert list(read(tmp_path, content, names=["Cz"]).signals) == ["Cz"]
    with pytest.raises(DataError, match=r"signal 2 \('off'\) maps the digital range 0 to 0 onto 0 to 0.*no scale"):
        read(tmp_path, content)
    with pytest.raises(DataError, match="no signal 'C3'; its signals are Cz, off"):
        read(tmp_path, content, names=["C3"])


def test_a_discontinuous_file_is_cut_at_its_gaps(tmp_path: Path) -> None:
    content = made([("Cz", ramp(4, 10, 0))], kept(0, 1, 5.5, 6.5), kind="EDF+D")
    found = read(tmp_path, content)
    assert found.stretches == (Stretch(0.0, 0, 2), Stretch(5.5, 2, 2))
    assert (found.cut("Cz", found.stretches[1]) / 0.05).round().tolist() == list(range(20, 40))
    found = read(tmp_path, made([("Cz", ramp(3, 10))], kept(0, 1.04, 2.07), kind="EDF+D"))  # 40 ms late, a sample has 100
    assert found.stretches == (Stretch(0.0, 0, 3),)


@pytest.mark.parametrize(
    ("kind", "onsets", "message"),
    [
        ("EDF+C", (0, 3), "record 2 begins at 3 s, expected 1 s: the file is continuous"),
        ("EDF+D", (0, 0.5), "record 2 begins at 0.5 s, expected 1 s: the file is EDF.D: gaps, no overlaps"),
    ],
)
def test_records_at_impossible_times(kind: str, onsets: tuple[float, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, made([("Cz", ramp(2, 10))], kept(*onsets), kind=kind))


def test_24_bits(tmp_path: Path) -> None:
    values = np.array([[-(2**23), -1, 0], [1, 255, 2**23 - 1]])
    scale = [("-8388608", "8388607", "-8388608", "8388607")]
    found = read(tmp_path, made([("A1", values)], kept(0, 1), kind="BDF+C", bdf=True, scale=scale))
    assert found.signals["A1"].tolist() == values.ravel().tolist()


def test_signals_of_one_label_are_numbered_as_mne_numbers_them(tmp_path: Path) -> None:
    found = read(tmp_path, made([("EMG", ramp(1, 4)), ("Cz", ramp(1, 4)), ("EMG", ramp(1, 4)), ("", ramp(1, 4))], kind=""))
    assert list(found.signals) == ["EMG-0", "Cz", "EMG-1", "signal 4"]


def test_a_file_cut_short(tmp_path: Path) -> None:
    content = made([("Cz", ramp(3, 10))])
    with pytest.raises(DataError, match="declares 3 records of 20 bytes, the file holds 2 and 19 bytes more"):
        read(tmp_path, content[:-1])
    with pytest.raises(DataError, match="declares 3 records of 20 bytes, the file holds 3 and 2 bytes more"):
        read(tmp_path, content + b"\r\n")
    found = read(tmp_path, made([("Cz", ramp(3, 10))], head={236: "-1      "})[:-1])
    assert (found.records, found.dropped, len(found.signals["Cz"])) == (2, 19, 20)
    assert found.stretches == (Stretch(0.0, 0, 2),)


def test_a_file_of_annotations_only(tmp_path: Path) -> None:
    found = read(tmp_path, annotations_only())
    assert (found.signals, found.stretches) == ({}, ())
    assert found.annotations == (Annotation(7.0, 30.0, "N2"),)


def annotations_only() -> bytes:
    """A file without signals: the annotations are taken out of a file with one."""
    tal = b"+0" + KEEP + b"+7\x1530\x14N2\x14\0"
    whole = made([("Cz", ramp(1, 1))], [tal], seconds="0", head={184: "512 ", 252: "1   "})
    at, header = 256, whole[:256]
    for width in (16, 80, 8, 8, 8, 8, 8, 80, 8, 32):
        header += whole[at + width : at + 2 * width]
        at += 2 * width
    return header + whole[at + 2 :]


@pytest.mark.parametrize(
    ("head", "start"),
    [
        ({88: "X".ljust(80)}, datetime(2021, 3, 2, 10, 20, 30)),
        ({88: "X".ljust(80), 168: "31.12.85"}, datetime(1985, 12, 31, 10, 20, 30)),
        ({168: "01.01.85"}, datetime(2021, 3, 2, 10, 20, 30)),  # the recording field has the whole year
        ({176: "25.20.30"}, None),
        ({176: "unknown "}, None),
        ({88: "Startdate X".ljust(80), 168: "00.00.00"}, None),
    ],
)
def test_the_date(head: dict[int, str], start: datetime | None, tmp_path: Path) -> None:
    assert read(tmp_path, made([("Cz", ramp(1, 4))], head=head)).start == start


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.edf: cannot be read \(No such file"):
        read_edf(tmp_path / "none.edf")
    with pytest.raises(DataError, match="cannot be read"):
        read_edf(tmp_path)


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6)
seconds = st.integers(0, 400).map(lambda n: n / 1000)  # mne shortens what goes beyond the last sample


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, bool]:
    bdf, records, samples, count = draw(st.booleans()), draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 3))
    top = 2 ** (23 if bdf else 15)
    values = st.lists(st.integers(-top, top - 1), min_size=records * samples, max_size=records * samples)
    signals = [(f"C{i}..", np.array(draw(values)).reshape(records, samples)) for i in range(count)]
    bounds = st.integers(-9_999_999, 9_999_999)
    scale = []
    for _ in range(count):
        low, high = draw(st.tuples(bounds, bounds).filter(lambda pair: pair[0] != pair[1]))
        least, most = sorted(draw(st.lists(st.integers(-top, top - 1), min_size=2, max_size=2, unique=True)))
        scale.append((str(low), str(high), str(least), str(most)))
    tals = kept(*range(records))
    for record in range(records):
        for onset, duration, text in draw(st.lists(st.tuples(seconds, seconds, texts), max_size=3)):
            tals[record] += f"+{onset}\x15{duration}\x14{text}\x14\0".encode()
    return made(signals, tals, kind="BDF+C" if bdf else "EDF+C", scale=scale, bdf=bdf), bdf


@given(file=files())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_is_what_mne_reads(file: tuple[bytes, bool], tmp_path: Path) -> None:
    path = tmp_path / ("any.bdf" if file[1] else "any.edf")
    path.write_bytes(file[0])
    check_against_mne(path, read_edf(path))


VALID = (
    made([("Cz", ramp(3, 10)), ("C3", ramp(3, 5))], kept(0, 1, 2)),
    made([("Cz", ramp(3, 10))], [tal + b"+1\x152\x14T0\x14\0" for tal in kept(0, 1, 5)], kind="EDF+D"),
    made([("A1", ramp(2, 4))], kept(0, 1), kind="BDF+C", bdf=True),
    made([("Cz", ramp(3, 10))], head={236: "-1      "}),
)
LIES = [
    b"-1      ",
    b"99999999",
    b"1e300   ",
    b"0       ",
    b"nan     ",
    b"        ",
    b"0.5     ",
    b"-5      ",
    b"\0\xff",
    b"1e-300  ",
]


@st.composite
def damaged(draw: st.DrawFn, valid: Sequence[bytes] = VALID) -> bytes:
    content = bytearray(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.one_of(st.integers(0, len(content)), st.sampled_from([168, 184, 236, 244, 252])))
        new = draw(st.one_of(st.sampled_from(LIES), st.binary(min_size=1, max_size=4)))
        content[at : at + len(new)] = new
    return bytes(content[: draw(st.one_of(st.none(), st.integers(0, len(content))))])


def read_or_refuse(path: Path, content: bytes) -> None:
    """Whatever `content` is, reading it ends with a recording or a DataError, and takes little memory."""
    path.write_bytes(content)
    tracemalloc.start()
    with suppress(DataError):
        found = read_edf(path)
        assert all(np.isfinite(values).all() for values in found.signals.values())
        assert sum(stretch.records for stretch in found.stretches) in (0, found.records)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20


@given(content=damaged())
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_is_named_or_harmless(content: bytes, tmp_path: Path) -> None:
    read_or_refuse(tmp_path / "damaged.edf", content)


CORPUS_SAYS = {
    "annotation.edf": "record 2 holds the annotation .*not of the form",
    "cut_in_header.edf": "the file has 604",
    "cut_in_record.edf": "declares 3 records of 36 bytes, the file holds 2 and 29 bytes more",
    "gap.edf": "begins at 3 s, expected 1 s: the file is continuous",
    "line_ends.edf": "declares 3 records of 20 bytes, the file holds 3 and 1 bytes more",
    "no_annotations.edf": "discontinuous .EDF.D., but has no signal 'EDF Annotations'",
    "no_clock.edf": "record 3 does not say when it begins",
    "no_scale.edf": "have no scale",
    "overlap.edf": "begins at 3 s, expected 5 s: the file is EDF.D",
    "rate_none.edf": "a record lasts 0 seconds",
    "rate_overflow.edf": "10 samples in 1e-308 seconds are not a rate",
    "record_count.edf": "declares 99999999 records",
    "samples_1e300.edf": "samples per record is '1e300', expected a whole number",
    "samples_negative.edf": "-1 samples per record, expected at least 1",
    "scale_nan.edf": "physical minimum of signal 1 .'Cz'. is 'nan', expected a number",
    "scale_overflow.edf": "values have no scale",
    "signals_9999.edf": "has 9999 signals, which take 2560000 bytes",
    "signals_negative.edf": "has -1 signals",
}


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.iterdir()))
def test_what_was_found_once_stays_found(name: str) -> None:
    with pytest.raises(DataError, match=f"{name}: .*{CORPUS_SAYS[name]}"):
        read_edf(CORPUS / name)
