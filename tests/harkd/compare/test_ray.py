"""Ray: what travels, how a worker behaves (with Ray's part played by a dict), and a study on a real cluster that loses a node."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harkd.compare.jobs import Job
from harkd.compare.ray_cluster import Begin, RayCluster, Worker, _Cargo, versions
from harkd.compare.shipping import pack, unpack
from harkd.comparing import begin
from harkd.datasets import Windows
from harkd.errors import HarkdError, UsageError
from harkd.options import Distill, Machine, Train
from harkd.progress import Quiet
from harkd.runs import Run
from harkd.training import Session, teacher_folder, train

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
    teacher = Job(teacher_folder(asked.teacher_training), asked.teacher_training)
    student = Job("student", asked, (teacher.name,), "group")
    store["windows"] = toy_windows
    worker = made(partial(begin, Machine(device="cpu")))
    for job in (teacher, student):
        end, store[job.name] = worker.do(job, _Cargo("windows", {name: name for name in job.needs}))
        assert end.error == ""
        assert not list(scratch.glob(f"harkd-*/runs/{job.name}"))
    assert list(scratch.glob("harkd-*/bank/group/*/*.safetensors"))

    session, here = Session(Machine(device="cpu"), Quiet()), tmp_path_factory.mktemp("here")
    session.take(asked, toy_windows)
    expected = pack(train(asked.teacher_training, session, here / teacher.name, role="teacher").folder)
    assert expected.keys() == store[teacher.name].keys()
    assert expected["last.safetensors"] == store[teacher.name]["last.safetensors"]
    assert without_time(expected["result.json"]) == without_time(store[teacher.name]["result.json"])
    told = json.loads(store["student"]["result.json"])
    assert told["teacher_identity"] == json.loads(expected["result.json"])["identity"]


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
        end, files = worker.do(Job(name, Train(), group=group), _Cargo(windows, {}))
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
        end, files = worker.do(Job(name, Train()), _Cargo("windows", {}))
        assert (end.error, end.full, end.died, files) == (error, name == "full", False, {})
    assert list(scratch.glob("harkd-*/runs/*")) == []


def test_a_worker_is_told_to_stop(store: dict[str, Any], made: Callable[[Begin], Worker]) -> None:
    asked: list[Callable[[], bool]] = []

    def listening(runs: Path, bank: Path, wants_to_stop: Callable[[], bool], windows: Any) -> Callable[[Job], None]:
        asked.append(wants_to_stop)
        return lambda job: (runs / job.name).mkdir(parents=True)

    store["windows"] = None
    worker = made(listening)
    worker.do(Job("run", Train()), _Cargo("windows", {}))
    assert [stop() for stop in asked] == [False]
    worker.stop()
    assert [stop() for stop in asked] == [True]


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


# A cluster


@dataclass
class Node:
    """A machine of the cluster: a process group, and the folder for its temporary files."""

    process: subprocess.Popen[bytes]
    folder: Path

    def at_work(self) -> list[Path]:
        """The runs that its workers train now."""
        return [path.parent for path in self.folder.glob("harkd-*/runs/*/config.toml") if not Run(path.parent).finished]

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Cluster:
    address: str
    head: Node
    other: Node


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes of one processor each."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # sockets have short names: pytest's own folders are too deep
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "127.0.0.1:{1}".format(*free.getsockname())
    nodes: list[Node] = []

    def start(name: str, *words: str) -> Node:
        (folder / name).mkdir()
        environment = os.environ | {
            "RAY_TMPDIR": str(folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_health_check_period_ms": "500",
            "TMPDIR": str(folder / name),
        }
        shared = ["--node-ip-address=127.0.0.1", "--num-cpus=1", "--object-store-memory=100000000", "--block"]
        command = [str(Path(sys.executable).with_name("ray")), "start", *words, *shared]
        with (folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(command, env=environment, start_new_session=True, stdout=log, stderr=log, cwd=folder)
        nodes.append(Node(process, folder / name))
        until(lambda: b"Ray runtime started" in (folder / f"{name}.log").read_bytes(), 240)
        return nodes[-1]

    try:
        head = start("head", "--head", f"--port={address.rpartition(':')[2]}", "--include-dashboard=false")
        yield Cluster(address, head, start("other", f"--address={address}"))
    finally:
        for node in nodes:
            if node.process.poll() is None:
                node.kill()
        shutil.rmtree(folder, ignore_errors=True)


def until(what: Callable[[], Any], seconds: float) -> None:
    limit = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < limit
        time.sleep(0.02)


def study(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Two augmentations in two folds with two seeds: two teachers, eight students."""
    design = ["--data", "seglearn_watch", "--student", "dscnn-s", "--teacher", "dscnn-s", "--augment", "none,jeon_mix1"]
    size = ["--folds", "2", "--seeds", "2", "--epochs", "8", "--teacher-epochs", "2", "--teacher-patience", "0"]
    command = [
        sys.executable,
        "-m",
        "harkd",
        "compare",
        *design,
        *size,
        "--device",
        "cpu",
        "--json",
        "--out",
        str(folder),
        *words,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def without_time(result: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result)
    assert found.pop("seconds") >= 0
    return found


@pytest.mark.system
def test_a_study_that_loses_a_node_ends_with_the_same_table(cluster: Cluster, tmp_path: Path) -> None:
    local, far = tmp_path / "local", tmp_path / "far"
    out, err = study(local, "--workers", "1").communicate(timeout=500)
    assert json.loads(out)["study"] == str(local), err
    running = study(far, "--executor", "ray", "--address", cluster.address)
    until(lambda: cluster.other.at_work() or running.poll() is not None, 300)
    (lost,) = cluster.other.at_work()
    cluster.other.kill()
    out, err = running.communicate(timeout=500)
    assert running.returncode == 0, err
    assert json.loads(out)["study"] == str(far)  # and nothing of Ray's before or after it
    assert not Run(lost).finished  # it was killed in the middle
    assert (far / "results.csv").read_bytes() == (local / "results.csv").read_bytes()
    names = {path.name for path in (local / "runs").iterdir()}
    assert {path.name for path in (far / "runs").iterdir()} == names
    assert len(names) == 10
    for name in names:
        one, other = pack(local / "runs" / name), pack(far / "runs" / name)
        assert without_time(one.pop("result.json")) == without_time(other.pop("result.json"))
        assert one == other
    until(lambda: not list(cluster.head.folder.glob("harkd-*")), 30)


@pytest.mark.system
def test_ctrl_c_leaves_nothing_on_the_nodes(cluster: Cluster, tmp_path: Path) -> None:
    running = study(tmp_path / "far", "--executor", "ray", "--address", cluster.address)
    until(lambda: cluster.head.at_work() or running.poll() is not None, 300)
    assert cluster.head.at_work()
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, "")
    assert "Traceback" not in err
    until(lambda: not list(cluster.head.folder.glob("harkd-*")), 30)


@pytest.mark.system
def test_the_folder_of_a_teacher_does_not_travel(cluster: Cluster, tmp_path: Path) -> None:
    words = ["--epochs", "1", "--split", "kfold:2/0", "--out", str(tmp_path / "teacher")]
    subprocess.run([sys.executable, "-m", "harkd", "train", "--net", "dscnn-s", *words], check=True, capture_output=True)
    teacher = ["--teacher", str(tmp_path / "teacher"), "--folds", "split", "--split", "kfold:2/0"]
    running = study(tmp_path / "far", "--executor", "ray", "--address", cluster.address, *teacher)
    _, err = running.communicate(timeout=200)
    assert running.returncode == 2
    assert "is a folder of this machine" in err
