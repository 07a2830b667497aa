"""What a deleted client leaves of its chats outside the database: tapes and cached answers."""

from chat import answer_cache
from tenants import erasure


def register() -> None:
    """Have them erased with their client."""
    erasure.register_memory(answer_cache.forget)
    erasure.register_keys("cached answers", "answer:{CLIENT}:*", "answers:{CLIENT}:*")
    erasure.register_keys("tapes", "tape:CLIENT:*", "followed:CLIENT:*")
