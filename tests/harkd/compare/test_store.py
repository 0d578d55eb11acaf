"""The folder of a study: one process at a time, what failed, and what is read back."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import pytest

from harkd import files
from harkd.compare import store as store_module
from harkd.compare.design import Design
from harkd.compare.options import Study
from harkd.compare.results import Failed
from harkd.compare.store import DESIGN, OWNER, STUDY, Failure, Store
from harkd.errors import HarkdError, UsageError
from harkd.options import Pair
from harkd.report.record import Trained

HOLD = """
import sys, time
from pathlib import Path
from harkd.compare.store import Store
with Store(Path(sys.argv[1])).held():
    print("held", flush=True)
    time.sleep(600)
"""


def design() -> Design:
    return Design.of(Pair(augment="none,rotate(20)"), Study(seeds=1), ("kfold:2/0", "kfold:2/1"))


# Holding


@contextmanager
def holding(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that has a study's folder."""
    with subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            yield other
        finally:
            other.kill()


def test_a_second_process_is_refused_and_told_who_is_at_work(tmp_path: Path) -> None:
    store = Store(tmp_path / "study")
    with holding(store.folder) as other:
        for _ in range(2):  # being refused is no way in
            with pytest.raises(UsageError) as caught, store.held():
                pass
            assert str(caught.value) == (
                f"another process (process {other.pid}) is at work on {store.folder}: let it finish, or choose another folder"
            )
    with store.held():
        store.write_options({"a": 1})
    assert sorted(path.name for path in store.folder.iterdir()) == [STUDY]


def test_whoever_comes_a_moment_after_another_still_learns_its_name(tmp_path: Path) -> None:
    with files.held(tmp_path, lambda: None):
        says_its_name = Timer(0.3, (tmp_path / OWNER).write_text, ["process 7"])
        says_its_name.start()
        with pytest.raises(UsageError, match=r"another process \(process 7\) is at work"), Store(tmp_path).held():
            pass
        says_its_name.join()


def test_nobody_is_waited_for_who_does_not_say_his_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "INTRODUCTION", 0.1)
    with (
        files.held(tmp_path, lambda: None),
        pytest.raises(UsageError, match=r"another process \(unknown\) is at work"),
        Store(tmp_path).held(),
    ):
        pass


def test_a_process_that_is_killed_before_it_wrote_its_options_leaves_the_folder_usable(tmp_path: Path) -> None:
    with holding(tmp_path / "study"):
        pass
    assert [path.name for path in (tmp_path / "study").iterdir()] == [OWNER]
    with Store(tmp_path / "study").held():
        pass


def test_an_empty_folder_and_an_old_study_are_welcome(tmp_path: Path) -> None:
    for _ in range(2):
        with Store(tmp_path).held():
            assert (tmp_path / OWNER).read_text().startswith("process ")
            Store(tmp_path).write_options({"a": 1})
        assert not (tmp_path / OWNER).exists()


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match=r" holds other things than a study; choose another folder with --out$"):
        Store(tmp_path).held().__enter__()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "study").touch()
    with pytest.raises(HarkdError, match=r"^cannot make the folder .*study: File exists$"):
        Store(tmp_path / "study").held().__enter__()


# Failures


