"""Features: one readable room for each promise to the user, all through the same door (`protocol`).

The list is short on purpose. `then=` is here to prove the door; unique keys, limits, batches, workflows
and schedules get their rooms next to it.
"""

from __future__ import annotations

from unstuck.features.following import Following
from unstuck.features.protocol import Feature
from unstuck.model.job import NewJob

FOLLOWING: Feature[tuple[NewJob, ...]] = Following()

__all__ = ["FOLLOWING", "Feature", "Following"]
