"""What the desk shows of knowledge: documents with their passages, and a client's documents on its page."""

from knowledge.admin import callbacks, client_page, documents

__all__ = ["callbacks", "client_page", "documents"]
