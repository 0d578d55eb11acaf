"""A chain of assistants: what it reduces to, who is asked, and that each link is trained once."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from harkd.augment import parse
from harkd.cast import helpers
from harkd.methods import METHODS
from harkd.options import KD, TAKD, Distill, Train, identity

CANDIDATES = ("wrn1d-16-3", "wrn1d-16-2", "wrn1d-16-1")


def distilled(toy: Any, key: str, options: Any, draws: int = 0, dropout: float = 0.0, **others: Any) -> Any:
    student = toy.player(toy.net(dropout=dropout), augment=parse("shifting(0.5)|mixup(0.4)"))
    history = toy.fit(METHODS[key]({"student": student, **others}, options, toy.plan(draws=draws)))
    return toy.state(student.net), history


@pytest.mark.parametrize(("draws", "dropout"), [(0, 0.0), (2, 0.5)])
@pytest.mark.parametrize("more", [{}, {"weight": 0.3, "temperature": 2.0, "reduction": "mean", "smoothing": 0.1}], ids=str)
def test_without_assistants_it_is_kd(toy: Any, more: dict[str, Any], draws: int, dropout: float) -> None:
    mine, my_history = distilled(toy, "takd", TAKD(**more), draws, dropout, teacher=toy.teacher())
    theirs, their_history = distilled(toy, "kd", KD(**more), draws, dropout, teacher=toy.teacher())
    assert toy.equal(mine, theirs)
    assert my_history == their_history


def test_the_last_assistant_teaches_and_nobody_else_is_asked(toy: Any) -> None:
    assistants = {f"assistant-{place}": toy.teacher(place) for place in (1, 2)}
    teacher, asked = toy.teacher(), list[int]()
    for player in (teacher, assistants["assistant-1"]):
        player.net.register_forward_pre_hook(lambda module, given: asked.append(len(given[0])))
    mine, _ = distilled(toy, "takd", TAKD(), teacher=teacher, **assistants)
    theirs, _ = distilled(toy, "kd", KD(), teacher=toy.teacher(2))
    assert toy.equal(mine, theirs)
    assert not asked


def test_every_assistant_is_taught_by_the_one_before_it() -> None:
    options = Distill(teacher="wrn1d-28-3", method="takd", method_options=TAKD(weight=0.5), assistants="wrn1d-16-2,wrn1d-16-1")
    teacher, first, second = helpers(options, validates=True)
    assert (teacher.name, first.name, second.name) == ("teacher", "assistant-1", "assistant-2")
    assert isinstance(teacher.training, Train)
    assert isinstance(first.training, Distill)
    assert isinstance(second.training, Distill)
    assert [each.training.student for each in (first, second)] == ["wrn1d-16-2", "wrn1d-16-1"]
    assert [each.training.assistants for each in (first, second)] == ["", "wrn1d-16-2"]
    assert all(each.training.method_options == TAKD(weight=0.5) for each in (first, second))
    # Each link finds its parents where their own runs are kept: the folder's name is the hash of what they were trained with.
    assert [helper.folder for helper in helpers(first.training, validates=True)] == [teacher.folder]
    assert [helper.folder for helper in helpers(second.training, validates=True)] == [teacher.folder, first.folder]


def test_three_candidates_are_eight_paths_with_seven_assistants_between_them() -> None:
    """Every path is a choice of candidates in their order; paths that begin alike share their beginning."""
    choices = [",".join(some) for number in range(4) for some in combinations(CANDIDATES, number)]
    paths = [Distill(method="takd", method_options=TAKD(), assistants=chosen) for chosen in choices]
    assert len({identity(path) for path in paths}) == 8
    found = [{helper.folder for helper in helpers(path, validates=True)} for path in paths]
    assert [len(each) for each in found] == [1, 2, 2, 2, 3, 3, 3, 4]
    assert len(set().union(*found)) == 1 + 7


def test_assistants_see_what_the_student_sees_unless_told_otherwise() -> None:
    base = {
        "student_sees": "acc",
        "teacher_sees": "all",
        "method": "takd",
        "method_options": TAKD(),
        "assistants": "dscnn-l,dscnn-m",
    }
    for more, wanted in (({}, ["acc", "acc"]), ({"assistants_see": "acc,gyro & gyro"}, ["acc,gyro", "gyro"])):
        _, *assistants = helpers(Distill(**base, **more), validates=True)
        assert [each.training.student_sees for each in assistants] == wanted
        assert [each.sees for each in assistants] == wanted
