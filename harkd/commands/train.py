"""`harkd train`: a net on labels alone."""

from __future__ import annotations

from collections.abc import Sequence

from harkd.commands.cli import parse_run
from harkd.options import Train


def main(argv: Sequence[str]) -> int:
    options, machine = parse_run(Train, "harkd train", argv)
    from harkd.commands.session import copy, folder_of, session, tell
    from harkd.training import train

    with session(machine) as live:
        run = train(options, live, folder_of(machine))
        copy(run, live)
    tell(run, machine)
    return 0
