"""What can be changed at the desk of gaps, question sets, retention and staffed hours (see desk_changes.py)."""

from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile

from chat.models import EvaluationRun, Gap, LabelledQuestion, QuestionSet, Retention, SupportHours
from tenants.models import Client
from tests.config.desk import Change, added, changed, deleted, ticked

ALIKE_OF_CHAT = {
    "chat.questionset change": "as chat_questionset_rename",
    "chat.questionset delete_selected": "as delete",
    "chat.labelledquestion delete_selected": "as delete",
    "chat.supporthours delete_selected": "as delete",
}


def changes_of_chat(rows: Any, client: Client) -> list[Change]:
    return [*_of_gaps(rows[Gap]), *_of_question_sets(rows, client), *_of_the_client(rows, client)]


def _of_gaps(gap: Gap) -> list[Change]:
    base = f"/admin/chat/gap/{gap.pk}"
    answer = {"question": "Do you ship to Norway?", "answer": "Yes, within six days."}
    state = lambda *names: [{"state": name} for name in names]  # noqa: E731
    return [
        Change("chat_gap_dismiss", f"{base}/dismiss/", {}, "dismiss gap", *state("open", "dismissed")),
        Change("chat_gap_reopen", f"{base}/reopen/", {}, "reopen gap", *state("dismissed", "open")),
        Change("chat_gap_resolve", f"{base}/resolve/", {}, "resolve gap", *state("open", "resolved")),
        Change(
            "chat.gap dismiss_gaps",
            "/admin/chat/gap/?state=all",
            ticked(gap, "dismiss_gaps"),
            "dismiss gap",
            *state("resolved", "dismissed"),
        ),
        Change("chat_gap_answer", f"{base}/answer/", answer, "answer gap", {}, {"question": answer["question"]}),
        Change("chat_gap_look", "/admin/chat/gap/look/", {}, "group gaps"),
    ]


def _of_question_sets(rows: Any, client: Client) -> list[Change]:
    mine, question, run = rows[QuestionSet], rows[LabelledQuestion], rows[EvaluationRun]
    base = f"/admin/chat/questionset/{mine.pk}"
    file = SimpleUploadedFile("q.csv", b"question,expected,answerable\nWho won in 1987?,,no\n")
    asked = {"question": "Where are you?", "expected": "Harbour Street"}
    return [
        Change("chat_questionset_rename", f"{base}/rename/", {"name": "Basics"}, "change", {"name": mine.name},
               {"name": "Basics"}),
        Change("chat_questionset_ask", f"{base}/ask/", asked, "add question", {}, {"question": "Where are you?"}),
        Change("chat_questionset_import", f"{base}/import/", {"file": file, "how": "add"}, "import questions",
               {"questions": 2}, {"questions": 3}),
        changed("chat.labelledquestion", question.pk, {**asked, "answerable": "on"},
                {"question": question.question}, {"question": "Where are you?"}),
        Change("chat_evaluationrun_stop", f"/admin/chat/evaluationrun/{run.pk}/stop/", {}, "stop run"),
        Change("chat_questionset_run", f"{base}/run/", {}, "run questions", {}, {"questions": 3}),
        deleted("chat.labelledquestion", question.pk, {"question": "Where are you?"}),
        deleted("chat.questionset", mine.pk, {"name": "Basics"}),
        added("chat.questionset", {"client": client.pk, "name": "More"}, {"name": "More"}),
    ]  # fmt: skip


def _of_the_client(rows: Any, client: Client) -> list[Change]:
    hours, rule = rows[SupportHours], rows[Retention]
    monday = {"monday": "09:00-17:00"}
    week = {"time_zone": "Europe/Berlin", **monday}
    kept = {"days": "30", "time_zone": "Europe/Berlin"}
    return [
        changed("chat.supporthours", hours.pk, week, {"monday": hours.monday}, monday),
        deleted("chat.supporthours", hours.pk, monday),
        added("chat.supporthours", {**week, "client": client.pk}, monday),
        Change("client_retention", f"/admin/tenants/client/{client.pk}/retention/", kept, "change retention",
               {"conversation_days": rule.conversation_days}, {"conversation_days": 30}),
    ]  # fmt: skip
