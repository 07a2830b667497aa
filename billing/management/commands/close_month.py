"""Issue the invoices of a month that is over."""

import argparse
from datetime import date, datetime, timedelta
from typing import Any

import structlog
from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing import invoices, usage
from tenants.models import Client

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    help = "Make one invoice per client for a month (default: the last one). Safe to run again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--month", type=_month, help="As YYYY-MM; default: last month.")

    def handle(self, *args: Any, month: date | None = None, **options: Any) -> None:
        month = month or usage.this_month() - timedelta(days=1)
        _, end = usage.month_bounds(month)
        issued, waiting, failed = 0, [], []
        for client in Client.objects.filter(created__lt=end).order_by("created", "pk"):
            try:
                issued += invoices.close(client, month) is not None
            except invoices.NotYet as error:
                waiting.append(str(error))
            except Exception:  # the others' bills go out all the same
                log.exception("a month was not closed", client_id=str(client.pk))
                failed.append(f"{client.name} ({client.pk}) has no invoice: the log says why.")
        self.stdout.write(f"{month:%Y-%m}: {issued} invoices issued")
        if waiting or failed:
            raise CommandError("\n".join(dict.fromkeys(waiting + failed)))


def _month(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m").date()
    except ValueError:
        raise argparse.ArgumentTypeError("Write the month as YYYY-MM.") from None
