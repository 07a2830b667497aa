"""What a deleted client leaves of its documents outside the database: vectors, stored files, cached embeddings."""

import shutil
import uuid
from pathlib import Path

from django.conf import settings
from django.core.cache import cache

from knowledge.embeddings.cache import KEY, forget_questions
from knowledge.vectors import VectorStore
from tenants import erasure


def register() -> None:
    """Have them erased with their client."""
    erasure.register("vectors", _count_vectors, _erase_vectors)
    erasure.register("stored files", _count_files, _erase_files)
    erasure.register_keys("cached embeddings", cache.make_key(KEY.format(owner="CLIENT", rest="*")))
    erasure.register_memory(forget_questions)


def _count_vectors(client_id: uuid.UUID) -> int:
    return VectorStore.for_client(client_id).count()


def _erase_vectors(client_id: uuid.UUID) -> None:
    VectorStore.for_client(client_id).delete_all()


def _directory(client_id: uuid.UUID) -> Path:
    """Where the client's uploads are (`stored_name` in knowledge/models.py)."""
    return Path(settings.MEDIA_ROOT) / str(client_id)


def _count_files(client_id: uuid.UUID) -> int:
    return sum(1 for path in _directory(client_id).rglob("*") if path.is_file())


def _erase_files(client_id: uuid.UUID) -> None:
    shutil.rmtree(_directory(client_id), ignore_errors=True)
