"""PostgreSQL's own barrier between clients, underneath the scoped managers.

Every client-owned table has a policy (tenants/policies.py) that shows and takes only rows of the client in
scope. The scope is a variable of the transaction that only the database can write validly: this process
signs a client's id with a key derived from SECRET_KEY, the function `tenancy.enter` checks the signature
and binds the scope to the running transaction. So neither SQL smuggled into a query nor a value left over
in a pooled connection opens another client's rows. On SQLite there is no such barrier.
"""

import hashlib
import hmac
import time
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.utils.crypto import salted_hmac

EVERYONE = "*"


def open_scope(scope: str, alias: str = DEFAULT_DB_ALIAS) -> None:
    """Make `scope` (a client's id, or EVERYONE) the scope of the running transaction, in one round trip.

    That only reads, so it works in the read-only transactions of a streaming replica too. A rollback, to a savepoint
    too, brings back the scope from before; the end of the transaction closes it. The statement goes out together with
    the BEGIN that psycopg may still owe; and from a cursor of psycopg's own, which keeps parameters out of its text,
    so that `pg_stat_activity` shows no signature.
    """
    issued = int(time.time())
    signature = hmac.digest(process_key(settings.SECRET_KEY), f"{scope}@{issued}".encode(), "sha256")
    database: Any = connections[alias]
    raw = database.connection
    together = nullcontext() if raw.pgconn.pipeline_status else raw.pipeline()  # leaving an inner one would wait
    with database.wrap_database_errors, together, _plain_cursor(raw) as cursor:
        cursor.execute("SELECT tenancy.enter(%s, %s, %s)", (scope, issued, signature))


def close_scope() -> None:
    """Leave the running transaction without a scope."""
    with connection.wrap_database_errors, _plain_cursor(connection.connection) as cursor:
        cursor.execute("SELECT set_config('tenancy.scope', '', true)")


def _plain_cursor(raw: Any) -> Any:
    from psycopg import Cursor  # on SQLite it is never loaded

    return Cursor(raw)


@lru_cache(maxsize=8)
def process_key(secret: str) -> bytes:
    """The key that scopes are signed with, derived from a SECRET_KEY."""
    return salted_hmac("tenants.row_security", "scope", secret=secret, algorithm="sha256").digest()


def pads(key: bytes) -> tuple[bytes, bytes]:
    """The inner and the outer key block of HMAC-SHA-256 (RFC 2104), as the database keeps them."""
    block = key.ljust(hashlib.sha256().block_size, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)
