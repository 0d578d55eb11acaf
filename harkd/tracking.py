"""Finished runs for TensorBoard and MLflow.

A tracker is written to and never read for a number: run directories are the truth, and what a tracker holds can be written from
them again. The tools are extras, imported only when they are asked for.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tomli_w

from harkd.errors import HarkdError, UsageError, unknown
from harkd.export.tools import need, quiet
from harkd.files import held, write_atomically
from harkd.report.record import Result
from harkd.runs import Run
from harkd.schema import validate

PATHS = ("data", "data_folder", "teacher")
"""Options that may hold a path. A tracker gets its last part: where recordings are kept often tells whose they are."""
SCORES = ("accuracy", "macro_f1", "balanced_accuracy", "nll", "brier", "ece")
"""The scores of an `Evaluation` that are one number."""
_ADDRESS = re.compile(r"[\w+-]+:|databricks$")
_MOST = {"metrics": 1000, "params": 100}
"""How many of each MLflow takes in one request."""


@dataclass(frozen=True)
class Record:
    """What a tracker is told about a run: no path, and no name of a person.

    Attributes:
        name: of the run's folder.
        identity: hash of the options.
        result: `result.json`, checked.
        epochs: for every epoch the learning rate, the mean of every term, and validation scores; phases follow one another.
        files: content by name, as the run directory has it but for paths.
        ended: when the run ended, in seconds since 1970.
    """

    name: str
    identity: str
    result: Result
    epochs: tuple[dict[str, float], ...]
    files: dict[str, str]
    ended: float

    @classmethod
    def of(cls, run: Run) -> Record:
        """Read a run directory.

        Raises:
            HarkdError: the run is unfinished or damaged.
        """
        path = Run.open(run.folder).folder / "result.json"
        stored = run.result()
        checked = validate(Result, stored, str(path))
        shown = {key: Path(str(value)).name if key in PATHS else value for key, value in checked.options.items()}
        changed = {checked.options[key]: shown[key] for key in PATHS if key in shown}
        stored |= {"options": shown, "command": _renamed(checked.command, changed)}
        return cls(
            name=run.folder.resolve().name,
            identity=str(stored["identity"]),
            result=validate(Result, stored, str(path)),
            epochs=_epochs(run),
            # "result.json" would make a tracker's folder a finished run to those who look for runs below some folder.
            files={"harkd-result.json": json.dumps(stored, indent=1), "harkd-config.toml": tomli_w.dumps(shown)},
            ended=path.stat().st_mtime,
        )

    @property
    def title(self) -> str:
        return f"{self.result.label}, seed {self.result.seed}"

    @property
    def began(self) -> float:
        return self.ended - (self.result.seconds or 0)

    @property
    def options(self) -> dict[str, float | str]:
        """As on the command line, where the options of the method stand among the others: no two have one name."""
        plain = {key: value for key, value in self.result.options.items() if key != "method_options"}
        flat = {**plain, **self.result.options.get("method_options", {})}
        return {key: value if isinstance(value, int | float) else str(value) for key, value in flat.items()}

    @property
    def scores(self) -> dict[str, float]:
        """Test scores (none without test subjects), and what they cost."""
        cost = {"parameters": float(self.result.parameters), "updates": float(self.result.updates)}
        test = self.result.test
        if test is None:
            return cost
        worst = {"test/worst_subject_accuracy": test.worst_subject.accuracy}
        return {f"test/{name}": float(getattr(test, name)) for name in SCORES} | worst | cost

    @property
    def terms(self) -> dict[str, str]:
        """The terms of the training data, which go where numbers about them go."""
        return {key: str(value) for key, value in asdict(self.result.terms).items() if value not in ("", None)}

    @property
    def digest(self) -> str:
        """A hash of all but the time, which a copy of the folder may have changed."""
        text = json.dumps([self.name, self.epochs, self.files], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def named(text: str) -> tuple[str, ...]:
    """The trackers in a text, with commas between.

    Raises:
        UsageError: there is none, or one does not exist.
    """
    names = tuple(filter(None, text.replace(" ", "").split(",")))
    for name in names:
        if name not in TRACKERS:
            raise unknown("tracker", name, TRACKERS)
    if not names:
        raise UsageError(f"no tracker is named; choose from {', '.join(TRACKERS)}")
    return names


def track(run: Run, to: Sequence[str], where: str) -> None:
    """Write a finished run to trackers. What they hold already is left alone, and what has changed since is replaced.

    Args:
        to: names from `TRACKERS`; of none nothing is asked.
        where: a folder for all of them, or the address of an MLflow server or database.

    Raises:
        UsageError: no such tracker, the run is not finished, or the tracker does not take an address.
        HarkdError: a tool is missing or fails. The run is whole all the same, and the other trackers are written.
    """
    for name in to:
        if name not in TRACKERS:
            raise unknown("tracker", name, TRACKERS)
    if not to:
        return
    record = Record.of(run)
    problems: list[HarkdError] = []
    for name in to:
        try:
            with quiet():
                TRACKERS[name](record, where)
        except HarkdError as problem:
            problems.append(problem)
        except Exception as problem:  # whatever a tool, a database or a network comes up with
            told = f"cannot write {run.folder} to {name} at {where}: {_first_line(problem)}"
            problems.append(HarkdError(_without_password(f"{told}; the run itself is whole: track it again later")))
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise HarkdError("; ".join(map(str, problems)))


def _tensorboard(record: Record, where: str) -> None:
    """One event file in WHERE/NAME. Its name has no host, unlike TensorBoard's own, and tells what is in it."""
    need("tensorboard")
    if _ADDRESS.match(where):
        raise UsageError(f"tensorboard writes into a folder, and {_without_password(where)!r} is an address")
    folder = Path(where) / record.name
    written = list(folder.glob(f"events.out.tfevents.*.{record.digest}.harkd"))
    if not written:
        # TensorBoard reads the files of a folder in the order of their names: what is newer comes later.
        written = [folder / f"events.out.tfevents.{int(record.ended):010}.{record.digest}.harkd"]
        write_atomically(written[0], _events(record))
    for path in folder.glob("events.out.tfevents.*.harkd"):
        if path != written[0]:
            path.unlink(missing_ok=True)


