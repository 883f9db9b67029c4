"""How long the handlers of a task take here, as far as that was seen lately: what is claimed ahead follows it."""

from __future__ import annotations

FAST_SECONDS = 0.05
FAST_SAMPLES = 20
MEMORY_OF_MEAN = 0.05


class Pace:
    """The recent mean of each task's running time, in seconds."""

    def __init__(self) -> None:
        self._means: dict[str, tuple[int, float]] = {}

    def mean(self, task: str) -> float:
        """The recent mean of a task's running time; a second where nothing is known."""
        return self._means.get(task, (0, 1.0))[1]

    def is_fast(self, task: str) -> bool:
        """Whether its recent mean is under 50 ms, so that claiming more than the free places pays."""
        samples, mean = self._means.get(task, (0, 1.0))
        return samples >= FAST_SAMPLES and mean < FAST_SECONDS

    def learn(self, task: str, took: float) -> None:
        """A handler of it has ended after so many seconds."""
        samples, mean = self._means.get(task, (0, took))
        self._means[task] = (samples + 1, mean + (took - mean) * MEMORY_OF_MEAN)
