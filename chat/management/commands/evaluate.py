"""`manage.py evaluate`: how good a client's answers are, on a labelled set of questions."""

import asyncio
import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from chat import evaluation
from tenants.management.lookup import client_named
from tenants.models import Client


class Command(BaseCommand):
    help = (
        "Ask every question of a CSV (columns: question, expected document or words, answerable yes/no) and print "
        "recall, MRR, citation and refusal figures, cost and latency. Bills and stores nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--client", required=True, metavar="ID", help="the client's id or name")
        parser.add_argument(
            "--json", action="store_true", help="print one JSON object, with every question, for scripts"
        )
        parser.add_argument("questions", type=Path, help="the CSV file, in UTF-8")

    def handle(self, *args: Any, client: str, questions: Path, **options: Any) -> None:
        try:
            with questions.open(encoding="utf-8-sig", newline="") as lines:
                cases = evaluation.read_cases(lines)
        except UnicodeDecodeError as error:
            raise CommandError("The file is not in UTF-8. Save it as “CSV UTF-8”.") from error
        except (OSError, ValueError) as error:
            raise CommandError(str(error)) from error
        asked = client_named(client)
        for words in evaluation.unheard_of(asked, cases):
            self.stderr.write(f"no document is called “{words}” or says it: the expectation can't be met")
        outcomes = asyncio.run(self._asked(asked, cases))
        figures = evaluation.figures(outcomes)
        if options["json"]:
            rows = [_row(outcome) for outcome in outcomes]
            self.stdout.write(json.dumps({**figures, "rows": rows}, ensure_ascii=False))
            return
        for name, value in figures.items():
            self.stdout.write(f"{name:20} {'-' if value is None else value}")
        for outcome in outcomes:
            if outcome.error:
                self.stderr.write(f"no answer to “{outcome.case.question}”: {outcome.error}")

    async def _asked(self, client: Client, cases: list[evaluation.Case]) -> list[evaluation.Outcome]:
        with tqdm(total=len(cases), unit="question", disable=None) as bar:
            outcomes = []
            async for outcome in evaluation.run(client, cases):
                outcomes.append(outcome)
                bar.update()
        return outcomes


def _row(outcome: evaluation.Outcome) -> dict[str, Any]:
    result = outcome.preview.result if outcome.preview else None
    return {
        "question": outcome.case.question,
        "answer": result.text if result else None,
        "outcome": result.outcome if result else "error",
        "rank": outcome.rank,
        "citations": outcome.citations,
        "error": outcome.error or None,
    }
