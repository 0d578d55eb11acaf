"""What trackers were told is read back with their own readers, and is what the run directory says."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pytest

from harkd.commands import track as command
from harkd.errors import HarkdError, UsageError
from harkd.runs import Run
from harkd.tracking import SCORES, TRACKERS, track

EventAccumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator
pytest.importorskip("mlflow")
Copy = Callable[..., Run]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """A run directory to change, under a name of its own."""

    def copied(folder: Path, name: str) -> Run:
        return Run(Path(shutil.copytree(folder, tmp_path / "runs" / name)))

    return copied


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder for MLflow that tests share, as making its tables takes seconds. A space and an umlaut are no matter."""
    return str(tmp_path_factory.mktemp("mlflow") / "all my rüns")


def client(where: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{where}/mlflow.db")


def runs_of(where: str, name: str) -> list[Any]:
    """What MLflow has of the runs of a folder name, deleted ones aside."""
    reader = client(where)
    numbers = [experiment.experiment_id for experiment in reader.search_experiments()]
    return list(reader.search_runs(numbers, f"tags.`harkd.run` = '{name}'"))


def events(folder: Path) -> Any:
    return EventAccumulator(str(folder)).Reload()


def told(run: Run) -> dict[str, list[tuple[int, float]]]:
    """The series that a tracker has to show: (step, value) by name, from the files of the run."""
    series: dict[str, list[tuple[int, float]]] = {}
    history, result = run.history(), run.result()
    for epoch, record in enumerate(history, 1):
        series.setdefault("rate", []).append((epoch, record["rate"]))
        for name, value in record["terms"].items():
            series.setdefault(f"terms/{name}", []).append((epoch, value))
        for name, value in record["scores"]["student"].items():
            series.setdefault(f"validation/student/{name}", []).append((epoch, value))
    final = {f"test/{name}": result["test"][name] for name in SCORES}
    final["test/worst_subject_accuracy"] = min(subject["accuracy"] for subject in result["test"]["subjects"])
    final |= {"parameters": result["parameters"], "updates": result["updates"]}
    return series | {name: [(len(history), value)] for name, value in final.items()}


# What is written


def test_tensorboard_shows_every_value_of_the_run(distilled: Path, tmp_path: Path) -> None:
    run = Run(distilled)
    track(run, ["tensorboard"], str(tmp_path))
    found = events(tmp_path / distilled.name)
    series = {name: [(event.step, event.value) for event in found.Scalars(name)] for name in found.Tags()["scalars"]}
    wanted = {name: [(step, float(np.float32(value))) for step, value in values] for name, values in told(run).items()}
    assert {"terms/ce", "terms/kl", "terms/gradient norm", "validation/student/nll", "test/ece"} <= wanted.keys()
    assert series == wanted
    (text,) = found.Tensors("run/text_summary")
    (about,) = text.tensor_proto.string_val
    for words in (
        "dscnn-xs distilled (kd) from dscnn-s",
        "harkd distill --data swings.toml",
        "CC-BY-NC-4.0",
        "commercial: False",
    ):
        assert words in about.decode()


def test_tensorboard_knows_the_options_of_a_run(distilled: Path, tmp_path: Path) -> None:
    from tensorboard.plugins.hparams import metadata

    track(Run(distilled), ["tensorboard"], str(tmp_path))
    content = events(tmp_path / distilled.name).summary_metadata
    start = metadata.parse_session_start_info_plugin_data(content[metadata.SESSION_START_INFO_TAG].plugin_data.content)
    values = {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()}
    assert values | {"epochs": 8, "rate": 0.03, "student": "dscnn-xs", "weight": 0.9, "temperature": 4.0} == values
    assert "method_options" not in values
    experiment = metadata.parse_experiment_plugin_data(content[metadata.EXPERIMENT_TAG].plugin_data.content)
    assert "test/macro_f1" in {metric.name.tag for metric in experiment.metric_infos}


def test_mlflow_has_every_value_of_the_run_to_the_last_bit(distilled: Path, copy: Copy, store: str) -> None:
    run = copy(distilled, "exact")
    track(run, ["mlflow"], store)
    (found,) = runs_of(store, "exact")
    reader, result = client(store), run.result()
    wanted = told(run)
    assert found.data.metrics.keys() == wanted.keys()
    for name, values in wanted.items():
        assert [(metric.step, metric.value) for metric in reader.get_metric_history(found.info.run_id, name)] == values
    assert reader.get_experiment(found.info.experiment_id).name == "swings"
    assert found.info.run_name == "dscnn-xs distilled (kd) from dscnn-s, seed 0"
    assert (found.info.status, found.info.user_id) == ("FINISHED", "unknown")
    assert found.info.end_time - found.info.start_time == pytest.approx(1000 * result["seconds"], abs=1)
    assert found.data.params | {"epochs": "8", "rate": "0.03", "temperature": "4.0", "keep_epochs": "[]"} == found.data.params
    tags = found.data.tags
    assert tags["harkd.identity"] == result["identity"]
    assert tags["terms.name"] == "CC-BY-NC-4.0"
    assert tags["terms.commercial"] == "False"
    assert tags["terms.citation"] == "A. Swinger: Swings, 2020."


def test_mlflow_keeps_the_result_and_a_recipe_but_no_run_directory(distilled: Path, copy: Copy, store: str, world: Any) -> None:
    run = copy(distilled, "files")
    track(run, ["mlflow"], store)
    (found,) = runs_of(store, "files")
    names = {file.path for file in client(store).list_artifacts(found.info.run_id)}
    assert names == {"harkd-result.json", "harkd-config.toml"}
    folder = Path(url2pathname(urlsplit(found.info.artifact_uri).path))
    kept = {name: (folder / name).read_text() for name in names}
    result, copied = run.result(), json.loads(kept["harkd-result.json"])
    assert copied["test"] == result["test"]
    assert {key for key in result if copied[key] != result[key]} == {"options", "command"}
    config = tomllib.loads((run.folder / "config.toml").read_text())
    assert tomllib.loads(kept["harkd-config.toml"]) == config | {"data": world.card.name, "data_folder": world.folder.name}
    assert not list(Path(store).rglob("result.json"))  # harkd report would take it for a run


def test_phases_follow_one_another_and_long_runs_are_written_whole(trained: Path, copy: Copy, store: str, tmp_path: Path) -> None:
    run = copy(trained, "long")
    (record,) = run.history()[:1]
    run.write_history([record | {"phase": phase, "epoch": epoch} for phase in ("hint", "distil") for epoch in range(150)])
    assert sum(map(len, told(run).values())) > 1000
    track(run, ["tensorboard", "mlflow"], store)
    (found,) = runs_of(store, "long")
    reader = client(store)
    for name in ("rate", "terms/ce", "validation/student/accuracy"):
        steps = [metric.step for metric in reader.get_metric_history(found.info.run_id, name)]
        assert steps == [event.step for event in events(Path(store) / "long").Scalars(name)] == list(range(1, 301))


def test_a_run_without_test_subjects_has_no_test_scores(trained: Path, copy: Copy, tmp_path: Path) -> None:
    run = copy(trained, "untested")
    run.write_json("result.json", run.result() | {"test": None})
    track(run, ["tensorboard"], str(tmp_path))
    names = events(tmp_path / "untested").Tags()["scalars"]
    assert "terms/ce" in names
    assert "parameters" in names
    assert not [name for name in names if name.startswith("test")]


# Once, and as it is


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_run_is_written_once_and_replaced_when_it_changed(tracker: str, trained: Path, copy: Copy, store: str) -> None:
    def there() -> list[str]:
        if tracker == "tensorboard":
            return [f"{path.name} {path.stat().st_mtime_ns}" for path in (Path(store) / "once").iterdir()]
        return [found.info.run_id for found in runs_of(store, "once")]

    run = copy(trained, "once")
    track(run, [tracker], store)
    before = there()
    assert len(before) == 1
    os.utime(run.folder / "result.json")
    track(Run(run.folder), [tracker, tracker], store)
    assert there() == before
    history = run.history()
    history[0]["terms"]["ce"] = 17.25
    run.write_history(history)
    track(run, [tracker], store)
    after = there()
    assert len(after) == 1
    assert after != before
    if tracker == "tensorboard":
        first = events(Path(store) / "once").Scalars("terms/ce")[0].value
    else:
        first = client(store).get_metric_history(after[0], "terms/ce")[0].value
    assert first == 17.25


def test_equal_options_in_another_folder_are_another_run(trained: Path, copy: Copy, store: str) -> None:
    for name in ("here", "there"):
        track(copy(trained, name), ["mlflow"], store)
    assert [len(runs_of(store, name)) for name in ("here", "there")] == [1, 1]


def test_what_was_interrupted_is_written_anew(trained: Path, copy: Copy, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    run = copy(trained, "interrupted")
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_text", full)
        with pytest.raises(
            HarkdError, match=r"cannot write .*interrupted to mlflow .*: No space left on device; .* track it again"
        ):
            track(run, ["mlflow"], store)
    (half,) = runs_of(store, "interrupted")
    assert half.info.status == "RUNNING"
    track(run, ["mlflow"], store)
    (whole,) = runs_of(store, "interrupted")
    assert whole.info.status == "FINISHED"
    assert whole.info.run_id != half.info.run_id


def test_no_path_and_no_name_of_anybody_gets_out(distilled: Path, trained: Path, copy: Copy, store: str, world: Any) -> None:
    teacher = copy(trained, "distiller")
    run = copy(distilled, "private")
    result = run.result()
    result["options"]["teacher"] = str(teacher.folder)
    result["command"] += f" --teacher {teacher.folder} --data-folder={world.folder}"
    run.write_json("result.json", result)
    track(run, ["tensorboard", "mlflow"], store)
    (found,) = runs_of(store, "private")
    assert found.data.params["teacher"] == "distiller"
    assert found.data.tags["harkd.command"].endswith("--teacher distiller --data-folder=recordings")
    files = [path for path in Path(store).rglob("*") if path.is_file()]
    assert len(files) >= 4
    secrets = [*world.people, str(world.folder.parent), str(run.folder.parent)]
    for path in files:
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in content], path
        assert socket.gethostname() not in path.name.split(".")


# What can go wrong


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_missing_extra_is_named(tracker: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, tracker, None)
    with pytest.raises(HarkdError, match=rf"^{tracker} is not installed: pip install .*'harkd\[{tracker}\]'$"):
        track(Run(trained), [tracker], str(tmp_path))


def test_the_database_of_mlflow_is_part_of_the_extra(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "alembic", None)
    with pytest.raises(HarkdError, match=r"^alembic is not installed: pip install .*'harkd\[mlflow\]'$"):
        track(Run(trained), ["mlflow"], str(tmp_path))


def test_unfinished_damaged_and_unknown(trained: Path, copy: Copy, tmp_path: Path) -> None:
    unfinished = copy(trained, "unfinished")
    (unfinished.folder / "result.json").unlink()
    with pytest.raises(UsageError, match=r"unfinished holds an unfinished run: repeat its command"):
        track(unfinished, ["tensorboard"], str(tmp_path))
    track(unfinished, [], str(tmp_path))
    with pytest.raises(UsageError, match="unknown tracker 'tensorbord': did you mean 'tensorboard'"):
        track(Run(trained), ["mlflow", "tensorbord"], str(tmp_path))
    for number, line in enumerate(('{"rate": 1}', "[]", '{"rate": null, "terms": {}, "scores": {}}', "{")):
        damaged = copy(trained, f"damaged-{number}")
        (damaged.folder / "history.jsonl").write_text(f"{line}\n")
        with pytest.raises(HarkdError, match=r"history\.jsonl is damaged .*: repeat the run"):
            track(damaged, ["tensorboard"], str(tmp_path))
    result = copy(trained, "result")
    result.write_json("result.json", result.result() | {"terms": {}})
    with pytest.raises(HarkdError, match=r"result\.json: .*terms\.data"):
        track(result, ["tensorboard"], str(tmp_path))
    assert not [path for path in tmp_path.iterdir() if path.name != "runs"]


def test_a_place_that_cannot_be_written_and_an_address_that_is_none(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for tracker in TRACKERS:
        with pytest.raises(HarkdError, match="file"):
            track(Run(trained), [tracker], str(tmp_path / "file"))
    with pytest.raises(UsageError, match=r"tensorboard writes into a folder, and 'https://mlflow\.example' is an address"):
        track(Run(trained), ["tensorboard"], "https://ada:secret@mlflow.example")
    with pytest.raises(UsageError, match=r"the path has a '\?'; choose another folder"):
        track(Run(trained), ["mlflow"], str(tmp_path / "why?"))


def test_a_server_that_is_gone_is_told_soon_and_the_other_tracker_is_written(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    before = {path.name: path.read_bytes() for path in trained.iterdir()}
    with pytest.raises(
        HarkdError, match=rf"cannot write .* to mlflow at http://127\.0\.0\.1:{port}: .*; the run itself is whole"
    ) as told:
        track(Run(trained), ["mlflow"], f"http://ada:secret@127.0.0.1:{port}")
    assert "secret" not in str(told.value)
    assert "\n" not in str(told.value)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "mlflow", None)
        with pytest.raises(HarkdError, match="mlflow is not installed"):
            track(Run(trained), ["mlflow", "tensorboard"], str(tmp_path))
    assert events(tmp_path / trained.name).Scalars("test/accuracy")
    assert {path.name: path.read_bytes() for path in trained.iterdir()} == before


@pytest.mark.slow
def test_two_processes_write_one_run_import_late_and_tell_the_makers_of_mlflow_nothing(distilled: Path, tmp_path: Path) -> None:
    """Not as a test: telemetry switches itself off where it thinks that it is tested."""
    code = f"""
import sys
from pathlib import Path
from harkd.runs import Run
from harkd.tracking import track
assert not {{"tensorboard", "mlflow", "sqlalchemy"}} & set(sys.modules)
track(Run(Path({str(distilled)!r})), ["mlflow"], {str(tmp_path)!r})
from mlflow.telemetry import client, utils
assert not utils._IS_IN_CI_ENV_OR_TESTING
assert client.get_telemetry_client() is None
print("done")
"""
    environment = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "PYTHONPATH", "OMP_NUM_THREADS")}
    begun = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    assert [process.communicate(timeout=600) for process in begun] == [("done\n", "")] * 2
    (found,) = client(str(tmp_path)).search_runs(["1"], run_view_type=3)  # deleted ones too
    assert found.info.status == "FINISHED"


