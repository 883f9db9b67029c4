"""The peers, one file each. A class with a `name` is a peer; `find` and `all_peers` go through the folder."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from benchmarks.peer import Peer


@cache
def all_peers() -> dict[str, type[Peer]]:
    """Every peer by name; importing their files needs none of their packages."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    found: dict[str, type[Peer]] = {}
    classes = [Peer]
    while classes:
        for known in classes.pop().__subclasses__():
            classes.append(known)
            if "name" in vars(known):
                found[known.name] = known
    return found


def find(name: str) -> type[Peer]:
    """The peer of this name. Raises KeyError with the names there are."""
    try:
        return all_peers()[name]
    except KeyError:
        raise KeyError(f"no peer {name!r}; there are {', '.join(sorted(all_peers()))}") from None
