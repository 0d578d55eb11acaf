"""The command line: `harkd COMMAND ...`. Commands are imported when they are called, so that every --help is quick."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version

from harkd.commands import Answered
from harkd.errors import HarkdError, Interrupted, UsageError, unknown

COMMANDS = {
    "demo": "distil a student on real smartwatch recordings, and write a report",
    "train": "train a net on labels alone",
    "distill": "train a student with the help of a teacher that sees more",
    "compare": "find out which augmentation, method or student really helps",
    "evaluate": "score a finished run, subject by subject",
    "export": "write a finished run as files for a watch, and check them",
    "predict": "let an exported model decide about a recording, as the watch would",
    "stream": "let an exported model decide about samples as they come in",
    "report": "write one page about some finished runs",
    "track": "copy finished runs to TensorBoard or MLflow",
    "list": "what there is: nets, methods, datasets",
    "augment": "what augmentations there are, and what they do to your recordings",
    "data": "get, check, prepare and look at data sets, or describe your own",
}
INTERRUPTED = 130


def usage() -> str:
    """The text of `harkd --help`."""
    rows = "\n".join(f"  {name:<10} {summary}" for name, summary in COMMANDS.items())
    return f"""usage: harkd COMMAND [OPTIONS]

Train and distil recognisers of wearable recordings that run on a watch.

{rows}

harkd COMMAND --help tells a command's options, harkd --version the version."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0: done; 1: it failed; 2: it was asked for wrongly; 130: it was interrupted, and what was done is saved.
    """
    try:
        status = _run(list(sys.argv[1:] if argv is None else argv))
        if sys.stdout is not None:
            sys.stdout.flush()  # here rather than when Python exits, so that a failure can be told
        return status
    except HarkdError as problem:
        _complain(str(problem))
        return 2 if isinstance(problem, UsageError) else INTERRUPTED if isinstance(problem, Interrupted) else 1
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        _mute()  # whoever reads along, like `head`, has seen enough
        return 0
    except OSError as problem:
        _mute()
        where = f"{problem.filename}: " if problem.filename else ""
        _complain(f"{where}{problem.strerror or problem}")
        return 1


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if words else 2
    if words[0] == "--version":
        print(f"harkd {version('harkd')}")
        return 0
    if words[0].startswith("-"):
        near = get_close_matches(words[0], ["--help", "--version"], n=1)
        hint = f"did you mean {near[0]}?" if near else "options come after a command; see harkd --help"
        raise UsageError(f"unknown option {words[0]}: {hint}")
    if words[0] not in COMMANDS:
        raise unknown("command", words[0], COMMANDS)
    with suppress(Answered):
        status: int = import_module(f"harkd.commands.{words[0]}").main(words[1:])
        return status
    return 0


def _complain(text: str) -> None:
    if sys.stderr is not None:  # print(file=None) would write to standard output
        with suppress(OSError):
            print(f"harkd: {text}", file=sys.stderr, flush=True)


def _mute() -> None:
    """Send standard output nowhere if it cannot be written to: what it still holds would fail again when Python exits."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
