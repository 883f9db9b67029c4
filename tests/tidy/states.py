"""docs/states.md, made from the one table of states; `python -m tests.tidy.states` writes it anew."""

from __future__ import annotations

from tests.tidy.reading import ROOT
from unstuck.model.states import ENDED, MEANING, Reason, diagram

PAGE = ROOT / "docs" / "states.md"


def page() -> str:
    """The whole page."""
    final = [f"`{state}`" for state in ENDED]
    return "\n".join(
        [
            "# The life of a job",
            "",
            "Made from `model/states.py` by `python -m tests.tidy.states`; a test compares the two.",
            "",
            "```mermaid",
            diagram(),
            "```",
            "",
            "A job that has not ended is owned (`running`), has an alarm (`scheduled`, `waiting`), or is in plain",
            f"sight of every worker of its queue (`ready`). {', '.join(final[:-1])} and {final[-1]} are final; only an",
            "operator brings such a job back (`revive`), as a new generation. A job can be pruned once it has ended.",
            "",
            "## Reasons",
            "",
            "Why a job stands where it stands: a closed list. Most jobs have none, and a claim clears it.",
            "",
            "| reason | what it says |",
            "| --- | --- |",
            *(f"| `{reason}` | {MEANING[reason]} |" for reason in Reason),
            "",
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page())