# The command


def test_the_command_writes_all_runs_below_a_folder(
    trained: Path, copy: Copy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        copy(trained, name)
    where = tmp_path / "seen"
    assert command.main([str(tmp_path / "runs"), str(tmp_path / "runs" / "a"), "--where", str(where)]) == 0
    assert capsys.readouterr().out == f"2 runs: {where} (tensorboard)\n"
    assert sorted(path.name for path in where.iterdir()) == ["a", "b"]
    assert command.main([str(tmp_path / "runs" / "a"), "--where", str(where), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"where": str(where), "to": ["tensorboard"], "runs": [str(tmp_path / "runs" / "a")]}


def test_the_command_refuses_what_it_cannot_tell_apart_and_what_is_not_there(trained: Path, copy: Copy, tmp_path: Path) -> None:
    copy(trained, "morning/x")
    copy(trained, "evening/x")
    with pytest.raises(UsageError, match=r"evening/x and .*morning/x have one name: give each a --where of its own"):
        command.main([str(tmp_path / "runs"), "--where", str(tmp_path / "seen")])
    (tmp_path / "empty").mkdir()
    for words, complaint in (
        ([str(tmp_path / "nowhere")], "no such folder"),
        ([str(tmp_path / "empty")], "holds no finished run"),
        ([str(trained), "--to", " ,"], "no tracker is named"),
        ([str(trained), "--to", "wandb"], "unknown tracker 'wandb'"),
    ):
        with pytest.raises(UsageError, match=complaint):
            command.main(words)
