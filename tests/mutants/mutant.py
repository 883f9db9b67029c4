"""What a mutant is: one text in one file, and what it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = Path("src") / "unstuck"
SEEDS = "seeds"
"""As a killer: seeds of the simulated world, until one of them breaks a promise."""


@dataclass(frozen=True)
class Mutant:
    """`file` is below `src/unstuck`. `what` is the bug in one sentence, `breaks` the promise it breaks.

    `killers` are likely to notice, the likeliest first: arguments of pytest, the path below `tests`, or
    `seeds` with the name of a world.
    """

    name: str
    file: str
    old: str
    new: str
    what: str
    breaks: str
    killers: tuple[str, ...]

    def path(self, root: Path = ROOT) -> Path:
        """The file that it is planted in."""
        return root / PACKAGE / self.file

    def planted(self, text: str) -> str:
        """The file's text with the bug in it. Raises ValueError where it does not fit the text any more."""
        found = text.count(self.old)
        if found != 1:
            raise ValueError(f"{self.name}: its text stands {found} times in {self.file}, not once")
        if self.new == self.old:
            raise ValueError(f"{self.name} changes nothing")
        return text.replace(self.old, self.new)
