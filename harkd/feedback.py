"""What a strategy that learns is told: how student and teacher answered, and how the student does on validation windows."""

from __future__ import annotations

from torch import Tensor

from harkd.augment import Augmenter, Evidence, to_text
from harkd.datasets import Windows
from harkd.errors import UsageError
from harkd.objectives import Context
from harkd.phase import Moment, Phase
from harkd.policy_search import PolicySearch


class Feedback:
    """Tells a phase's strategy what comes of its windows; nothing happens if it does not learn.

    Args:
        target: name of the class target.

    Raises:
        UsageError: the strategy would learn from somebody who is not there.
    """

    def __init__(
        self, phase: Phase, augmenter: Augmenter, train: Windows, validation: Windows | None, target: str, seed: int
    ) -> None:
        self.augmenter, self.train = augmenter, train
        self.modes = {name: player.mode for name, player in phase.players.items()}
        for learner in augmenter.memory.learners.values():
            if learner.needs_teacher and "frozen" not in self.modes.values():
                raise UsageError(f"{to_text(learner)} compares the student with a teacher, and phase {phase.name!r} has none")
            if learner.needs_validation and not (validation is not None and len(validation)):
                raise UsageError(f"{to_text(learner)} learns from validation windows, and there are none")
            if target not in train.targets:
                raise UsageError(f"{to_text(learner)} learns from labels, and these windows have none")
        student = next((player for player in phase.players.values() if player.mode != "frozen"), None)
        self.search = None
        if augmenter.learns and student and validation is not None:
            self.search = PolicySearch(student, augmenter, validation, target, seed)

    def answered(self, context: Context) -> None:
        """After the answers to a batch, before anybody moves."""
        if not self.augmenter.learns:
            return
        answers = {name: context.outputs[name].logits for name in self.modes if name in context.outputs}
        student = next(told for name, told in answers.items() if self.modes[name] != "frozen")
        teacher = next((told for name, told in answers.items() if self.modes[name] == "frozen"), None)
        index, draw = context.batch.index, context.batch.draw
        self.augmenter.learn(Evidence(index, draw, self.train.labels[index], student.detach(), teacher))

    def moved(self, step: int, index: Tensor, draw: Tensor, rate: float) -> None:
        """After a step at a learning rate."""
        if self.search:
            self.search.step(step, index, draw, rate)

    def end_epoch(self, moment: Moment) -> None:
        """After the scores of an epoch."""
        if self.augmenter.learns and moment.scores:
            self.augmenter.finish_epoch(next(iter(moment.scores.values()))["accuracy"])

    def told(self) -> dict[str, dict[str, float]]:
        """What the strategy has learnt, for the history."""
        return {"policy": self.augmenter.told()} if self.augmenter.learns else {}
