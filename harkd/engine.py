"""The engine: `fit`, the only training loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from harkd.accelerate import accelerate, pick_device, seed_everything
from harkd.augment import Augmenter, Batch, Compose, Spec, Transform
from harkd.augment.keys import stream
from harkd.bank import HELD, DrawBank, bank_key
from harkd.curriculum import Curriculum, Drawn
from harkd.datasets import Signals, Windows
from harkd.errors import UsageError
from harkd.feedback import Feedback
from harkd.history import History, Tally
from harkd.losses import cross_entropy
from harkd.nets import Outputs
from harkd.objectives import Context, Terms
from harkd.phase import At, Keeper, Moment, Phase, Round, Step, Watcher, everyone
from harkd.player import Player, PlayerJudge, Precision, autocast, predict
from harkd.schedule import Progress, value
from harkd.state import collect, collect_optimiser, restore, restore_optimiser

__all__ = ["At", "Keeper", "Moment", "Phase", "Player", "Round", "Step", "Watcher", "everyone", "fit", "reduce", "score"]


AGAIN = 2**32
"""Added to a draw number where a window is needed in a second form: nobody makes so many visits."""


@torch.random.fork_rng(devices=[])
def fit(
    phases: Sequence[Phase],
    train: Windows,
    validation: Windows | None = None,
    *,
    seed: int = 0,
    augment_seed: int = 0,
    device: str = "auto",
    precision: Precision = "float32",
    compiled: bool = False,
    bank: DrawBank | None = None,
    keeper: Keeper | None = None,
    watcher: Watcher | None = None,
) -> History:
    """Train the players of some phases, in place.

    Args:
        train, validation: windows of disjoint subjects; hooks and the history see the validation ones, nobody sees test windows.
        seed: batch order, dropout and everything else that is drawn, each player and objective from a stream of its own name.
        augment_seed: of the augmentation alone. Runs that share it see the same windows, and may share a `bank`.
        device: `auto`, `cpu`, `cuda` or any torch device.
        compiled: run trained nets through torch.compile; pays on long runs only.
        keeper: saves and restores the state; a run that goes on gives the same numbers as one that was never stopped.

    Returns:
        One record per epoch: mean of every term, learning rate, and scores of the watched players on validation windows.

    Raises:
        TrainingError: a loss is not finite; names the term and the step.
    """
    place = pick_device(device)
    train, validation = train.to(place), None if validation is None else validation.to(place)
    spec = Spec.of(train)
    bank = bank or DrawBank()
    saved = keeper.load() if keeper else None
    lasting = _lasting(phases)
    history: History = []
    if saved:
        restore(lasting, saved[0], "lasting")
        history = saved[1]["history"]
    used: dict[int, int] = {}
    for number, phase in enumerate(phases):
        offset = used.get(id(phase.curriculum), 0)
        used[id(phase.curriculum)] = offset + phase.epochs
        if saved and number < saved[1]["phase"]:
            continue
        stage = _Stage(phase, train, spec, bank, place, precision, compiled, (seed, augment_seed), offset, validation)
        if watcher:
            for reason in stage.left_out():
                watcher.say(reason)
        epoch, tally, stopped = 0, Tally(), False
        if saved and number == saved[1]["phase"]:
            restore(stage.stateful(), saved[0], "stage")
            restore_optimiser(stage.optimiser, saved[0])
            epoch, stage.done, stopped = saved[1]["epoch"], saved[1]["step"], saved[1]["stopped"]
            tally.sums = dict(saved[1]["sums"])
        while epoch < phase.epochs:
            stage.start(epoch)
            while stage.done < (epoch + 1) * stage.steps:
                tally.add(stage.done, stage.step(epoch))
                stage.done += 1
                if watcher:
                    watcher.step(phase, stage.progress(epoch))
                stopped |= stage.call_hooks(epoch, validation, every_step=True).stopped
                if keeper and keeper.due():
                    tally.flush()
                    meta = {"phase": number, "epoch": epoch, "step": stage.done, "stopped": stopped, "sums": tally.sums}
                    state = collect(lasting, "lasting") | collect(stage.stateful(), "stage")
                    keeper.save(state | collect_optimiser(stage.optimiser), {**meta, "history": history})
                    keeper.checked()
            moment = stage.call_hooks(epoch, validation)
            stage.feedback.end_epoch(moment)
            record = {
                "phase": phase.name,
                "epoch": epoch,
                "step": stage.done,
                "rate": value(phase.optimiser.rate, stage.progress(epoch, -1)),
                "terms": tally.means(),
                "scores": moment.scores,
            } | stage.feedback.told()
            history.append(record)
            if watcher:
                watcher.epoch(phase, record)
            epoch = phase.epochs if stopped or moment.stopped else epoch + 1
        stage.finish(validation)
        saved = None
    return history


def score(player: Player, windows: Windows, precision: Precision = "float32") -> dict[str, float]:
    """Accuracy and mean negative log-likelihood (nats) of a player on clean windows."""
    logits = predict(player, windows, precision)
    right = (logits.argmax(1) == windows.labels).double().mean()
    return {"accuracy": float(right), "nll": float(cross_entropy(windows.labels, logits.double()).mean())}


class _Stage:
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
        self.steps, self.epoch_offset, self.done = phase.curriculum.steps(), epoch_offset, 0
        if not self.steps:
            raise UsageError("there are no training windows to take batches from")
        own = {n: p.augment for n, p in phase.players.items() if isinstance(p.augment, Transform)}
        leading = next((own[n] for n in own if phase.players[n].mode != "frozen"), Compose())
        spec = self._known(spec)
        self.augmenter = Augmenter(leading, train, spec, seeds[1])
        self.own = {n: Augmenter(strategy, train, spec, seeds[1]) for n, strategy in own.items() if strategy is not leading}
        for name, augmenter in self.own.items():
            if augmenter.learns:
                raise UsageError(f"{augmenter.text} learns from the student: it cannot be the strategy of {name!r} alone")
        self.feedback = Feedback(phase, self.augmenter, train, validation, self.target, self.seed)
        self.answer = {n: accelerate(p.net, compiled and p.mode != "frozen") for n, p in phase.players.items()}
        self._bind()
        self._open_bank(bank)
        by_player = {n: list(p.trainable().values()) for n, p in phase.players.items()}
        helpers = [parameter for parameter in phase.objective.parameters() if parameter.requires_grad]
        for step in phase.steps:
            for name in step.players:
                if not by_player.get(name):
                    raise UsageError(f"phase {phase.name!r}: a step moves {name!r}, who is not among the players that train")
        self.moved = [[p for n in step.players for p in by_player[n]] + helpers for step in phase.steps]
        self.parameters = list({id(p): p for group in self.moved for p in group}.values())
        self.optimiser = phase.optimiser.build(self.parameters)

    def _known(self, spec: Spec) -> Spec:
        """The spec with what only a phase knows: how often windows are visited, and whom augmentations may ask."""
        curriculum, judges = self.phase.curriculum, [p for p in self.phase.players.values() if p.mode == "frozen"]
        samples = (self.epoch_offset + self.phase.epochs) * self.steps * curriculum.batch
        return replace(
            spec,
            visits=None if curriculum.draws else math.ceil(samples / len(self.train)),
            judge=PlayerJudge(judges[0], self.precision) if judges else None,
        )

    def _bind(self) -> None:
        """Show the objective one dry-run batch, in eval mode so that no statistics move."""
        index = torch.arange(self.phase.curriculum.batch, device=self.device) % len(self.train)
        batch = self.augmenter(index, torch.zeros_like(index))
        outputs = {n: p.answer(self._signals(n, batch), self.precision) for n, p in self.phase.players.items()}
        self._seed("objective's first weights")
        self.phase.objective.bind(self._context(batch, outputs, Progress(0, self.phase.epochs, 0, 1)), self.train)
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
            if player.mode != "frozen" or (seeks and self._sees_students(name)):
                continue
            seen_by = None if player.augment == "clean" else self.own.get(name, self.augmenter)
            same_in_all = seen_by is None or not seen_by.changes
            if same_in_all or self.phase.curriculum.draws or bank.lasting:
                held = "+".join(sorted(self.phase.objective.needs))
                self.keys[name] = f"{bank_key(player, self.train, seen_by, self.precision)}-{held}"
                if same_in_all:
                    self.constant.add(name)

    def start(self, epoch: int) -> None:
        self.phase.curriculum.start(self.epoch_offset + epoch)
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

    def _signals(self, name: str, batch: Batch) -> Signals:
        augment = self.phase.players[name].augment
        if augment == "clean":
            return self.train.gather(batch.index)
        return self.own[name](batch.index, batch.draw).x if name in self.own else batch.x

    def _context(self, batch: Batch, outputs: Mapping[str, Outputs], progress: Progress) -> Context:
        nets = {name: player.net for name, player in self.phase.players.items()}
        masks = {name: self._mask(player, batch) for name, player in self.phase.players.items()}
        known = {name: mask for name, mask in masks.items() if mask is not None}
        return Context(batch, outputs, nets, progress, self.target, self.seed, known)

    def _mask(self, player: Player, batch: Batch) -> Tensor | None:
        """Which windows a player can see; None: all of them."""
        there = [batch.present[name] for name in player.sees.sensors if name in batch.present]
        return torch.stack(there).all(0) if there else None

    def progress(self, epoch: int, shift: int = 0) -> Progress:
        return Progress(epoch, self.phase.epochs, self.done + shift, self.phase.epochs * self.steps)

    def _look(self, batch: Batch, name: str, forward: Callable[[Tensor], Outputs] | None = None) -> Outputs:
        player = self.phase.players[name]
        if name in self.keys:
            return self.bank.look_up(self.keys[name], batch.index, batch.draw, self._draws_of(name))
        if player.mode == "frozen":
            return player.answer(self._signals(name, batch), self.precision)
        x = player.sees(self._signals(name, batch))
        self._seed(name)
        with autocast(self.device, self.precision):
            answer: Outputs = (forward or self.answer[name])(x)
        return answer

    def _seed(self, name: str) -> None:
        """Dropout draws from torch's global generator: everybody who may use it gets a stream of his own name and step."""
        seed_everything(stream(self.seed, name, self.done) >> 1, self.device)

    def _terms(self, drawn: Drawn, epoch: int, learns: bool = False) -> Terms:
        batch = self.phase.curriculum.present(self.augmenter(drawn.index, drawn.draw))
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

    def left_out(self) -> list[str]:
        """Why ops of pools were left out."""
        return list(dict.fromkeys(reason for one in (self.augmenter, *self.own.values()) for reason in one.left_out))

    def _view(self, view: Literal["clean", "again"], drawn: Drawn) -> Batch:
        """The windows of a batch in another form."""
        if view == "clean":
            return self.augmenter.clean(drawn.index, drawn.draw)
        return self.augmenter(drawn.index, drawn.draw + AGAIN)

    def step(self, epoch: int) -> dict[str, Tensor]:
        """One batch: the values of all terms, still on the device."""
        progress = self.progress(epoch)
        drawn = self.phase.curriculum.take(self.epoch_offset * self.steps + self.done)
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

    def stateful(self) -> dict[str, nn.Module]:
        """What remembers for as long as the phase lasts, beside the optimiser."""
        memory = {"augment": self.augmenter.memory} if self.augmenter.learns else {}
        return {"objective": self.phase.objective, "curriculum": self.phase.curriculum, **memory}


def reduce(term: Tensor, weight: Tensor | Mapping[str, Tensor] | None, name: str) -> Tensor:
    """Mean over the batch of a per-sample term (batch,), weighted by the curriculum; a scalar term stays as it is."""
    if term.dim() == 0:
        return term
    factor = weight.get(name) if isinstance(weight, Mapping) else weight
    return term.mean() if factor is None else (factor * term).mean()


def _reduced(terms: Terms, drawn: Drawn) -> dict[str, Tensor]:
    return {name: reduce(term, drawn.weight, name).detach() for name, term in terms.items()}


def _lasting(phases: Sequence[Phase]) -> dict[str, nn.Module]:
    """All nets that some phase trains and all hooks with a state, each once: what outlasts its phase."""
    found: dict[int, tuple[str, nn.Module]] = {}
    for number, phase in enumerate(phases):
        for name, player in phase.players.items():
            if player.mode != "frozen":
                found.setdefault(id(player.net), (f"{number} {name}", player.net))
        for place, at in enumerate(phase.at):
            if isinstance(at.do, nn.Module):
                found.setdefault(id(at.do), (f"{number} hook {place}", at.do))
    return dict(found.values())
