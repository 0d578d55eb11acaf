"""FitNet hints: a worked loss, who moves in which phase, what it reduces to, and a stop in the middle."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from harkd.augment import Batch, parse
from harkd.engine import At, Moment
from harkd.errors import UsageError
from harkd.hooks import BestOnValidation, Snapshots
from harkd.nets import Outputs
from harkd.objectives import Context, Hint
from harkd.options import KD, FitNet
from harkd.schedule import Progress


def context(mine: list[Tensor], told: list[Tensor], masks: dict[str, Tensor] | None = None) -> Context:
    number = torch.arange(len(mine[0]))
    outputs = {"student": Outputs(torch.zeros(2, 3), tuple(mine)), "teacher": Outputs(torch.zeros(2, 3), tuple(told))}
    return Context(Batch({}, {"y": number}, number, number, number), outputs, {}, Progress(0, 1, 0, 1), "y", masks=masks or {})


def bound(hint: Hint, given: Context) -> Hint:
    hint.bind(given, None)  # type: ignore[arg-type]
    for align in hint.aligns:  # what comes in goes out
        align.project = torch.nn.Identity()
    return hint


def test_a_hint_by_hand() -> None:
    mine = torch.tensor([[[1.0, 3.0, 5.0, 5.0]], [[0.0, 0.0, 0.0, 0.0]]])
    told = torch.tensor([[[2.0, 4.0]], [[3.0, -1.0]]])
    given = context([mine], [told])
    assert bound(Hint(), given)(given)["hint"].tolist() == [0.5, 5.0]
    two = context([mine, mine], [told, told])
    assert bound(Hint((0, -1), (1, 0)), two)(two)["hint"].tolist() == [1.0, 10.0]


def test_windows_that_the_teacher_does_not_see_give_no_hint() -> None:
    maps = [torch.ones(2, 1, 4)], [torch.zeros(2, 1, 4)]
    for name in ("teacher", "student"):
        given = context(*maps, masks={name: torch.tensor([True, False])})
        assert bound(Hint(), given)(given)["hint"].tolist() == [1.0, 0.0]


def test_without_a_word_the_middle_stages_meet() -> None:
    mine, told = [torch.zeros(2, width, 4) for width in (1, 2, 3)], [torch.zeros(2, width, 8) for width in (4, 5, 6, 7)]
    hint = Hint()
    hint.bind(context(mine, told), None)  # type: ignore[arg-type]
    assert [tuple(align.project[0].weight.shape) for align in hint.aligns] == [(6, 2, 1)]
    for stages, shapes in ((((0, 2), (3, -4)), [(7, 1, 1), (4, 3, 1)]), (((1, 2), ()), [(6, 2, 1), (6, 3, 1)])):
        hint = Hint(*stages)
        hint.bind(context(mine, told), None)  # type: ignore[arg-type]
        assert [tuple(align.project[0].weight.shape) for align in hint.aligns] == shapes


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        (((3,), (0,)), "^a hint needs stage 3 of 'student', whose net has 3 stages with features$"),
        (((0,), (-5,)), "^a hint needs stage -5 of 'teacher', whose net has 4 stages with features$"),
    ],
)
def test_a_stage_that_is_not_there(stages: Any, says: str) -> None:
    given = context([torch.zeros(2, 1, 4)] * 3, [torch.zeros(2, 1, 4)] * 4)
    with pytest.raises(UsageError, match=says):
        Hint(*stages).bind(given, None)  # type: ignore[arg-type]


def test_stages_go_in_pairs() -> None:
    with pytest.raises(UsageError, match=r"^hints go from stage to stage: 1 stages of 'teacher' cannot guide 2 of 'student'$"):
        Hint((0, 1), (0,))


def test_a_net_without_features_gives_no_hint() -> None:
    given = context([torch.zeros(2, 1, 4)], [])
    with pytest.raises(UsageError, match="a hint needs stage 0 of 'teacher', whose net has 0 stages with features"):
        Hint().bind(given, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(("share", "epochs", "first"), [(0.3, 10, 3), (0.0, 10, 0), (1.0, 10, 9), (0.01, 10, 1), (0.5, 2, 1)])
def test_both_phases_take_the_epochs_of_the_plan(toy: Any, share: float, epochs: int, first: int) -> None:
    phases = toy.phases("fitnet", toy.player(), toy.teacher(), options=FitNet(hint_share=share), epochs=epochs)
    assert [(phase.name, phase.epochs) for phase in phases] == ([("hint", first)] if first else []) + [("distil", epochs - first)]


def test_two_phases_need_two_epochs(toy: Any) -> None:
    with pytest.raises(UsageError, match=r"^2 phases need at least 2 epochs, got 1$"):
        toy.phases("fitnet", toy.player(), toy.teacher(), epochs=1)


@pytest.mark.parametrize("options", [{"hint_share": 1.1}, {"hint_weight": -1.0}, {"phases": "one", "weight": 2.0}], ids=str)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=list(options)[-1]):
        FitNet(**options)


def test_in_the_hint_phase_only_the_student_up_to_its_stage_moves(toy: Any) -> None:
    student, teacher = toy.player(toy.net(deeper=1)), toy.teacher()
    hint, _ = toy.phases("fitnet", student, teacher, options=FitNet(student_stages=(1,), teacher_stages=(0,)), epochs=4)
    before, told = toy.state(student.net), toy.state(teacher.net)
    history = toy.fit([hint])
    moved = {name for name, p in student.net.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if name.startswith(("stem.", "stages.0.", "stages.1."))} & moved
    assert {name.split(".")[0] + name.split(".")[1] for name in moved} >= {"stages0", "stages1"}
    assert toy.equal(toy.state(teacher.net), told)
    assert set(history[0]["terms"]) == {"hint", "gradient norm"}


def test_hints_are_learned(toy: Any) -> None:
    (hint, _) = toy.phases("fitnet", toy.player(), toy.teacher(), options=FitNet(hint_share=0.9), epochs=10)
    terms = [record["terms"]["hint"] for record in toy.fit([hint])]
    assert terms[-1] < 0.5 * terms[0]
    assert [tuple(p.shape) for p in hint.objective.parameters()] == [(24, 16, 1), (24,), (24,)]


@pytest.mark.parametrize(
    "options", [FitNet(hint_share=0.0), FitNet(phases="one", hint_weight=0.0)], ids=["no share", "no weight"]
)
def test_without_hints_it_is_kd(toy: Any, options: FitNet) -> None:
    ends = []
    for key, chosen in (("fitnet", options), ("kd", KD())):
        student = toy.player(toy.net(dropout=0.5), augment=parse("shifting(0.5)"))
        toy.fit(toy.phases(key, student, toy.teacher(), options=chosen))
        ends.append(toy.state(student.net))
    assert toy.equal(*ends)


def test_the_teacher_is_asked_for_its_features_though_answers_are_banked(toy: Any) -> None:
    history = toy.fit(toy.phases("fitnet", toy.player(), toy.teacher(), options=FitNet(phases="one"), draws=2))
    assert all(set(record["terms"]) == {"ce", "kl", "hint", "gradient norm"} for record in history)


class Log:
    """A hook that writes down what it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int]] = []

    def __call__(self, moment: Moment) -> None:
        self.seen.append((moment.phase.name, moment.progress.epoch, moment.progress.epochs))
        if len(self.seen) == 4:
            moment.stop()


