"""Jobs of the queue: envelopes around one verb each. Every one may run twice, or at once with itself."""

from tenants import timetable
from tenants.jobs import job


@job
def group_gaps() -> None:
    """Put new unanswered questions into their groups."""
    from chat.gaps import find

    find.group_all()


@job
def follow_up_gaps() -> None:
    """Ask the questions again whose answers have been read."""
    from chat.gaps import answer

    answer.follow_up()


@job
def run_question_sets() -> None:
    """Work off a slice of the oldest run, and ask for the next one."""
    from chat.question_sets import runs

    if runs.work():
        timetable.soon("chat.tasks.run_question_sets")


@job
def apply_retention() -> None:
    """Delete what clients no longer want kept, once a day of each client."""
    from chat.retention import apply

    apply.apply_due()
