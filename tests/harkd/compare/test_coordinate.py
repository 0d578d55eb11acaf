"""The order of jobs, with an executor that follows a script instead of training."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harkd.compare.coordinate import DEATHS, coordinate
from harkd.compare.jobs import Ended, Job
from harkd.compare.plan import Plan
from harkd.errors import HarkdError, Interrupted
from harkd.options import Distill, Train


def teacher(name: str) -> Job:
    return Job(name, Train())


def student(name: str, needs: str = "", group: str = "") -> Job:
    return Job(name, Distill(), (needs,) if needs else (), group)


@dataclass
class Scripted:
    """An executor of some slots, in this process. A job's script says how each attempt of it ends: ok, died, full or a reason.

    What ended and when, and who ran beside whom, is on record; of those that run, `pick` chooses who ends next.
    """

    slots: int = 2
    script: dict[str, list[str]] = field(default_factory=dict)
    pick: Callable[[int], int] = lambda running: 0

    def __post_init__(self) -> None:
        self.running: list[Job] = []
        self.begun: list[str] = []
        self.beside: list[frozenset[str]] = []
        self.cancelled = 0

    def submit(self, job: Job) -> bool:
        if len(self.running) >= self.slots:
            return False
        assert job.name not in {each.name for each in self.running}, "twice at a time"
        self.running.append(job)
        self.begun.append(job.name)
        self.beside.append(frozenset(each.name for each in self.running))
        return True

    def poll(self, seconds: float) -> list[Ended]:
        if not self.running:
            return []
        job = self.running.pop(self.pick(len(self.running)))
        told = self.script.get(job.name) or ["ok"]
        word = told.pop(0) if len(told) > 1 else told[0]
        if word == "died":  # with it the pool dies, and everybody else in it
            dead, self.running = [job, *self.running], []
            return [Ended(each.name, "its process died", died=True) for each in dead]
        return [Ended(job.name, "" if word == "ok" else word, full=word == "full")]

    def cancel(self) -> None:
        self.cancelled += 1
        self.running.clear()


class Notes:
    """A follower that writes everything down."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.ends: dict[str, list[Ended]] = {}
        self.ticks = 0

    def planned(self, plan: Plan, finished: Collection[str]) -> None:
        raise AssertionError("whoever makes the plan tells it")

    def began(self, job: Job) -> None:
        self.told.append(("began", job.name))

    def ended(self, job: Job, end: Ended) -> None:
        assert job.name == end.name
        self.told.append(("ended", job.name))
        self.ends.setdefault(job.name, []).append(end)

    def tick(self) -> None:
        self.ticks += 1

    def names(self, *, failed: bool) -> list[str]:
        return [name for name, ends in self.ends.items() if bool(ends[-1].error) == failed]


def done(jobs: Sequence[Job], executor: Scripted, **more: Any) -> Notes:
    notes = Notes()
    coordinate(jobs, executor, notes, **more)
    return notes


# Order


def test_jobs_are_done_in_their_order() -> None:
    executor = Scripted(slots=1)
    notes = done([student("c"), student("a"), student("b")], executor)
    assert executor.begun == ["c", "a", "b"]
    assert notes.told == [(word, name) for name in "cab" for word in ("began", "ended")]
    assert executor.cancelled == 0


def test_nothing_to_do() -> None:
    assert done([], Scripted()).told == []
    assert done([student("a")], Scripted(), finished={"a"}).told == []


def test_a_student_waits_for_its_teacher_and_others_do_not() -> None:
    jobs = [teacher("t"), student("a", "t"), student("b", "t"), student("alone")]
    executor = Scripted(slots=2)
    notes = done(jobs, executor)
    assert executor.beside[:2] == [{"t"}, {"t", "alone"}]
    assert notes.told.index(("ended", "t")) < notes.told.index(("began", "a"))
    assert sorted(notes.names(failed=False)) == ["a", "alone", "b", "t"]


