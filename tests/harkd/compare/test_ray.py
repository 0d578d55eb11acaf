"""A study on a real Ray cluster of two nodes, one of which is killed in the middle."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harkd.commands.compare import parse_study
from harkd.compare.executors import GIB, Local
from harkd.compare.jobs import Ended, Job
from harkd.compare.plan import Plan
from harkd.compare.results import table
from harkd.compare.shipping import pack
from harkd.compare.store import Store
from harkd.comparing import Studying, begin, share_data
from harkd.progress import Quiet
from harkd.runs import Run
from harkd.training import Session

pytestmark = pytest.mark.system


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


def words(folder: Path, *more: str, teacher: str = "dscnn-s") -> list[str]:
    """Two augmentations in two folds with two seeds: two teachers, eight students."""
    design = ["--data", "seglearn_watch", "--student", "dscnn-s", "--teacher", teacher, "--augment", "none,jeon_mix1"]
    size = ["--folds", "2", "--seeds", "2", "--epochs", "8", "--teacher-epochs", "2", "--teacher-patience", "0"]
    return [*design, *size, "--device", "cpu", "--out", str(folder), *more]


def far(folder: Path, cluster: Cluster, *more: str, teacher: str = "dscnn-s") -> subprocess.Popen[str]:
    """The study on a cluster."""
    where = ["--executor", "ray", "--address", cluster.address, "--json", "--no-export"]
    command = [sys.executable, "-m", "harkd", "compare", *words(folder, *where, *more, teacher=teacher)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def near(folder: Path) -> str:
    """The study in a process of this machine, up to its table of results."""
    asked, store = parse_study(words(folder)), Store(folder)
    session = Session(asked.machine, Quiet())
    share_data(asked.run, session)
    local = Local(partial(begin, asked.machine, store.runs, store.bank), 1, 4 * GIB)
    try:
        return table(Studying(asked.run, asked.study, store, session, local, Unwatched()).results())
    finally:
        local.cancel()


class Unwatched:
    """Nobody looks how the study goes."""

    def planned(self, plan: Plan, finished: Collection[str]) -> None: ...
    def began(self, job: Job) -> None: ...
    def ended(self, job: Job, end: Ended) -> None: ...
    def tick(self) -> None: ...


def test_a_study_that_loses_a_node_ends_with_the_same_table(cluster: Cluster, tmp_path: Path) -> None:
    local, lossy = tmp_path / "local", tmp_path / "lossy"
    expected = near(local)
    running = far(lossy, cluster)
    until(lambda: cluster.other.at_work() or running.poll() is not None, 300)
    (lost,) = cluster.other.at_work()
    cluster.other.kill()
    out, err = running.communicate(timeout=900)
    assert running.returncode == 0, err
    assert json.loads(out)["study"] == str(lossy)  # and nothing of Ray's before or after it
    assert not Run(lost).finished  # it was killed in the middle
    assert (lossy / "results.csv").read_bytes() == expected.encode()
    names = {path.name for path in (local / "runs").iterdir()}
    assert {path.name for path in (lossy / "runs").iterdir()} == names
    assert len(names) == 10
    for name in names:
        one, other = pack(local / "runs" / name), pack(lossy / "runs" / name)
        told = [json.loads(files.pop("result.json")) | {"seconds": 0.0} for files in (one, other)]
        assert told[0] == told[1]
        assert one == other
    until(lambda: not list(cluster.head.folder.glob("harkd-*")), 30)


def test_ctrl_c_leaves_nothing_on_the_nodes(cluster: Cluster, tmp_path: Path) -> None:
    running = far(tmp_path / "stopped", cluster)
    until(lambda: cluster.head.at_work() or running.poll() is not None, 300)
    assert cluster.head.at_work()
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, "")
    assert "Traceback" not in err
    until(lambda: not list(cluster.head.folder.glob("harkd-*")), 30)


def test_the_folder_of_a_teacher_does_not_travel(cluster: Cluster, tmp_path: Path) -> None:
    split = ["--split", "kfold:2/0"]
    trained = ["train", "--net", "dscnn-s", "--epochs", "1", *split, "--out", str(tmp_path / "teacher")]
    subprocess.run([sys.executable, "-m", "harkd", *trained], check=True, capture_output=True)
    running = far(tmp_path / "refused", cluster, "--folds", "split", *split, teacher=str(tmp_path / "teacher"))
    _, err = running.communicate(timeout=300)
    assert running.returncode == 2
    assert "is a folder of this machine" in err
