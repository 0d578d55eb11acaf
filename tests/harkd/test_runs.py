"""The run directory: what it holds and what it never holds, and files that are damaged or hostile."""

import ast
import hashlib
import json
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from harkd import runs
from harkd.datasets import Windows, load
from harkd.errors import HarkdError, UsageError
from harkd.options import Distill, Train
from harkd.parts import data_of, prepare
from harkd.player import predict
from harkd.runs import Checkpoint, Run

SOURCES = sorted(Path(runs.__file__).parent.rglob("*.py"))


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to be damaged."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture(scope="session")
def windows(trained: Path) -> Windows:
    """The test windows of the run."""
    return prepare(data_of(Run.open(trained))).test


# What a run directory holds


def test_the_files_of_a_finished_run(trained: Path) -> None:
    weights = [f"{name}.{kind}" for name in ("best", "epoch-2", "last") for kind in ("json", "safetensors")]
    assert sorted(path.name for path in trained.iterdir()) == sorted([*weights, "config.toml", "history.jsonl", "result.json"])


def test_the_sidecar_says_what_the_weights_fill(trained: Path, world: Any) -> None:
    told = json.loads((trained / "last.json").read_text())
    content = (trained / "last.safetensors").read_bytes()
    assert told["sha256"] == hashlib.sha256(content).hexdigest()
    assert (told["net"], told["sees"], told["channels"], told["rate"], told["length"]) == ("dscnn-xs", "acc,gyro", 6, 50.0, 32)
    assert (told["target"], told["classes"]) == ("movement", ["slow", "medium", "fast"])
    assert [(sensor["name"], sensor["units"], sensor["placement"]) for sensor in told["sensors"]] == [
        ("acc", "g", "wrist"),
        ("gyro", "rad/s", "wrist"),
    ]
    tensors = safetensors.torch.load(content)
    learnt = [
        t for name, t in tensors.items() if not name.startswith("scaler") and "running" not in name and "num_batches" not in name
    ]
    assert told["parameters"] == sum(tensor.numel() for tensor in learnt) == 1195
    best = json.loads((trained / "best.json").read_text())
    assert best["epoch"] == json.loads((trained / "result.json").read_text())["best_epoch"]
    assert json.loads((trained / "epoch-2.json").read_text())["epoch"] == 2


def test_the_terms_of_the_data_travel_along(trained: Path, distilled: Path) -> None:
    (teacher,) = distilled.parent.glob("teacher-*")
    for folder in (trained, distilled, teacher):
        terms = json.loads((folder / "result.json").read_text())["terms"]
        assert terms == {
            "data": "swings",
            "synthetic": False,
            "citation": "A. Swinger: Swings, 2020.",
            "name": "CC-BY-NC-4.0",
            "commercial": False,
            "redistribute": True,
            "note": "Ask before you sell.",
        }
        for path in folder.glob("*.safetensors"):
            data = json.loads(path.with_suffix(".json").read_text())["data"]
            assert (data["name"], data["citation"]) == ("swings", "A. Swinger: Swings, 2020.")
            assert data["licence"] == {key: terms[key] for key in ("name", "commercial", "redistribute", "note")}


def test_the_result_says_what_was_done(trained: Path, distilled: Path) -> None:
    told = json.loads((trained / "result.json").read_text())
    assert (told["role"], told["label"], told["method"], told["teacher"]) == ("alone", "dscnn-xs alone", "ce", "")
    assert (told["epochs"], told["updates"], told["selected"]) == (8, 24, "best")  # 36 windows in batches of 12
    assert told["split"] == {
        "name": "official",
        "train": {"windows": 36, "subjects": 3},
        "val": {"windows": 12, "subjects": 1},
        "test": {"windows": 12, "subjects": 1},
    }
    assert told["weights_bytes"] == (trained / "best.safetensors").stat().st_size
    student = json.loads((distilled / "result.json").read_text())
    (teacher,) = distilled.parent.glob("teacher-*")
    taught = json.loads((teacher / "result.json").read_text())
    assert (student["role"], student["method"], student["teacher"]) == ("distilled", "kd", "dscnn-s (teacher)")
    assert (taught["role"], taught["label"], student["teacher_identity"]) == ("teacher", "dscnn-s (teacher)", taught["identity"])
    assert teacher.name == f"teacher-dscnn-s-{taught['identity']}"


