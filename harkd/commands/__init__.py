"""The commands of `harkd`, one file each: `main(argv) -> exit code`."""


class Answered(Exception):
    """--help was printed."""
