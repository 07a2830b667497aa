"""What the desk shows of billing: plans, use, budgets and payments, invoices, and both on a client's page."""

from billing.admin import books, invoices

__all__ = ["books", "invoices"]