def everything(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        yield path.name, path.name.encode()
        if path.is_file():
            yield path.name, path.read_bytes()


@pytest.mark.parametrize("split", ["official", "loso:person-2", "kfold:5/1", "session:am"])
def test_no_names_and_no_recordings(harkd: Any, world: Any, tmp_path: Path, split: str) -> None:
    """Neither finished nor unfinished: the checkpoint of every step is looked at too."""
    seen: set[str] = set()
    signals = [signal.numpy() for signal in load(str(world.card), world.folder).signals.values()]
    some = [
        channel[start : start + 4].astype(kind).tobytes()
        for signal in signals
        for channel in signal
        for start in (0, 501)
        for kind in "fd"
    ]
    row = (world.folder / world.people[0] / "am-fast.csv").read_bytes().splitlines()[7]

    def look() -> None:
        for name, content in everything(tmp_path):
            seen.add(name)
            lower = content.lower()
            assert not [person for person in world.people if person.lower().encode() in lower], name
            assert not [part for part in some if part in content], name
            assert row not in content, name

    step = Checkpoint.save

    def save(self: Checkpoint, *state: Any) -> None:
        step(self, *state)
        look()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "save", save)
        patch.setattr(runs, "SAVE_EVERY", -1.0)
        told = harkd(*world.distill, "--split", split, "--out", "student", "--epochs", "2", "--teacher-epochs", "2")
    assert told.code == 0, told.err
    look()
    assert {"checkpoint.json", "checkpoint-0-4.safetensors", "last.safetensors", "result.json"} <= seen
    assert not [person for person in world.people if person in told.out + told.err]


def test_the_search_finds_names_and_recordings_where_there_are_some(world: Any) -> None:
    signal = load(str(world.card), world.folder).signals["acc"].numpy()
    folder = world.folder / world.people[0]
    texts = (folder / "am-fast.csv").read_bytes()
    assert f"{signal[0, 7]:.4f}".encode() in texts.splitlines()[8]
    assert any(world.people[0].encode() in content for _, content in everything(world.folder))


def test_a_name_in_a_split_is_refused_with_its_pseudonym(harkd: Any, world: Any, tmp_path: Path) -> None:
    told = harkd(*world.train, "--split", "loso:Hrothgar")
    assert told.code == 2
    assert told.err == "harkd: split 'loso:Hrothgar': names of people stay out of run directories; write loso:person-2\n"
    told = harkd(*world.train, "--split", "loso:person-6")
    assert told.code == 2
    assert "unknown person 'person-6': did you mean 'person-" in told.err
    assert list(tmp_path.iterdir()) == []


def test_codes_may_be_named(harkd: Any, world: Any, tmp_path: Path) -> None:
    card = world.other_card(tmp_path, ('name = "swings"', 'name = "swings"\nsubjects_are_codes = true'))
    told = harkd(*world.train, "--data", card, "--split", "loso:Hrothgar", "--epochs", "1", "--json")
    assert [score["subject"] for score in told.json["test"]["subjects"]] == ["Hrothgar"]


# Nothing is unpickled


