"""Envelopes that Django-Q2 delivers, perhaps twice: ids go in, one verb runs."""

import uuid

from tenants.jobs import job


@job
def erase_client(client_id: str) -> None:
    from tenants.erasure import erase

    erase(uuid.UUID(client_id))
