"""A document's state in the words of the contract: answered to who asks, and sent to Express."""

from typing import Any

from knowledge.models import Chunk, DocumentVersion


def body(version: DocumentVersion) -> dict[str, Any]:
    """The contract's status body; inside the client's scope. Needs `version.document`."""
    completed = version.status == DocumentVersion.Status.COMPLETED
    points = Chunk.objects.filter(version_id=version.pk).order_by("index").values_list("pk", flat=True)
    return {
        "documentId": version.document.external_id,
        "status": version.status,
        "progress": version.progress,
        "currentStep": version.step,
        "chunksTotal": version.chunks_total,
        "chunksProcessed": version.chunks_processed,
        "qdrantPointIds": [str(pk) for pk in points] if completed else [],
        "errorMessage": version.error_message or None,
    }