@pytest.mark.parametrize("path", SOURCES, ids=[path.relative_to(SOURCES[0].parent).as_posix() for path in SOURCES])
def test_no_module_unpickles(path: Path) -> None:
    if path.name == "pickles.py":
        pytest.skip("reads pickled arrays with an unpickler that knows nothing else")
    for node in ast.walk(ast.parse(path.read_text())):
        imported = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        imported += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {name.split(".")[0] for name in imported} & {
            "pickle",
            "cPickle",
            "dill",
            "joblib",
            "shelve",
            "marshal",
            "cloudpickle",
        }
        if isinstance(node, ast.Attribute):
            assert ast.unparse(node) not in {
                "torch.load",
                "torch.save",
                "torch.jit.load",
                "np.load",
                "pd.read_pickle",
                "numpy.load",
            }
        if isinstance(node, ast.keyword):
            assert node.arg not in {"allow_pickle", "weights_only"}


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_a_pickle_in_place_of_weights_is_refused_and_not_run(harkd: Any, run: Path, tmp_path: Path, how: str) -> None:
    mark = tmp_path / "boom"
    if how == "torch":
        torch.save({"weight": Bomb(mark)}, run / "best.safetensors")
    else:
        (run / "best.safetensors").write_bytes(pickle.dumps(Bomb(mark)))
    told = harkd("evaluate", run)
    assert (told.code, told.out) == (1, "")
    assert told.err.startswith(f"harkd: {run}/best.safetensors is damaged (")
    assert told.err.endswith("): repeat the run\n")
    assert not mark.exists()
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.exists()  # the bomb was live


# Damaged files


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.01, 0.5, 0.999])
def test_truncated_weights_are_told(harkd: Any, run: Path, share: float) -> None:
    path = run / "best.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    told = harkd("evaluate", run)
    assert (told.code, told.out, told.err.count("\n")) == (1, "", 1)
    assert f"{path} is damaged (" in told.err


def test_every_flipped_bit_is_noticed(run: Path, windows: Windows) -> None:
    path = run / "best.safetensors"
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in (8, len(content) - 1, *rng.integers(0, len(content), 40).tolist()):
        bad = bytearray(content)
        bad[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(bad)
        with pytest.raises(HarkdError, match="is damaged"):
            Run(run).load_player(windows)
    path.write_bytes(content)
    assert len(predict(Run(run).load_player(windows), windows)) == 12


def test_weights_of_another_run_are_noticed(harkd: Any, run: Path, distilled: Path) -> None:
    shutil.copy(distilled / "best.safetensors", run)
    told = harkd("evaluate", run)
    assert told.code == 1
    assert "best.safetensors is damaged (it is not the file that was written with best.json): repeat the run" in told.err


def test_weights_and_sidecar_of_another_net_do_not_fit_the_name(run: Path, windows: Windows) -> None:
    told = json.loads((run / "best.json").read_text())
    (run / "best.json").write_text(json.dumps({**told, "net": "dscnn-s"}))
    with pytest.raises(HarkdError, match=r"best\.safetensors does not fit the net 'dscnn-s' \(.*size mismatch"):
        Run(run).load_player(windows)
    (run / "best.json").write_text(json.dumps({**told, "net": "dscnn-?"}))
    with pytest.raises(UsageError, match=r"unknown net 'dscnn-\?'"):
        Run(run).load_player(windows)


BROKEN = {
    "empty": (b"", "is damaged (Expecting value"),
    "cut": (b'{"identity": "x', "is damaged (Unterminated string"),
    "not text": (b"\xff\xfe{}", "is damaged ("),
    "a list": (b"[]", "is damaged (it holds no JSON object)"),
    "null": (b"null", "is damaged (it holds no JSON object)"),
    "no keys": (b"{}", " is missing)"),
    "deep": (b"[" * 100_000, "is damaged (maximum recursion depth"),
}


@pytest.mark.parametrize("name", ["result.json", "best.json"])
@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_json_is_told(harkd: Any, run: Path, name: str, content: bytes, message: str) -> None:
    (run / name).write_bytes(content)
    told = harkd("evaluate", run)
    assert (told.code, told.out, told.err.count("\n")) == (1, "", 1)
    assert told.err.startswith(f"harkd: {run / name} is damaged (")
    assert message in told.err
    assert told.err.endswith("): repeat the run\n")


@pytest.mark.parametrize("name", ["best.json", "best.safetensors"])
def test_a_missing_file_is_told(harkd: Any, run: Path, name: str) -> None:
    (run / name).unlink()
    told = harkd("evaluate", run)
    assert told.err.count("\n") == 1
    if name == "best.json":
        assert (told.code, told.err) == (1, f"harkd: {run / name} is missing; the run directory is incomplete: repeat the run\n")
    else:
        assert (told.code, told.err) == (2, f"harkd: {run} did not keep the weights 'best'; it has epoch-2, last\n")


@pytest.mark.parametrize(
    "options", [{}, [], None, {"data": 3}, {"data": "x", "data_folder": "", "window": "wide", "step": 0, "split": ""}]
)
def test_a_result_with_broken_options_is_told(harkd: Any, run: Path, options: Any) -> None:
    told = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**told, "options": options}))
    answer = harkd("evaluate", run)
    assert answer.code in (1, 2)
    assert answer.err.startswith(f"harkd: {run / 'result.json'}")
    assert answer.err.count("\n") == 1


