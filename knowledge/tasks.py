"""Envelopes that Django-Q2 delivers, perhaps twice: ids go in, one verb runs."""

import uuid


def ingest(client_id: str, version_id: int) -> None:
    from knowledge.pipeline.ingest import ingest as run

    run(uuid.UUID(client_id), version_id)
