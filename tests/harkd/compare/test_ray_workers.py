"""What travels to a Ray cluster, how a worker behaves there (a dict plays Ray's part), and the way to a cluster."""

from __future__ import annotations

import json
import re
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from harkd.cast import helpers
from harkd.compare import ray_cluster
from harkd.compare.jobs import Job
from harkd.compare.ray_cluster import Begin, Cargo, RayCluster, Worker, versions
from harkd.compare.shipping import pack, unpack
from harkd.comparing import begin
from harkd.datasets import Windows
from harkd.errors import HarkdError, UsageError
from harkd.options import Distill, Machine, Train
from harkd.progress import Quiet
from harkd.training import Session, distill, train

# What travels


def test_a_run_arrives_as_it_left(tmp_path: Path) -> None:
    """Every byte of it, in the place of an unfinished one; what was still being written stays behind."""
    files = {"result.json": b"{}", "last.safetensors": bytes(range(256))}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / ".last.json-1234-being-written").write_bytes(b"half")
    there = tmp_path / "elsewhere" / "run"
    there.mkdir(parents=True)
    (there / "checkpoint.json").write_bytes(b"old")
    assert pack(tmp_path) == files
    unpack(pack(tmp_path), there)
    assert {path.name: path.read_bytes() for path in there.iterdir()} == files
    assert [path.name for path in there.parent.iterdir()] == ["run"]


