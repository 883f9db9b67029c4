"""`python -m unstuck.demo.leashed PARENT COMMAND…`: run a command that goes when the demo goes.

It asks the kernel for a SIGKILL at its parent's death, a wish that survives `exec`, and becomes the
command. So a demo that is itself killed leaves no supervisor behind; elsewhere than on Linux it may.
"""

from __future__ import annotations

import os
import sys

from unstuck.engine.framing import die_with_parent

if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