def test_who_asks_a_teacher_the_same_does_so_one_after_the_other() -> None:
    """The second finds the answers of the first in the bank."""
    jobs = [student("a1", group="A"), student("a2", group="A"), student("b1", group="B"), student("b2", group="B")]
    executor = Scripted(slots=2)
    done(jobs, executor)
    assert executor.begun == ["a1", "b1", "a2", "b2"]
    assert all(len({name[0] for name in names}) == len(names) for names in executor.beside)


def test_nobody_is_idle_for_the_sake_of_sharing() -> None:
    executor = Scripted(slots=2)
    done([student("a1", group="A"), student("a2", group="A")], executor)
    assert executor.beside == [{"a1"}, {"a1", "a2"}]


def test_jobs_without_a_group_run_side_by_side() -> None:
    executor = Scripted(slots=3)
    done([student("a"), student("b"), student("c")], executor)
    assert executor.beside[-1] == {"a", "b", "c"}


def test_a_job_that_needs_what_is_not_there_is_a_mistake_in_the_plan() -> None:
    executor = Scripted()
    with pytest.raises(ValueError, match="job a needs one that is not in the plan"):
        done([student("a", "nobody")], executor)
    assert executor.cancelled == 1


# Failures


def test_a_failing_job_leaves_the_rest_alone() -> None:
    notes = done([student("a"), student("b"), student("c")], Scripted(slots=2, script={"b": ["its loss is not finite"]}))
    assert notes.names(failed=True) == ["b"]
    assert notes.ends["b"] == [Ended("b", "its loss is not finite")]
    assert sorted(notes.names(failed=False)) == ["a", "c"]


def test_students_of_a_failed_teacher_fail_with_its_reason_and_are_never_begun() -> None:
    jobs = [teacher("t"), student("a", "t"), student("b", "t"), student("alone")]
    executor = Scripted(slots=1, script={"t": ["no memory"]})
    notes = done(jobs, executor)
    assert executor.begun == ["t", "alone"]
    for name in "ab":
        assert notes.ends[name] == [Ended(name, "its teacher t failed: no memory")]
    assert notes.names(failed=False) == ["alone"]


def test_what_failed_before_is_not_tried_and_told_again() -> None:
    jobs = [teacher("t"), student("a", "t"), student("b")]
    executor = Scripted()
    notes = done(jobs, executor, failed={"t": "no memory", "b": "its loss is not finite"})
    assert (executor.begun, list(notes.ends)) == ([], ["a"])
    assert notes.ends["a"][0].error == "its teacher t failed: no memory"


def test_a_teacher_that_is_there_serves_although_it_is_not_trained_again() -> None:
    executor = Scripted()
    done([teacher("t"), student("a", "t")], executor, finished={"t"})
    assert executor.begun == ["a"]


# Deaths


def test_whoever_died_is_tried_again_alone_and_after_the_others() -> None:
    """One of two killed the pool; nobody knows which. Neither takes a third one with it."""
    jobs = [student(name) for name in "abcd"]
    executor = Scripted(slots=2, script={"a": ["died", "ok"]})
    notes = done(jobs, executor)
    assert executor.begun == ["a", "b", "c", "d", "a", "b"]
    assert executor.beside[-2:] == [{"a"}, {"b"}]
    assert (notes.names(failed=True), sorted(notes.names(failed=False))) == ([], list("abcd"))
    assert all(len(ends) == 1 for ends in notes.ends.values())


def test_a_job_that_always_dies_is_given_up_and_the_others_are_not() -> None:
    jobs = [teacher("t"), student("a", "t"), student("b"), student("c")]
    executor = Scripted(slots=2, script={"t": ["died"]})
    notes = done(jobs, executor)
    assert executor.begun.count("t") == DEATHS + 1  # the first time it was not alone
    assert all(beside == {"t"} for name, beside in zip(executor.begun[1:], executor.beside[1:], strict=True) if name == "t")
    assert notes.ends["t"] == [Ended("t", "its process died", died=True)]
    assert notes.ends["a"][0].error == "its teacher t failed: its process died"
    assert sorted(notes.names(failed=False)) == ["b", "c"]


