"""Envelopes that Django-Q2 delivers, perhaps twice: ids go in, one verb runs."""

import uuid

from tenants.jobs import job


@job
def erase_client(client_id: str) -> None:
    from tenants.erasure import erase

    erase(uuid.UUID(client_id))


@job
def resume_erasures() -> None:
    """Take up the erasures whose job failed, was killed or was lost."""
    from tenants.erasure import resume

    resume()