def _events(record: Record) -> bytes:
    """The content of an event file."""
    writing = need("torch.utils.tensorboard")
    with tempfile.TemporaryDirectory() as place:
        with writing.SummaryWriter(place) as writer:
            for epoch, values in enumerate(record.epochs, 1):
                for name, value in values.items():
                    writer.add_scalar(name, value, epoch, walltime=record.ended)
            for name, value in record.scores.items():
                writer.add_scalar(name, value, len(record.epochs), walltime=record.ended)
            terms = "\n".join(f"- {key}: {value}" for key, value in record.terms.items())
            about = f"{record.title}\n\n    {record.result.command}\n\nTerms of the training data:\n\n{terms}\n"
            writer.add_text("run", about, 0, walltime=record.ended)
            # SummaryWriter.add_hparams would make a second run, named after the time, beside this one.
            for summary in writing.summary.hparams(record.options, record.scores):
                writer.file_writer.add_summary(summary)
        (path,) = Path(place).iterdir()
        return path.read_bytes()


def _mlflow(record: Record, where: str) -> None:
    """A run of the experiment that is named after the data set."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # it would tell its makers; it looks when it is imported
    # By default it asks a server that is gone for many minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    need("mlflow")
    if _ADDRESS.match(where):
        _to_store(record, where, None)
        return
    folder = Path(where).resolve()
    if found := re.search(r"[?#%]", str(folder)):
        raise UsageError(f"mlflow cannot keep its database in {folder}: the path has a {found[0]!r}; choose another folder")
    for module in ("sqlalchemy", "alembic"):
        need(module)
    with held(folder, lambda: time.sleep(0.2)):  # SQLite takes one writer, and one process makes the tables
        _to_store(record, f"sqlite:///{folder}/mlflow.db", (folder / "artifacts").as_uri())


def _to_store(record: Record, uri: str, artefacts: str | None) -> None:
    client = need("mlflow").MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(record.result.terms.data)
    number = experiment.experiment_id if experiment else client.create_experiment(record.result.terms.data, artefacts)
    found = client.search_runs([number], f"tags.`harkd.identity` = '{record.identity}'")
    mine = [each for each in found if each.data.tags.get("harkd.run") == record.name]
    kept = [each for each in mine if each.data.tags.get("harkd.digest") == record.digest and each.info.status == "FINISHED"][:1]
    if not kept:
        _create(client, number, record)
    for each in mine:
        if each not in kept:  # it has changed since, or its writing was interrupted
            client.delete_run(each.info.run_id)


def _create(client: Any, experiment: str, record: Record) -> None:
    entities = need("mlflow.entities")
    moment = int(1000 * record.ended)
    about = {"run": record.name, "identity": record.identity, "digest": record.digest, "command": record.result.command}
    tags = {f"harkd.{key}": value for key, value in about.items()} | {f"terms.{key}": v for key, v in record.terms.items()}
    run = client.create_run(experiment, int(1000 * record.began), tags, record.title).info.run_id
    values = [(name, value, epoch) for epoch, each in enumerate(record.epochs, 1) for name, value in each.items()]
    values += [(name, value, len(record.epochs)) for name, value in record.scores.items()]
    logged = {
        "metrics": [entities.Metric(name, value, moment, step) for name, value, step in values],
        "params": [entities.Param(name, str(value)) for name, value in record.options.items()],
    }
    for kind, each in logged.items():
        for start in range(0, len(each), _MOST[kind]):
            client.log_batch(run, **{kind: each[start : start + _MOST[kind]]})
    for name, text in record.files.items():
        client.log_text(run, text, name)
    client.set_terminated(run, "FINISHED", moment)  # last: only what is whole counts as written


TRACKERS: dict[str, Callable[[Record, str], None]] = {"tensorboard": _tensorboard, "mlflow": _mlflow}


def _epochs(run: Run) -> tuple[dict[str, float], ...]:
    try:
        return tuple(_values(record) for record in run.history())
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise HarkdError(f"{run.folder / 'history.jsonl'} is damaged ({problem!r}): repeat the run") from None


def _values(record: Mapping[str, Any]) -> dict[str, float]:
    """One epoch of a history by the names that a tracker shows."""
    values = {"rate": record["rate"]} | {f"terms/{name}": value for name, value in record["terms"].items()}
    for player, scores in record["scores"].items():
        values |= {f"validation/{player}/{name}": value for name, value in scores.items()}
    return {name: float(value) for name, value in values.items()}


def _renamed(command: str, names: Mapping[str, str]) -> str:
    """A command whose words are replaced; a word may follow its flag after an equals sign."""
    words = []
    for word in shlex.split(command):
        flag, equals, value = word.partition("=")
        words.append(names.get(word, f"{flag}{equals}{names.get(value, value)}"))
    return shlex.join(words)


def _first_line(problem: Exception) -> str:
    said = (isinstance(problem, OSError) and problem.strerror) or str(problem) or type(problem).__name__
    return said.splitlines()[0]


def _without_password(text: str) -> str:
    """A text in which addresses do not tell who logs in."""
    return re.sub(r"://[^/@\s]*@", "://", text)
