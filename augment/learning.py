"""Policies that learn from the training that they are part of.

What one knows are tensors in the augmenter's memory: they are saved with the run, and how often they changed is in the key of
every window. So a run that was stopped goes on to the same result, and the bank, which would give old answers, refuses them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, softmax

from harkd.augment.draws import Draws
from harkd.augment.flow import Flow, Site
from harkd.augment.keys import mix_int
from harkd.augment.policy import Policy, Wrapper, through
from harkd.augment.spec import Spec
from harkd.augment.transform import Branching
from harkd.errors import UsageError

State = dict[str, Tensor]


@dataclass(frozen=True)
class Evidence:
    """What came of a batch.

    Attributes:
        index, draw: (batch,) of its windows.
        labels: (batch,) their classes.
        student: (batch, class) logits, on the augmented windows; teacher: those of a frozen player, or None.
    """

    index: Tensor
    draw: Tensor
    labels: Tensor
    student: Tensor
    teacher: Tensor | None = None


@dataclass(frozen=True)
class Learner(Branching):
    """Base of the nodes that learn."""

    LEARNS: ClassVar = True

    def begin(self, windows: int, classes: int) -> State:
        """What it knows before a training over that many windows of that many classes."""
        raise NotImplementedError

    def learn(self, state: State, evidence: Evidence, draws: Draws) -> State:
        """What it knows after a batch. `draws` are those that it had for the same windows."""
        return state

    def finish(self, state: State, accuracy: float, seed: int) -> State:
        """What it knows after an epoch with that accuracy on validation windows."""
        return state

    def tell(self, state: State) -> dict[str, Tensor]:
        """What a reader may want to know of it: numbers for each branch, (branch,), or one number (1,) for all."""
        raise NotImplementedError

    @property
    def needs_teacher(self) -> bool:
        """Whether it compares the student with a teacher."""
        return False

    @property
    def needs_validation(self) -> bool:
        """Whether it learns from validation windows."""
        return False


class Memory(nn.Module):
    """What all learning nodes of a strategy know, by position, and how often it changed."""

    changes: Tensor

    def __init__(self, learners: Mapping[int, Learner], windows: int, classes: int, device: torch.device) -> None:
        super().__init__()
        self.learners = dict(learners)
        self.register_buffer("changes", torch.tensor(0))
        for position, learner in self.learners.items():
            for name, tensor in learner.begin(windows, classes).items():
                self.register_buffer(f"{position} {name}", tensor.to(device))

    def __getitem__(self, position: int) -> State:
        start = f"{position} "
        return {name.removeprefix(start): tensor for name, tensor in self.named_buffers() if name.startswith(start)}

    def write(self, position: int, state: State) -> None:
        """Keep what a node has learnt."""
        for name, tensor in state.items():
            setattr(self, f"{position} {name}", tensor)

    def changed(self) -> None:
        """Count a change: windows drawn from now on are others."""
        self.changes += 1

    @property
    def version(self) -> int:
        """How often it changed; the count lies on the CPU."""
        return int(self.changes)


@dataclass(frozen=True)
class Adaptive(Learner, Policy):
    """One op of a pool per window, at a magnitude drawn uniformly, chosen by a bandit (Exp3; Auer et al., SIAM J. Comput. 2002).

    Our design. `reward`: disagreement is the KL divergence of the student from the teacher on the augmented window where the
    teacher is still right, so that ops win which the student has not understood but the teacher has; validation is the gain
    in validation accuracy over an epoch, in which all windows meet one op. `gamma` is the share of pure chance.
    """

    reward: Literal["disagreement", "validation"] = "disagreement"
    gamma: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.gamma <= 1:
            raise UsageError(f"Adaptive: gamma is a share of pure chance, above 0 and up to 1; got {self.gamma}")

    @property
    def needs_teacher(self) -> bool:
        return self.reward == "disagreement"

    @property
    def needs_validation(self) -> bool:
        return self.reward == "validation"

    def slots(self, spec: Spec) -> int:
        return 2

    def begin(self, windows: int, classes: int) -> State:
        arms = len(self.branches)
        return {"weights": torch.zeros(arms, dtype=torch.float64), "arm": torch.tensor(0), "best": torch.tensor(0.0)}

    def chances(self, state: State) -> Tensor:
        """(op,) the probability of each op."""
        return (1 - self.gamma) * softmax(state["weights"], 0) + self.gamma / len(self.branches)

    def tell(self, state: State) -> dict[str, Tensor]:
        return {"chance": self.chances(state)}

    def choose(self, draws: Draws, state: State) -> Tensor:
        """(batch,) which op each window meets."""
        u = draws.uniform(1)[:, 0].double()
        if self.reward == "validation":
            return state["arm"].expand(len(u))
        return torch.searchsorted(self.chances(state).cumsum(0)[:-1], u, right=True)

    def run(self, flow: Flow, draws: Draws, site: Site) -> Flow:
        return through(flow, site, self.choose(draws, site.state), draws.uniform(1), 0)

    def learn(self, state: State, evidence: Evidence, draws: Draws) -> State:
        if self.reward == "validation":
            return state
        assert evidence.teacher is not None
        told, asked = log_softmax(evidence.teacher.double(), 1), log_softmax(evidence.student.double(), 1)
        right = evidence.teacher.argmax(1) == evidence.labels
        # Rewards lie in [0, 1]: a KL divergence of one nat is already a great deal.
        reward = torch.where(right, (told.exp() * (told - asked)).sum(1).clamp(0, 1), 0.0)
        return self._paid(state, self.choose(draws, state), reward)

    def finish(self, state: State, accuracy: float, seed: int) -> State:
        if self.reward != "validation":
            return state
        best = float(state["best"])
        # A gain of ten points in an epoch is the most that is told apart.
        gain = min(max((accuracy - best) * 10, 0.0), 1.0)
        arm = state["arm"]
        after = self._paid(state, arm[None], torch.tensor([gain], dtype=torch.float64, device=arm.device))
        u = torch.tensor((mix_int(seed) >> 11) * 2.0**-53, dtype=torch.float64, device=arm.device)
        arm = torch.searchsorted(self.chances(after).cumsum(0)[:-1], u, right=True)
        return {**after, "arm": arm, "best": torch.full_like(state["best"], max(best, accuracy))}

    def _paid(self, state: State, choice: Tensor, reward: Tensor) -> State:
        """Weights after rewards (batch,) for choices (batch,): each counts the more, the less often its op is chosen."""
        chances = self.chances(state)
        arms = torch.arange(len(chances), device=chances.device)
        paid = torch.where(choice[None] == arms[:, None], reward[None], 0.0).sum(1) / chances
        weights = state["weights"] + self.gamma / len(chances) * paid
        return {**state, "weights": weights - weights.max()}


@dataclass(frozen=True)
class GrowWithLoss(Learner, Wrapper):
    """A strategy whose magnitude rises by `step` after every batch that the student finds easy: cross-entropy below `threshold`
    nats; after others it falls by as much. Our design.
    """

    threshold: float = 0.5
    step: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.threshold >= 0 or not 0 < self.step <= 1:
            raise UsageError(
                f"GrowWithLoss: threshold is a loss from 0 up and step a share above 0; got {self.threshold:g} and {self.step:g}"
            )

    def slots(self, spec: Spec) -> int:
        return 0

    def begin(self, windows: int, classes: int) -> State:
        return {"magnitude": torch.zeros(1)}

    def tell(self, state: State) -> dict[str, Tensor]:
        return state

    def run(self, flow: Flow, draws: Draws, site: Site) -> Flow:
        return site.branch(0, flow.weakened(site.state["magnitude"].expand(len(flow.index), 1))).like(flow)

    def learn(self, state: State, evidence: Evidence, draws: Draws) -> State:
        loss = -log_softmax(evidence.student.float(), 1).gather(1, evidence.labels[:, None]).mean()
        step = torch.where(loss < self.threshold, self.step, -self.step)
        return {"magnitude": (state["magnitude"] + step).clamp(0, 1)}


@dataclass(frozen=True)
class GrowWithConfidence(Learner, Wrapper):
    """A strategy that is the stronger for a window, the surer the student was of its class when it met it before. Our design.

    The magnitude is the student's probability for the window's class, smoothed over visits with weight `memory`; it begins at 0.
    """

    memory: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.memory < 1:
            raise UsageError(f"GrowWithConfidence: memory is a weight from 0 to below 1; got {self.memory}")

    def slots(self, spec: Spec) -> int:
        return 0

    def begin(self, windows: int, classes: int) -> State:
        return {"confidence": torch.zeros(windows)}

    def tell(self, state: State) -> dict[str, Tensor]:
        return {"mean magnitude": state["confidence"].mean()[None]}

    def run(self, flow: Flow, draws: Draws, site: Site) -> Flow:
        return site.branch(0, flow.weakened(site.state["confidence"][flow.index, None])).like(flow)

    def learn(self, state: State, evidence: Evidence, draws: Draws) -> State:
        sure = softmax(evidence.student.float(), 1).gather(1, evidence.labels[:, None])[:, 0]
        confidence = state["confidence"].clone()
        confidence[evidence.index] = self.memory * confidence[evidence.index] + (1 - self.memory) * sure
        return {"confidence": confidence}


@dataclass(frozen=True)
class Differentiable(Learner, Policy):
    """One op of a pool per window, with weights and magnitudes found by gradients through the student's training.

    Bilevel, after DADA (Li et al., ECCV 2020) and CADDA (Rommel et al., ICLR 2022): the policy moves so that a step of the
    student on augmented training windows lowers its loss on validation windows (`harkd.policy_search`). For the gradient all
    ops are mixed by their weights; for the training one is drawn. `rate` is the length of a step of the policy, taken after
    every `every` batches. `classwise` learns a policy for each class. The details are our design.
    """

    rate: float = 0.1
    every: int = 4
    classwise: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.rate >= 0 or self.every < 1:
            raise UsageError(f"Differentiable: rate is from 0 up and every at least 1; got {self.rate:g} and {self.every}")

    @property
    def needs_validation(self) -> bool:
        return True

    def slots(self, spec: Spec) -> int:
        return 1

    def begin(self, windows: int, classes: int) -> State:
        shape = (classes if self.classwise else 1, len(self.branches))
        return {"weights": torch.zeros(shape), "magnitudes": torch.zeros(shape)}

    def tell(self, state: State) -> dict[str, Tensor]:
        return {"chance": softmax(state["weights"], 1).mean(0), "magnitude": state["magnitudes"].sigmoid().mean(0)}

    def run(self, flow: Flow, draws: Draws, site: Site) -> Flow:
        if self.classwise and flow.labels is None:
            raise UsageError("differentiable(classwise=true) has a policy for each class, and these windows have no classes")
        rows = flow.labels if self.classwise else torch.zeros_like(flow.index)
        chances, magnitudes = softmax(site.state["weights"], 1)[rows], site.state["magnitudes"].sigmoid()[rows]
        u = draws.uniform(1)
        if not chances.requires_grad:
            choice = (u >= chances.cumsum(1)[:, :-1]).sum(1)
            return through(flow, site, choice, magnitudes.gather(1, choice[:, None]), 0)
        mixed = dict(flow.x)
        for number in range(len(self.branches)):
            moved = site.turn(number, flow.weakened(magnitudes[:, number : number + 1]), 0)
            for name, signal in flow.x.items():
                share = chances[:, number, None, None].to(signal.dtype)
                mixed[name] = mixed[name] + share * (moved.x[name] - signal)
        return flow.changed(mixed, flow.dense)