@pytest.mark.parametrize("name", ["../escaped", "a/b", "/escaped", "..", "", "a\0b"])
def test_no_file_leaves_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(HarkdError, match="nothing was written"):
        unpack({"result.json": b"{}", name: b"x"}, tmp_path / "runs" / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_not_there_cannot_be_packed(tmp_path: Path) -> None:
    with pytest.raises(HarkdError, match=r"cannot read the run in .*nowhere: No such file"):
        pack(tmp_path / "nowhere")


# A worker


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stands for the object store: references are names."""
    ray = pytest.importorskip("ray")
    kept: dict[str, Any] = {}
    monkeypatch.setattr(ray, "get", kept.__getitem__)
    return kept


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where workers put their temporary folders."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def made(scratch: Path) -> Iterator[Callable[[Begin], Worker]]:
    """Workers, who leave when the test ends."""
    workers: list[Worker] = []

    def make(begin: Begin) -> Worker:
        workers.append(Worker(begin, versions()))
        return workers[-1]

    yield make
    for worker in workers:
        worker.leave()
    assert not list(scratch.glob("harkd-*"))


def test_a_worker_trains_on_windows_that_came_to_it(
    store: dict[str, Any],
    made: Callable[[Begin], Worker],
    scratch: Path,
    tmp_path_factory: pytest.TempPathFactory,
    toy_windows: Windows,
) -> None:
    """The data set and its folder exist nowhere; teacher and student are equal to the bit to those of a session that has them."""
    asked = Distill(data="nowhere", data_folder="/no/such", epochs=2, teacher="dscnn-s", teacher_epochs=1, teacher_patience=0)
    asked = replace(asked, batch=16)
    (helper,) = helpers(asked, validates=True)
    assert isinstance(helper.training, Train)
    teacher = Job(helper.folder, helper.training)
    student = Job("student", asked, (teacher.name,), "group")
    store["windows"] = toy_windows
    worker = made(partial(begin, Machine(device="cpu")))
    for job in (teacher, student):
        end, store[job.name] = worker.do(job, Cargo("windows", {name: name for name in job.needs}))
        assert end.error == ""
        assert not list(scratch.glob(f"harkd-*/runs/{job.name}"))
    assert list(scratch.glob("harkd-*/bank/group/*/*.safetensors"))

    here = tmp_path_factory.mktemp("here")
    session = Session(Machine(device="cpu"), Quiet(), load=lambda data: toy_windows)
    train(helper.training, session, here / teacher.name, role="teacher")
    distill(asked, session, here / student.name)
    for job in (teacher, student):
        one, other = pack(here / job.name), store[job.name]
        told = [json.loads(files.pop("result.json")) | {"seconds": 0.0} for files in (one, other)]
        assert told[0] == told[1]
        assert one == other


def test_a_worker_keeps_the_draws_of_one_group(store: dict[str, Any], made: Callable[[Begin], Worker]) -> None:
    """Jobs of a group come one after another, and those without one do not part them."""

    def note(runs: Path, bank: Path, wants_to_stop: Callable[[], bool], windows: Any) -> Callable[[Job], None]:
        def work(job: Job) -> None:
            (runs / job.name).mkdir(parents=True)
            (runs / job.name / "seen").write_text(f"{windows(job.options)} {sorted(p.name for p in bank.glob('*'))}")
            if job.group:
                (bank / job.group).mkdir(parents=True, exist_ok=True)

        return work

    store["windows"], store["others"] = "these", "those"
    worker = made(note)
    seen = []
    for name, group, windows in [("a", "1", "windows"), ("b", "", "others"), ("c", "1", "windows"), ("d", "2", "others")]:
        end, files = worker.do(Job(name, Train(), group=group), Cargo(windows, {}))
        assert end.error == ""
        seen.append(files["seen"].decode())
    assert seen == ["these []", "those ['1']", "these ['1']", "those []"]


def test_a_job_that_fails_on_a_worker(store: dict[str, Any], made: Callable[[Begin], Worker], scratch: Path) -> None:
    """It is told why, nothing of it comes back or stays, and a disk that is full has a machine's name."""
    store["windows"] = None
    problems = {"wrong": "ValueError: no", "full": f"cannot write: No space left on device (on the node {socket.gethostname()})"}

    def failing(runs: Path, bank: Path, wants_to_stop: Callable[[], bool], windows: Any) -> Callable[[Job], None]:
        def work(job: Job) -> None:
            (runs / job.name).mkdir(parents=True)
            (runs / job.name / "config.toml").touch()
            if job.name == "wrong":
                raise ValueError("no")
            try:
                with Path("/dev/full").open("wb", buffering=0) as file:
                    file.write(b"x")
            except OSError as problem:
                raise HarkdError(f"cannot write: {problem.strerror}") from None

        return work

    worker = made(failing)
    for name, error in problems.items():
        end, files = worker.do(Job(name, Train()), Cargo("windows", {}))
        assert (end.error, end.full, end.died, files) == (error, name == "full", False, {})
    assert list(scratch.glob("harkd-*/runs/*")) == []


def at_work(begin: Begin, began: Event) -> tuple[Worker, Thread]:
    """A worker, and the thread in which it does a job."""
    worker = Worker(begin, versions())
    job = Thread(target=worker.do, args=(Job("run", Train()), Cargo("windows", {})))
    job.start()
    assert began.wait(60)
    return worker, job


def test_a_worker_that_leaves_lets_its_job_end_and_takes_no_other(store: dict[str, Any], scratch: Path) -> None:
    began, ended = Event(), list[bool]()

    def listening(runs: Path, bank: Path, wants_to_stop: Callable[[], bool], windows: Any) -> Callable[[Job], None]:
        def work(job: Job) -> None:
            (runs / job.name).mkdir(parents=True)
            assert not wants_to_stop()
            began.set()
            while not wants_to_stop():
                time.sleep(0.01)
            ended.append(bool(list(scratch.glob("harkd-*/runs/run"))))

        return work

    store["windows"] = None
    worker, job = at_work(listening, began)
    worker.leave()
    assert ended == [True]  # it still had its folder
    assert not list(scratch.iterdir())
    job.join()
    other = Thread(target=worker.do, args=(Job("other", Train()), Cargo("windows", {})), daemon=True)
    other.start()
    other.join(0.2)
    assert other.is_alive()
    assert not list(scratch.iterdir())


def test_a_worker_leaves_from_under_a_job_that_does_not_listen(
    store: dict[str, Any], scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "GRACE", 0.1)
    began, may_end = Event(), Event()

    def deaf(runs: Path, bank: Path, wants_to_stop: Callable[[], bool], windows: Any) -> Callable[[Job], None]:
        def work(job: Job) -> None:
            (runs / job.name).mkdir(parents=True)
            began.set()
            may_end.wait(60)

        return work

    store["windows"] = None
    worker, job = at_work(deaf, began)
    worker.leave()
    assert job.is_alive()
    assert not list(scratch.iterdir())
    may_end.set()
    job.join()


def test_machines_with_other_versions_do_not_take_part() -> None:
    expected = versions() | {"torch": "1.0"}
    with pytest.raises(HarkdError, match=re.escape(f"it has torch {versions()['torch']}, not 1.0; install the same versions")):
        Worker(lambda *given: lambda job: None, expected)


# The way to a cluster


def cluster_at(address: str, tmp_path: Path) -> RayCluster:
    return RayCluster(lambda *given: lambda job: None, tmp_path, lambda data: pytest.fail("no windows are needed"), address)


def test_without_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(HarkdError, match=r"pip install 'harkd\[ray\]'"):
        cluster_at("auto", tmp_path)


def test_where_no_cluster_is(tmp_path: Path) -> None:
    """At once: Ray itself tries for minutes."""
    pytest.importorskip("ray")
    began = time.monotonic()
    with pytest.raises(HarkdError, match=r"no Ray cluster at '127\.0\.0\.1:1' .*refused.*: start one with `ray start --head`"):
        cluster_at("127.0.0.1:1", tmp_path)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("address", ["nowhere", "ray://10.0.0.1:10001", ":6379", "10.0.0.1:", "local"])
def test_what_is_no_address(tmp_path: Path, address: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(UsageError, match=r"--address is the host:port .*; got '.*'"):
        cluster_at(address, tmp_path)
