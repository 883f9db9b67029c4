"""Where the server is: read from a URL once, with what every connection of ours asks of the line to it.

A connection names itself, gives up when nobody answers, and notices within a minute that a host has vanished, even
where nobody set a deadline; of several hosts it takes one that may be written to. Whatever the URL says of these
goes before. What is shown to people has no password.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from unstuck.model.errors import BadSetting

CONNECT_SECONDS = 10


@dataclass(frozen=True)
class Address:
    """Where the server is, and how it is named in messages: without the password."""

    conninfo: str = field(repr=False)
    shown: str

    @classmethod
    def of(cls, url: str, application: str) -> Address:
        """The address in a URL. Raises BadSetting where libpq cannot read it."""
        try:
            parts = conninfo_to_dict(url)
        except psycopg.Error as error:
            raise BadSetting(f"the URL of the store cannot be read: {str(error).strip()}") from None
        host = str(parts.get("host") or parts.get("hostaddr") or os.environ.get("PGHOST") or "localhost")
        port = str(parts.get("port") or os.environ.get("PGPORT") or "5432")
        name = str(parts.get("dbname") or os.environ.get("PGDATABASE") or "")
        user = f"{parts['user']}@" if parts.get("user") else ""
        extra: dict[str, Any] = {
            "application_name": parts.get("application_name") or application,
            "connect_timeout": parts.get("connect_timeout") or CONNECT_SECONDS,
            # A host that vanished is noticed within a minute even where nobody sets a deadline.
            "keepalives_idle": parts.get("keepalives_idle") or 30,
            "keepalives_interval": parts.get("keepalives_interval") or 10,
            "keepalives_count": parts.get("keepalives_count") or 3,
            "tcp_user_timeout": parts.get("tcp_user_timeout") or 30_000,
        }
        if "," in host:
            extra["target_session_attrs"] = parts.get("target_session_attrs") or "read-write"
        return cls(make_conninfo(url, **extra), f"postgresql://{user}{host}:{port}/{name}")
