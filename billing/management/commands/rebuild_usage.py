"""Recompute the hourly usage figures from the ledger and compare them with those kept."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from billing import usage
from billing.models import UsageHour, UsageRecord
from tenants.scoping import client_scope, unscoped


class Command(BaseCommand):
    help = "Rebuild UsageHour from the ledger. The last line says how many differences remain; with some, exit code 1."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="Compare only; write nothing.")

    def handle(self, *args: Any, check: bool = False, **options: Any) -> None:
        with unscoped("usage of all clients is rebuilt"):
            clients = {
                *UsageRecord.objects.values_list("client_id", flat=True).distinct().order_by(),
                *UsageHour.objects.values_list("client_id", flat=True).distinct().order_by(),
            }
        remaining = 0
        for client_id in sorted(clients):
            with client_scope(client_id):
                found = usage.rebuild(write=not check)
                remaining += found.differences if check else usage.rebuild(write=False).differences
            if found.behind or found.differences:
                verb = "wrong" if check else "corrected"
                self.stdout.write(
                    f"{client_id}: {found.hours} hours, {found.behind} not kept yet, {found.differences} {verb}"
                )
        self.stdout.write(f"{remaining} differences")
        if remaining:
            sys.exit(1)
