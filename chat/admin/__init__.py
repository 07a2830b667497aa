"""What the desk shows of chat: conversations, gaps, question sets, and keys, widget, answers and retention on a
client's page."""

from chat.admin import client_page, conversations, gaps, people, question_sets, retention

__all__ = ["client_page", "conversations", "gaps", "people", "question_sets", "retention"]