def test_a_broken_history_is_told(harkd: Any, run: Path) -> None:
    (run / "history.jsonl").write_text('{"epoch": 0}\n{"epo\n')
    with pytest.raises(HarkdError, match=r"history\.jsonl is damaged \(.*\): repeat the run"):
        Run(run).history()
    told = harkd("report", run)
    assert (told.code, told.out, told.err.count("\n")) == (1, "", 1)
    (run / "history.jsonl").unlink()
    assert Run(run).history() == []


@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_a_broken_result_stops_every_command(harkd: Any, run: Path, command: str) -> None:
    (run / "result.json").write_text("{}")
    told = harkd(command, run)
    assert told.code != 0
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert f"{run / 'result.json'}" in told.err


def test_a_broken_result_is_not_taken_for_a_finished_run(harkd: Any, world: Any, run: Path) -> None:
    (run / "result.json").write_text("{")
    told = harkd(*world.train, "--select", "best", "--keep-epochs", "2", "--out", run)
    assert (told.code, told.err.count("\n")) == (1, 1)
    assert "result.json is damaged (" in told.err


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of somebody who is not root, whom permissions bind."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        was = os.geteuid()
        if was == 0:
            os.chown(folder, 65534, -1)
            os.seteuid(65534)
        yield folder
        os.seteuid(was)
        folder.chmod(0o700)


def test_files_that_may_not_be_read_or_written(unprivileged: Path) -> None:
    locked = unprivileged / "run"
    locked.mkdir()
    (locked / "result.json").write_text("{}")
    (locked / "result.json").chmod(0)
    with pytest.raises(HarkdError, match=r"run/result\.json cannot be read: Permission denied$"):
        Run.open(locked).result()
    locked.chmod(0o500)
    with pytest.raises(HarkdError, match=r"^cannot write .*run/last\.json: Permission denied$"):
        Run(locked).write_json("last.json", {})
    with (
        pytest.raises(HarkdError, match=r"^cannot make the folder .*run/inner: Permission denied$"),
        Run(locked / "inner").held(lambda: None),
    ):
        pass


# Opening


def test_what_is_no_finished_run(tmp_path: Path) -> None:
    cases: dict[str, tuple[Callable[[Path], Any], str]] = {
        "nothing": (lambda path: None, "{}: no such folder; give the folder of a finished run"),
        "file": (lambda path: path.write_text(""), "{}: is a file; give the folder of a finished run"),
        "empty": (lambda path: path.mkdir(), "{} holds no run of harkd"),
    }
    for name, (make, message) in cases.items():
        make(tmp_path / name)
        with pytest.raises(UsageError) as caught:
            Run.open(tmp_path / name)
        assert str(caught.value) == message.format(tmp_path / name)
    (tmp_path / "empty" / "config.toml").touch()
    with pytest.raises(UsageError, match=r"empty holds an unfinished run: repeat its command to finish it$"):
        Run.open(tmp_path / "empty")
    (tmp_path / "empty" / "result.json").mkdir()
    with pytest.raises(UsageError, match="empty holds an unfinished run"):
        Run.open(tmp_path / "empty")


# Writing


def test_numbers_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(HarkdError, match=r"cannot write .*result\.json: a score is not a finite number"):
            Run(tmp_path).write_json("result.json", {"score": value})
        with pytest.raises(HarkdError, match=r"cannot write .*history\.jsonl: a score"):
            Run(tmp_path).write_history([{"loss": value}])
    assert list(tmp_path.iterdir()) == []


