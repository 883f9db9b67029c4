"""Finding the application that a command line names: `package.module:app`.

The name comes from whoever starts the worker, never from stored data. Whatever goes wrong is one clear
sentence; the traceback of the user's own module is kept as the cause.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from unstuck.engine.handler import Application
from unstuck.model.errors import BadSetting


def load_application(name: str) -> Application:
    """The application under `package.module:attribute`, its task modules imported.

    Raises BadSetting where the name is malformed, the module does not import, or what is found there is
    not an App.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise BadSetting(f"{name!r} does not name an app: write package.module:app")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise BadSetting(
                f"the app {name!r} cannot be found: there is no module {error.name!r} here"
            ) from error
        raise BadSetting(f"the app {name!r} does not import: {error}") from error
    except Exception as error:
        raise BadSetting(f"the app {name!r} does not import: {type(error).__name__}: {error}") from error
    found: object = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
        if found is None:
            raise BadSetting(f"the module {module_name!r} has no {attribute!r}")
    if not all(hasattr(found, needed) for needed in ("handlers", "keeper", "load_tasks", "join")):
        raise BadSetting(f"{name!r} is a {type(found).__name__}, not an App")
    application: Application = found  # type: ignore[assignment]
    try:
        application.load_tasks()
    except BadSetting:
        raise
    except Exception as error:
        raise BadSetting(f"the tasks of {name!r} do not import: {type(error).__name__}: {error}") from error
    return application
