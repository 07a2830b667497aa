"""What the desk shows of chat: conversations, and keys, widget and answers on a client's page."""

from chat.admin import client_page, conversations, people

__all__ = ["client_page", "conversations", "people"]
