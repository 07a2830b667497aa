"""What the desk shows of knowledge: documents, passages, undelivered callbacks, and a client's on its page."""

from knowledge.admin import callbacks, client_page, documents

__all__ = ["callbacks", "client_page", "documents"]