def test_failures_come_back_until_they_are_forgotten(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.failures() == {}
    told = [Failure("b", "its loss is not finite"), Failure("a", 'one "line"', "Traceback\n  ü: 1\n")]
    for failure in told:
        store.fail(failure)
    assert store.failures() == {failure.name: failure for failure in told}
    assert list(store.failures()) == ["a", "b"]
    store.fail(Failure("b", "another reason"))
    assert store.failures()["b"].reason == "another reason"
    store.forget_failure("b")
    store.forget_failure("b")
    assert list(store.failures()) == ["a"]


def test_a_failed_run_that_was_finished_since_has_not_failed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.fail(Failure("a", "no memory"))
    store.run("a").write_json("result.json", {})
    assert store.failures() == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"x"', b'{"reason": "x"}', b"\xff"])
def test_a_damaged_failure_is_told(tmp_path: Path, content: bytes) -> None:
    store = Store(tmp_path)
    store.fail(Failure("a", "no memory"))
    (tmp_path / "failed" / "a.json").write_bytes(content)
    with pytest.raises(HarkdError, match=r"failed/a\.json is damaged \(.*\): delete it, and the run is tried again$") as caught:
        store.failures()
    assert "\n" not in str(caught.value)


def test_failed_runs_of_a_design_are_told_in_its_order(tmp_path: Path) -> None:
    store, planned = Store(tmp_path), design()
    first, *_, last = planned.cells
    store.fail(Failure(last.name, "its loss is not finite"))
    store.fail(Failure(first.name, "its teacher failed"))
    store.fail(Failure("of another design", "x"))
    found = store.results(planned, dropped={"none": "left out"})
    assert found.failed == (
        Failed(first.name, ("none",), "its teacher failed"),
        Failed(last.name, ("rotate(20)",), "its loss is not finite"),
    )
    assert (found.finished, found.dropped) == ((), {"none": "left out"})


def test_runs_are_read_once(tmp_path: Path, run_directory: Callable[..., Trained]) -> None:
    store, planned = Store(tmp_path), design()
    for cell in planned.cells[:2]:
        run_directory(tmp_path, cell, {"1": 10}, {"2": 10})
    known: dict[str, Trained] = {}
    assert [run.cell for run in store.results(planned, known).finished] == list(planned.cells[:2])
    before = dict(known)
    run_directory(tmp_path, planned.cells[2], {"1": 10}, {"2": 10})
    (store.runs / planned.cells[0].name / "result.json").write_text("{")  # nobody looks
    assert [run.cell for run in store.results(planned, known).finished] == list(planned.cells[:3])
    assert all(known[name] is trained for name, trained in before.items())
    with pytest.raises(HarkdError, match="is damaged"):
        store.results(planned)


# Other files


def test_only_what_a_group_shared_is_dropped(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for group in "ab":
        (store.bank / group / "key").mkdir(parents=True)
        (store.bank / group / "key" / "0.safetensors").touch()
    store.drop_bank("a")
    assert [path.name for path in store.bank.iterdir()] == ["b"]
    store.drop_bank()
    store.drop_bank()
    assert not store.bank.exists()


def test_trials_are_kept(tmp_path: Path) -> None:
    Store(tmp_path).write_trials([({"rate": "0.1", "augment": "a(1, 2)"}, 0.75), ({"rate": "0.2", "augment": "none"}, None)])
    assert (tmp_path / "trials.csv").read_text() == ('trial,rate,augment,validation\n1,0.1,"a(1, 2)",0.75\n2,0.2,none,failed\n')


def test_the_options_are_a_recipe(tmp_path: Path) -> None:
    Store(tmp_path).write_options({"data": 'a "b"', "vary": ("rate=1,2",), "rope": 0.01})
    assert (tmp_path / STUDY).read_text().splitlines() == [
        'data = "a \\"b\\""',
        "vary = [",
        '    "rate=1,2",',
        "]",
        "rope = 0.01",
    ]


def test_a_failure_is_a_file_that_a_person_can_read(tmp_path: Path) -> None:
    Store(tmp_path).fail(Failure("a", "no memory", "Traceback"))
    assert json.loads((tmp_path / "failed" / "a.json").read_text()) == {"reason": "no memory", "detail": "Traceback"}


def test_a_design_comes_back(tmp_path: Path) -> None:
    store, planned = Store(tmp_path), design()
    with pytest.raises(UsageError, match=r"holds no finished study: run harkd compare with --out "):
        store.design()
    store.write_design(planned, {"rotate(20)": "left out after 1 seed"})
    assert store.design() == (planned, {"rotate(20)": "left out after 1 seed"})
    assert store.design()[0].cells == planned.cells


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", b'{"levels": [3], "control": "", "dropped": {}}'])
def test_a_damaged_design_is_told(tmp_path: Path, content: bytes) -> None:
    Store(tmp_path).write_design(design(), {})
    (tmp_path / DESIGN).write_bytes(content)
    with pytest.raises(HarkdError, match=r"design\.json is damaged \(.*\): repeat the command of the study$") as caught:
        Store(tmp_path).design()
    assert "\n" not in str(caught.value)
