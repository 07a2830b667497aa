"""The web process's connections to PostgreSQL: a server that says nothing costs a request seconds, not for ever.

`statement_timeout` is the server's own deadline, which one that is stopped, swapped out or behind a dead network does
not keep; so there is one on this side, too. Migrations, backups and workers take as long as they need.
"""

from typing import Any

import psycopg
from django.conf import settings

MARGIN = 1.0  # seconds in which a server that is well has told that it cancelled a statement


class Connection(psycopg.Connection[Any]):
    """Closed when the server has said nothing for MARGIN longer than a statement may take: OperationalError."""

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        options.setdefault("timeout", settings.DATABASE_STATEMENT_SECONDS + MARGIN)
        try:
            return super().wait(gen, *args, **options)
        except psycopg.OperationalError as error:
            if error.sqlstate is None:  # not the server's word: nobody knows what this connection would say next
                self.pgconn.finish()
            raise
