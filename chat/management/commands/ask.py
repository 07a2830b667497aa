"""`manage.py ask`: one question, and everything its answer was made from."""

from typing import Any

from asgiref.sync import async_to_sync
from django.core.management.base import BaseCommand, CommandError, CommandParser

from chat.llms import LlmError
from chat.serializers import LONGEST_QUESTION
from chat.workflow.preview import Preview, preview
from tenants.errors import ApiError
from tenants.management.lookup import client_named


class Command(BaseCommand):
    help = (
        "Answer a question as a client's widget would; shows passages, scores, tokens, cost. Bills and stores nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--client", required=True, metavar="ID", help="the client's id or name")
        parser.add_argument("question")

    def handle(self, *args: Any, client: str, question: str, **options: Any) -> None:
        if not 0 < len(question.strip()) <= LONGEST_QUESTION:
            raise CommandError(f"A question has 1 to {LONGEST_QUESTION} characters.")
        try:
            shown = async_to_sync(preview)(client_named(client), question)
        except (ApiError, LlmError) as error:
            raise CommandError(str(error)) from error
        self._show(shown)

    def _show(self, shown: Preview) -> None:
        for number, passage in enumerate(shown.passages, 1):
            place = f", page {passage.page}" if passage.page else ""
            self.stdout.write(f"{number}. {passage.score:.2f}  {passage.title}{place}, passage {passage.index}")
            self.stdout.write(f"   {' '.join(passage.text.split())[:160]}")
        if not shown.passages:
            self.stdout.write("No passage is near enough.")
        self.stdout.write(f"\n{self.style.SUCCESS(shown.result.text)}\n")
        for number, source in enumerate(shown.result.sources, 1):
            self.stdout.write(f"[{number}] {source['title']}: “{source['excerpt']}”")
        usage = shown.usage
        self.stdout.write(
            f"\n{shown.result.outcome} by {usage.model or 'no model'} in {shown.seconds:.2f} s: "
            f"{usage.prompt_tokens} tokens in, {usage.completion_tokens} out, ${shown.cost:.6f}"
        )
