"""What a supervisor must know of an application, learned without importing it.

The supervisor never runs user code, so a process of its own imports the application and says where its
store is; it also finds out, before anything is started, whether the application imports at all.
"""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec

from unstuck.engine.framing import write_frame
from unstuck.engine.importing import load_application
from unstuck.model.errors import BadSetting, UnstuckError


class Description(msgspec.Struct):
    """Where an application's store is, and the names of its tasks and their queues."""

    url: str = ""
    prefix: str = ""
    tasks: list[str] = []
    event_log: bool = False
    wrong: str = ""


def describe(application: str, environment: dict[str, str] | None = None) -> Description:
    """Ask a process of its own. Raises BadSetting in the words of the one that imported."""
    ours, theirs = os.pipe()
    command = [sys.executable, "-m", "unstuck.engine.describing", application, str(theirs)]
    process = subprocess.Popen(command, pass_fds=(theirs,), stdin=subprocess.DEVNULL, env=environment)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        said = pipe.read()
    if process.wait() != 0 or len(said) < 4:
        raise BadSetting(
            f"the app {application!r} cannot be imported: its process ended with {process.returncode}"
        )
    found = msgspec.msgpack.decode(said[4:], type=Description)
    if found.wrong:
        raise BadSetting(found.wrong)
    return found


def main() -> None:
    """Describe the application named on the command line."""
    with os.fdopen(int(sys.argv[2]), "wb") as pipe:
        try:
            application = load_application(sys.argv[1])
            said = Description(
                application.url, application.prefix, sorted(application.handlers), application.event_log
            )
        except UnstuckError as error:
            said = Description(wrong=str(error))
        write_frame(pipe, said)


if __name__ == "__main__":
    main()