# Stopping


def test_a_full_disk_stops_everything_and_what_is_finished_stays() -> None:
    executor = Scripted(slots=2, script={"b": ["full"]})
    notes = Notes()
    with pytest.raises(HarkdError, match=r"^full; nothing that was finished is lost: make room and repeat the command$"):
        coordinate([student(name) for name in "abcd"], executor, notes)
    assert (notes.names(failed=False), notes.names(failed=True)) == (["a"], [])
    assert (executor.cancelled, executor.running) == (1, [])


@pytest.mark.parametrize("ends", [0, 1, 3])
def test_an_interruption_cancels_what_is_in_flight(ends: int) -> None:
    executor, notes = Scripted(slots=2), Notes()
    with pytest.raises(Interrupted, match=r"^stopped$"):
        coordinate([student(name) for name in "abcdef"], executor, notes, interrupted=lambda: len(notes.ends) >= ends)
    assert len(notes.ends) == ends
    assert (executor.cancelled, executor.running) == (1, [])


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), HarkdError("disk"), ValueError("a mistake")])
def test_whatever_goes_wrong_nobody_works_on(problem: BaseException) -> None:
    class Broken(Notes):
        def ended(self, job: Job, end: Ended) -> None:
            raise problem

    executor = Scripted(slots=2)
    with pytest.raises(type(problem)):
        coordinate([student("a"), student("b")], executor, Broken())
    assert (executor.cancelled, executor.running) == (1, [])


# Any script


@st.composite
def studies(draw: st.DrawFn) -> tuple[list[Job], dict[str, list[str]]]:
    """Teachers and students in any order that a plan could have, and how the attempts of each end."""
    jobs: list[Job] = []
    for number in range(draw(st.integers(1, 10))):
        teachers = [job.name for job in jobs if isinstance(job.options, Train)]
        if draw(st.integers(0, 3)) == 0:
            jobs.append(teacher(f"t{number}"))
        else:
            needs = draw(st.sampled_from(["", *teachers]))
            jobs.append(student(f"s{number}", needs, draw(st.sampled_from(["", "A", "B"])) if needs else ""))
    ends = st.lists(st.sampled_from(["ok", "ok", "died", "a reason"]), min_size=1, max_size=8)
    return jobs, {job.name: draw(ends) for job in jobs}


def ended_before(told: Sequence[tuple[str, str]], names: Iterable[str], begin: int) -> bool:
    return all(("ended", name) in told[:begin] for name in names)


@settings(deadline=None, max_examples=400)
@given(studies(), st.integers(1, 4), st.randoms(use_true_random=False))
def test_every_job_ends_exactly_once_whatever_happens(
    study: tuple[list[Job], dict[str, list[str]]], slots: int, chance: Random
) -> None:
    jobs, script = study
    executor = Scripted(slots, {name: list(words) for name, words in script.items()}, chance.randrange)
    notes = done(jobs, executor)
    by_name = {job.name: job for job in jobs}
    assert {name: len(ends) for name, ends in notes.ends.items()} == dict.fromkeys(by_name, 1)
    good = set(notes.names(failed=False))
    for at, (word, name) in enumerate(notes.told):
        if word == "began":
            assert good.issuperset(by_name[name].needs)
            assert ended_before(notes.told, by_name[name].needs, at)
    for name, (end,) in notes.ends.items():
        lacking = [needed for needed in by_name[name].needs if needed not in good]
        if lacking:
            assert end.error == f"its teacher {lacking[0]} failed: {notes.ends[lacking[0]][0].error}"
            assert name not in executor.begun
        elif end.died:
            assert executor.begun.count(name) == DEATHS + 1
        else:
            assert end.error == ("" if name in good else "a reason")
    assert (executor.running, executor.cancelled) == ([], 0)
