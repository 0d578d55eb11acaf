"""What a student learns from beside its own windows, unpaired: other sensors of the same people, or another data set."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import torch

from harkd.augment.keys import stream
from harkd.datasets import Scaler, Sees, Statistics, Windows, read_card
from harkd.errors import DataError, UsageError
from harkd.nets.tied import with_own_norms
from harkd.options import Data, Distill, split_list
from harkd.parts import Parts, data_only
from harkd.player import Player

_OF = re.compile(r"([\w./-]+):(.+)")


def domains_of(options: Distill) -> dict[str, tuple[Data, str]]:
    """The data of each domain and what is seen of it, by the name of its player.

    The student's own data set keeps the student's split, by whatever name it is called: nobody may be learnt from who is tested.
    """
    mine, found = data_only(options), {}
    for place, text in enumerate(split_list(options.domains, "&"), 1):
        name, sees = named.groups() if (named := _OF.fullmatch(text)) else (mine.data, text)
        other = name != mine.data and read_card(name).name != read_card(mine.data).name
        data = replace(mine, data=name, data_folder="", split="official") if other else mine
        found[f"domain-{place}"] = data, sees
    return found


def domain(name: str, student: Player, mine: Windows, parts: Parts, sees: str, *, seed: int = 0) -> tuple[Player, Windows]:
    """The player of a domain, whose net has the student's kernels and sees at its rate, and the training windows that it sees.

    Args:
        mine: the student's training windows.
        parts: of the domain's data.
        seed: the first weights that are the domain's own are a function of it and of the name.

    Raises:
        UsageError: the domain's windows have no class in common with the student's, or another rate.
        DataError: they have one class in common.
    """
    windows = _with_classes(parts.seen_by(sees).train, mine)
    rate = student.sees.rate
    view = Sees.parse(sees if "@" in sees else f"{sees}@{rate:.10g}Hz", windows.sensors, windows.lengths)
    if not math.isclose(view.rate, rate):
        raise UsageError(
            f"{name} sees {view.text!r} and the student has {rate:g} Hz: they share kernels, so leave the rate of {name} out"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(seed, name, "initial weights") >> 1)
        net = with_own_norms(student.net, view.width, student.sees.width)
    net.scaler = Scaler.fit(Statistics.of(windows), view, net.physical if view.width == student.sees.width else ())
    return Player(net, view, domain=name), windows


def _with_classes(windows: Windows, like: Windows) -> Windows:
    """The windows of classes that `like` has too, with its numbers for them."""
    target, wanted = windows.card.target.name, list(like.classes)
    numbers = {place: wanted.index(label) for place, label in enumerate(windows.classes) if label in wanted}
    if not numbers:
        raise UsageError(f"{windows.card.name} has no class in common with {like.card.name}: {', '.join(windows.classes)}")
    if len(set(numbers.values())) < 2:
        raise DataError(f"{windows.card.name} and {like.card.name} have one class in common; at least two are needed")
    table = torch.full((len(windows.classes),), -1, dtype=torch.int64)
    table[list(numbers)] = torch.tensor(list(numbers.values()))
    kept = windows.subset((table[windows.labels] >= 0).nonzero()[:, 0])
    values = replace(kept.targets[target], values=table[kept.labels], classes=tuple(wanted))
    return replace(kept, targets=dict.fromkeys((target, like.card.target.name), values))