def test_a_history_comes_back(tmp_path: Path) -> None:
    history = [{"epoch": 0, "terms": {"ce": 0.1 + 0.2}}, {"epoch": 1, "terms": {"ce": 1e-300}}]
    Run(tmp_path).write_history(history)
    assert Run(tmp_path).history() == history


# Checkpoints


STATE = {"net/weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(3), "flags": torch.tensor([True, False])}
META = {"phase": 0, "epoch": 1, "step": 7, "sums": {"ce": (0.1 + 0.2, 3)}, "history": [{"epoch": 0, "terms": {"ce": 1 / 3}}]}


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def kept(tmp_path: Path, told: list[str]) -> Checkpoint:
    checkpoint = Checkpoint(Run(tmp_path), "mine", say=told.append)
    checkpoint.save(STATE, META)
    return checkpoint


def test_a_checkpoint_comes_back(kept: Checkpoint, told: list[str], tmp_path: Path) -> None:
    found = kept.load()
    assert found is not None
    assert found[0].keys() == STATE.keys()
    assert all(torch.equal(found[0][name], tensor) and found[0][name].dtype == tensor.dtype for name, tensor in STATE.items())
    assert {name: found[1][name] for name in META} == json.loads(json.dumps(META))
    assert told == [f"{tmp_path} goes on in epoch 2"]


def test_a_checkpoint_replaces_the_one_before(kept: Checkpoint, tmp_path: Path) -> None:
    kept.save(STATE, {**META, "step": 8})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-0-8.safetensors", "checkpoint.json"]
    kept.save(STATE, {**META, "step": 8})
    kept.clear()
    assert list(tmp_path.iterdir()) == []
    assert kept.load() is None


def test_a_checkpoint_of_other_options_is_left_alone(kept: Checkpoint, told: list[str], tmp_path: Path) -> None:
    assert Checkpoint(Run(tmp_path), "another", say=told.append).load() is None
    assert told == [f"{tmp_path} holds the beginning of a run with other options or data; it starts anew"]


@pytest.mark.parametrize("name", ["checkpoint.json", "checkpoint-0-7.safetensors"])
def test_every_flipped_bit_of_a_checkpoint_is_noticed(kept: Checkpoint, told: list[str], tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    for number, at in enumerate(range(0, len(content), max(1, len(content) // 150))):
        bad = bytearray(content)
        bad[at] ^= 1 << int(rng.integers(8))
        if bad.split() == content.split():
            continue  # one white space for another
        path.write_bytes(bad)
        assert kept.load() is None, (number, at, bad)
        assert told[-1].endswith(f"; {tmp_path} starts anew")
        assert "\n" not in told[-1]
    path.write_bytes(content)
    assert kept.load() is not None


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "checkpoint-0-7.safetensors").unlink(),
        lambda folder: (folder / "checkpoint-0-7.safetensors").write_bytes(pickle.dumps({})),
        lambda folder: (folder / "checkpoint.json").write_text("{}"),
        lambda folder: (folder / "checkpoint.json").write_text(""),
        lambda folder: (folder / "checkpoint.json").write_text('{"identity": "mine", "tensors": "../../secret", "digest": ""}'),
        lambda folder: (folder / "checkpoint.json").write_text('{"identity": "mine", "tensors": [3], "digest": ""}'),
    ],
)
def test_a_damaged_checkpoint_is_told_and_left(
    kept: Checkpoint, told: list[str], tmp_path: Path, damage: Callable[[Path], Any]
) -> None:
    damage(tmp_path)
    assert kept.load() is None
    assert len(told) == 1
    assert told[0].endswith(f"; {tmp_path} starts anew")


def test_both_kinds_of_options_can_be_read_back(trained: Path, distilled: Path) -> None:
    from harkd.commands.cli import read_recipe
    from harkd.options import identity

    for folder, kind in ((trained, Train), (distilled, Distill)):
        options = read_recipe(kind, str(folder / "config.toml"))
        assert identity(options) == json.loads((folder / "result.json").read_text())["identity"]
