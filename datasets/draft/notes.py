"""What a draft says beside the card: what was found, what was guessed and why, what a person has to decide."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Notes:
    """Remarks, each of a guess or a question at a key of the card such as `files.pattern` or `sensors.acc.units`."""

    found: list[str] = field(default_factory=list)
    guessed: list[tuple[str, str]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def tell(self, text: str) -> None:
        self.found.append(text)

    def guess(self, key: str, text: str) -> None:
        if (key, text) not in self.guessed:
            self.guessed.append((key, text))

    def ask(self, key: str, text: str) -> None:
        if (key, text) not in self.asked:
            self.asked.append((key, text))

    def at(self, key: str) -> list[str]:
        """The comments of a key, as the card carries them."""
        told = [f"# guessed: {text}" for at, text in self.guessed if at == key]
        return told + [f"# TODO: {text}" for at, text in self.asked if at == key]


def some(names: list[str], most: int = 3) -> str:
    """The first of some names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def many(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun[:-1] + 'ies' if noun.endswith('ry') else noun + 's'}"
