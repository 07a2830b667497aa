"""Jobs of the queue: envelopes around one verb each. Every one may run twice, or at once with itself."""

from tenants.jobs import job


@job
def group_gaps() -> bool:
    """Put new unanswered questions into their groups."""
    from chat.gaps import find

    find.group_all()
    return False


@job
def follow_up_gaps() -> bool:
    """Ask the questions again whose answers have been read; True while some are still being read."""
    from chat.gaps import answer

    return answer.follow_up()


@job
def run_question_sets() -> bool:
    """Work off a slice of the oldest run; True if something is left."""
    from chat import queue
    from chat.question_sets import runs

    left = runs.work()
    if left:
        queue.soon("run_question_sets")
    return left


@job
def apply_retention() -> bool:
    """Delete what clients no longer want kept, once a day of each client."""
    from chat.retention import apply

    apply.apply_due()
    return False
