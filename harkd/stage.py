"""A phase at work: bound to data and device, step by step. `harkd.engine.fit` is the loop around it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import Any, Literal

import torch
from torch import Tensor, nn

from harkd.accelerate import accelerate, seed_everything
from harkd.augment import Augmenter, Batch, Compose, Spec, Transform
from harkd.augment.keys import stream
from harkd.bank import HELD, DrawBank, bank_key
from harkd.curriculum import Curriculum, Drawn, Shuffle
from harkd.datasets import Signals, Windows
from harkd.errors import UsageError
from harkd.feedback import Feedback
from harkd.losses import cross_entropy
from harkd.nets import Outputs
from harkd.objectives import Context, Terms
from harkd.phase import Moment, Phase, Round, Step
from harkd.player import Player, PlayerJudge, Precision, autocast, predict
from harkd.schedule import Progress, value

AGAIN = 2**32
"""Added to a draw number where a window is needed in a second form: nobody makes so many visits."""


class Domain:
    """Windows beside the training windows, with batches in an order of their own."""

    def __init__(self, windows: Windows, strategy: Transform, batch: int, seeds: tuple[int, int], name: str) -> None:
        self.augmenter = Augmenter(strategy, windows, Spec.of(windows), seeds[1])
        self.order = Shuffle(batch)
        self.order.begin(len(windows), stream(seeds[0], "domain", name) >> 1, windows.device)

    def batch(self, step: int) -> Batch:
        drawn = self.order.take(step)
        return self.augmenter(drawn.index, drawn.draw)


@dataclass(frozen=True)
class PlayersAnswer:
    """What a curriculum may ask at the start of an epoch (`harkd.curriculum.Examiner`)."""

    players: Mapping[str, Player]
    train: Windows
    precision: Precision

    @property
    def labels(self) -> Tensor:
        """(n,) classes of all training windows."""
        return self.train.labels

    def logits(self, name: str) -> Tensor:
        """(n, class) a player's answers to all training windows, clean, in eval mode."""
        return predict(self.players[name], self.train, self.precision)

    @property
    def teacher(self) -> str | None:
        """The first frozen player, or the first who is not the student; None if nobody else sees the training windows."""
        here = {name: player for name, player in self.players.items() if not player.domain}
        frozen = [name for name, player in here.items() if player.mode == "frozen"]
        return next((name for name in [*frozen, *here] if name != "student"), None)


