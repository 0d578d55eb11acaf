"""`harkd distill`: a student with the help of a teacher that sees more."""

from __future__ import annotations

from collections.abc import Sequence

from harkd.commands.cli import parse_run
from harkd.options import Distill


def main(argv: Sequence[str]) -> int:
    options, machine = parse_run(Distill, "harkd distill", argv)
    from harkd.cast import unasked
    from harkd.commands.session import copy, folder_of, session, tell
    from harkd.training import distill

    with session(machine) as live:
        if told := unasked(options):
            live.display.say(told)
        run = distill(options, live, folder_of(machine))
        copy(run, live)
    tell(run, machine)
    return 0
