"""What the desk shows of knowledge: documents with their passages, and a client's documents on its page."""

from knowledge.admin import client_page, documents

__all__ = ["client_page", "documents"]