class Stage:
    """A phase bound to data and device."""

    def __init__(
        self,
        phase: Phase,
        train: Windows,
        spec: Spec,
        bank: DrawBank,
        device: torch.device,
        precision: Precision,
        compiled: bool,
        seeds: tuple[int, int],
        epoch_offset: int,
        validation: Windows | None,
    ) -> None:
        self.phase, self.train, self.device, self.precision, self.seed = phase, train, device, precision, seeds[0]
        self.target = train.card.target.name
        for player in phase.players.values():
            player.prepare(device)
        phase.curriculum.begin(len(train), self.seed, device)
        steps = [phase.curriculum.steps(epoch) for epoch in range(epoch_offset + phase.epochs)]
        self.epoch_offset, self.before, self.done = epoch_offset, sum(steps[:epoch_offset]), 0
        self.ends = list(accumulate(steps[epoch_offset:]))
        """How many steps there are up to the end of each epoch."""
        if not all(steps):
            raise UsageError("there are no training windows to take batches from")
        own = {n: p.augment for n, p in phase.players.items() if isinstance(p.augment, Transform) and not p.domain}
        leading = next((own[n] for n in own if phase.players[n].mode != "frozen"), Compose())
        spec = self._known(spec)
        self.augmenter = Augmenter(leading, train, spec, seeds[1])
        self.own = {n: Augmenter(strategy, train, spec, seeds[1]) for n, strategy in own.items() if strategy is not leading}
        for name, augmenter in self.own.items():
            if augmenter.learns:
                raise UsageError(f"{augmenter.text} learns from the student: it cannot be the strategy of {name!r} alone")
        self.domains = {
            name: Domain(windows.to(device), leading, phase.curriculum.batch, seeds, name)
            for name, windows in phase.domains.items()
        }
        self.elsewhere: dict[str, Batch] = {}
        """The batches of players who see another domain."""
        self.feedback = Feedback(phase, self.augmenter, train, validation, self.target, self.seed)
        self.answer = {n: accelerate(p.net, compiled and p.mode != "frozen") for n, p in phase.players.items()}
        self._bind()
        self._open_bank(bank)
        moved = {entry: self._parameters(entry) for step in phase.steps for entry in step.players}
        helpers = [parameter for parameter in phase.objective.parameters() if parameter.requires_grad]
        for step in phase.steps:
            for name in step.players:
                if not moved[name]:
                    raise UsageError(f"phase {phase.name!r}: a step moves {name!r}, who is not among the players that train")
        self.moved = [[p for n in step.players for p in moved[n]] + helpers for step in phase.steps]
        self.parameters = list({id(p): p for group in self.moved for p in group}.values())
        self.optimiser = phase.optimiser.build(self.parameters, [p for n in phase.undecayed for p in self._parameters(n)])

    def _parameters(self, entry: str) -> list[nn.Parameter]:
        """The trainable parameters of an entry of `Step.players`."""
        name, _, part = entry.partition(".")
        player = self.phase.players.get(name)
        named = player.trainable() if player else {}
        return [p for key, p in named.items() if not part or key.startswith("head.") == (part == "head")]

    def _known(self, spec: Spec) -> Spec:
        """The spec with what only a phase knows: how often windows are visited, and whom augmentations may ask."""
        curriculum, judges = self.phase.curriculum, [p for p in self.phase.players.values() if p.mode == "frozen"]
        samples = (self.before + self.ends[-1]) * curriculum.batch
        return replace(
            spec,
            visits=None if curriculum.draws else math.ceil(samples / len(self.train)),
            judge=PlayerJudge(judges[0], self.precision) if judges else None,
        )

    def _bind(self) -> None:
        """Show the objective one dry-run batch, in eval mode so that no statistics move."""
        index = torch.arange(self.phase.curriculum.batch, device=self.device) % len(self.train)
        batch = self.augmenter(index, torch.zeros_like(index))
        self._go_elsewhere()
        outputs = {n: p.answer(self._signals(n, batch), self.precision) for n, p in self.phase.players.items()}
        self._seed("objective's first weights")
        self.phase.objective.ready(self._context(batch, outputs, Progress(0, self.phase.epochs, 0, 1)), self.train)
        self.phase.objective.to(self.device)

    def _open_bank(self, bank: DrawBank) -> None:
        """Frozen players whose draws come back are asked once per draw; who needs more than the bank holds is asked live.

        So is who sees the student's window where the curriculum changes its form.
        """
        self.bank, self.keys, self.constant = bank, dict[str, str](), set[str]()
        if not self.phase.objective.needs <= HELD:
            return
        presents = type(self.phase.curriculum).present is not Curriculum.present
        for name, player in self.phase.players.items():
            seeks = presents or self.augmenter.learns  # then nobody knows beforehand what the student will see
            if player.mode != "frozen" or player.domain or (seeks and self._sees_students(name)):
                continue
            seen_by = None if player.augment == "clean" else self.own.get(name, self.augmenter)
            same_in_all = seen_by is None or not seen_by.changes
            if same_in_all or self.phase.curriculum.draws or bank.lasting:
                held = "+".join(sorted(self.phase.objective.needs))
                self.keys[name] = f"{bank_key(player, self.train, seen_by, self.precision)}-{held}"
                if same_in_all:
                    self.constant.add(name)

    def start(self, epoch: int) -> None:
        self.phase.curriculum.start(self.epoch_offset + epoch, PlayersAnswer(self.phase.players, self.train, self.precision))
        self.draws = self.phase.curriculum.draws_of(self.epoch_offset + epoch)
        for name, key in self.keys.items():
            self.bank.require(key, self._draws_of(name), partial(self._ask, name), self.train)

    def _draws_of(self, name: str) -> list[int]:
        """The draws of this epoch for a player who answers from the bank."""
        return [0] if name in self.constant else self.draws

    def _ask(self, name: str, index: Tensor, draw: Tensor) -> Outputs:
        batch = self.augmenter(index, draw) if self._sees_students(name) else self.augmenter.clean(index, draw)
        told = self.phase.players[name].answer(self._signals(name, batch), self.precision)
        return told if "embedding" in self.phase.objective.needs else Outputs(told.logits)

    def _sees_students(self, name: str) -> bool:
        return name not in self.own and self.phase.players[name].augment != "clean"

    def _go_elsewhere(self) -> None:
        batches = {name: domain.batch(self.before + self.done) for name, domain in self.domains.items()}
        self.elsewhere = {n: batches[p.domain] for n, p in self.phase.players.items() if p.domain}

    def _signals(self, name: str, batch: Batch) -> Signals:
        if name in self.elsewhere:
            return self.elsewhere[name].x
        augment = self.phase.players[name].augment
        if augment == "clean":
            return self.train.gather(batch.index)
        return self.own[name](batch.index, batch.draw).x if name in self.own else batch.x

    def _context(self, batch: Batch, outputs: Mapping[str, Outputs], progress: Progress) -> Context:
        nets = {name: player.net for name, player in self.phase.players.items()}
        masks = {name: self._mask(player, self.elsewhere.get(name, batch)) for name, player in self.phase.players.items()}
        known = {name: mask for name, mask in masks.items() if mask is not None}
        return Context(batch, outputs, nets, progress, self.target, self.seed, known, self.elsewhere)

    def _mask(self, player: Player, batch: Batch) -> Tensor | None:
        """Which windows a player can see; None: all of them."""
        there = [batch.present[name] for name in player.sees.sensors if name in batch.present]
        return torch.stack(there).all(0) if there else None

    def progress(self, epoch: int, shift: int = 0) -> Progress:
        return Progress(epoch, self.phase.epochs, self.done + shift, self.ends[-1])

    def _look(
        self, batch: Batch, name: str, forward: Callable[[Tensor], Outputs] | None = None, rows: Tensor | None = None
    ) -> Outputs:
        player = self.phase.players[name]
        if name in self.keys:
            index, draw = (batch.index, batch.draw) if rows is None else (batch.index[rows], batch.draw[rows])
            return self.bank.look_up(self.keys[name], index, draw, self._draws_of(name))
        signals = self._signals(name, batch)
        if rows is not None:
            signals = {sensor: x[rows] for sensor, x in signals.items()}
        if player.mode == "frozen":
            return player.answer(signals, self.precision)
        x = player.sees(signals)
        self._seed(name)
        with autocast(self.device, self.precision):
            answer: Outputs = (forward or self.answer[name])(x)
        return answer

    def _seed(self, name: str) -> None:
        """Dropout draws from torch's global generator: everybody who may use it gets a stream of his own name and step."""
        seed_everything(stream(self.seed, name, self.done) >> 1, self.device)

    def _terms(self, drawn: Drawn, epoch: int, learns: bool = False) -> Terms:
        batch = self.phase.curriculum.present(self.augmenter(drawn.index, drawn.draw))
        self._go_elsewhere()
        game = Round(
            self.phase.players,
            batch,
            partial(self._look, batch),
            lambda name: self._signals(name, batch),
            lambda name, view: self._look(self._view(view, drawn), name),
            self.target,
            stream(self.seed, "outputs", self.done),
        )
        outputs = self.phase.outputs(game)
        context = self._context(game.batch, outputs, self.progress(epoch))
        self._seed("objective")
        terms: Terms = self.phase.objective(context)
        if learns:
            self.feedback.answered(context)
        return terms

    def remarks(self) -> list[str]:
        """What a user should know before the first step: why ops of pools were left out, and what a loss cannot do here."""
        left_out = dict.fromkeys(reason for one in (self.augmenter, *self.own.values()) for reason in one.left_out)
        return [*left_out, *self.phase.objective.remarks()]

    def _view(self, view: Literal["clean", "again"], drawn: Drawn) -> Batch:
        """The windows of a batch in another form."""
        if view == "clean":
            return self.augmenter.clean(drawn.index, drawn.draw)
        return self.augmenter(drawn.index, drawn.draw + AGAIN)

    def step(self, epoch: int) -> dict[str, Tensor]:
        """One batch: the values of all terms, still on the device."""
        progress = self.progress(epoch)
        drawn = self.phase.curriculum.take(self.before + self.done)
        for group in self.optimiser.param_groups:
            group["lr"] = value(self.phase.optimiser.rate, progress)
        terms, pending = self._terms(drawn, epoch, learns=True), False
        values = _reduced(terms, drawn)
        for step, parameters in zip(self.phase.steps, self.moved, strict=True):
            if epoch < step.from_epoch or self.done % step.every:
                continue
            for turn in range(step.repeat):
                if pending and (step.fresh or turn):
                    values |= self._move()
                    terms, pending = self._terms(drawn, epoch), False
                    values |= _reduced(terms, drawn)
                pending |= self._backward(step, terms, drawn, progress, parameters)
        values = values | self._move() if pending else values
        self._seed("policy search")
        self.feedback.moved(self.done, drawn.index, drawn.draw, value(self.phase.optimiser.rate, progress))
        return values

    def _backward(self, step: Step, terms: Terms, drawn: Drawn, progress: Progress, parameters: list[nn.Parameter]) -> bool:
        """Add a step's gradients to those that wait; whether there were any."""
        parts = []
        for name, weight in step.weights.items():
            if name not in terms:
                raise UsageError(f"phase {self.phase.name!r} weights the term {name!r}; its objective gives {', '.join(terms)}")
            factor = value(weight, progress)
            if factor:  # a term that is switched off must not touch the sum, not even by adding zero times infinity
                parts.append(factor * reduce(terms[name], drawn.weight, name))
        if parts:
            total = torch.stack(parts).sum() if len(parts) > 1 else parts[0]
            total.backward(inputs=parameters, retain_graph=len(self.phase.steps) > 1)
        return bool(parts)

    def _move(self) -> dict[str, Tensor]:
        clip = self.phase.optimiser.clip or math.inf
        norm = nn.utils.clip_grad_norm_(self.parameters, clip)
        self.optimiser.step()
        self.optimiser.zero_grad()
        return {"gradient norm": norm}

    def call_hooks(self, epoch: int, validation: Windows | None, every_step: bool = False) -> Moment:
        """Call the hooks of a step or of an epoch's end; before the latter the watched players are scored."""
        scores: dict[str, dict[str, float]] = {}
        if validation is not None and len(validation) and not every_step:
            watched = self.phase.watched or [n for n, p in self.phase.players.items() if p.mode != "frozen"]
            scores = {name: score(self.phase.players[name], validation, self.precision) for name in watched}
        moment = Moment(self.phase, self.progress(epoch), self.train, validation, scores)
        for at in self.phase.at:
            if (isinstance(at.when, int) and self.done % at.when == 0) if every_step else at.when == "epoch":
                at.do(moment)
        return moment

    def finish(self, validation: Windows | None) -> None:
        moment = Moment(self.phase, self.progress(self.phase.epochs - 1), self.train, validation, {})
        for at in self.phase.at:
            if at.when == "end":
                at.do(moment)

    def told(self) -> dict[str, Any]:
        """What the curriculum and the strategy say of an epoch, for the history."""
        taught = self.phase.curriculum.told()
        return ({"taught": taught} if taught else {}) | self.feedback.told()

    def stateful(self) -> dict[str, nn.Module]:
        """What remembers for as long as the phase lasts, beside the optimiser."""
        memory = {"augment": self.augmenter.memory} if self.augmenter.learns else {}
        return {"objective": self.phase.objective, "curriculum": self.phase.curriculum, **memory}


def score(player: Player, windows: Windows, precision: Precision = "float32") -> dict[str, float]:
    """Accuracy and mean negative log-likelihood (nats) of a player on clean windows."""
    logits = predict(player, windows, precision)
    right = (logits.argmax(1) == windows.labels).double().mean()
    return {"accuracy": float(right), "nll": float(cross_entropy(windows.labels, logits.double()).mean())}


def reduce(term: Tensor, weight: Tensor | Mapping[str, Tensor | None] | None, name: str) -> Tensor:
    """Mean over the batch of a per-sample term (batch,), weighted by the curriculum; a scalar term stays as it is.

    Args:
        weight: (batch,) for all terms, or by the first word of a term's name, with "" for all that are not named.
    """
    if term.dim() == 0:
        return term
    factor = weight.get(name.split()[0], weight.get("")) if isinstance(weight, Mapping) else weight
    return term.mean() if factor is None else (factor * term).mean()


def _reduced(terms: Terms, drawn: Drawn) -> dict[str, Tensor]:
    return {name: reduce(term, drawn.weight, name).detach() for name, term in terms.items()}