def test_hooks_count_the_epochs_of_both_phases(toy: Any) -> None:
    student, log = toy.player(), Log()
    best, kept = BestOnValidation("student", student.net), Snapshots("student", student.net, (1, 4))
    at = (best.at(), kept.at(), At("epoch", log))
    toy.fit(toy.phases("fitnet", student, toy.teacher(), options=FitNet(hint_share=0.5), epochs=6, at=at))
    assert log.seen == [("hint", 0, 6), ("hint", 1, 6), ("hint", 2, 6), ("distil", 3, 6)], "and it can stop the phase"
    assert best.epoch == 3
    assert toy.equal(toy.state(kept.kept["4"]), toy.state(student.net))
    head = next(name for name in toy.state(student.net) if name.startswith("head") and name.endswith("weight"))
    assert not torch.equal(toy.state(kept.kept["1"])[head], toy.state(student.net)[head])


@pytest.mark.parametrize("phases", ["one", "two"])
@pytest.mark.parametrize("step", [1, 6, 8, 9, 15])
def test_a_run_goes_on_where_it_stopped(toy: Any, goes_on: Any, step: int, phases: Any) -> None:
    """4 steps an epoch; two epochs of hints, two of distillation."""

    def run(keeper: Any = None) -> dict[str, Tensor]:
        student = toy.player(toy.net(dropout=0.3), augment=parse("shifting(0.5)"))
        kept = Snapshots("student", student.net, (1, 3))
        options = FitNet(phases=phases, hint_share=0.5)
        made = toy.phases("fitnet", student, toy.teacher(), options=options, epochs=4, at=(kept.at(),))
        toy.fit(made, keeper=keeper)
        ends = toy.state(student.net) | {f"kept {name}": v for name, v in toy.state(kept).items()}
        return ends | {f"objective {name}": v for name, v in toy.state(made[0].objective).items() if phases == "one"}

    assert toy.equal(*goes_on(run, step))
