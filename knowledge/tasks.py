"""Envelopes that Django-Q2 delivers, perhaps twice."""

from tenants.jobs import job


@job
def ingest_next() -> None:
    from knowledge.pipeline.ingest import ingest_next as run

    run()
