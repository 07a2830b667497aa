"""Staffed hours as people write them."""

from datetime import datetime, time
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError


def times_of_day(text: str) -> list[tuple[time, time]]:
    """ "09:00-12:30, 13:30-17:00" as pairs of times; ValueError for anything else. 24:00 is the end of the day."""
    spans = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        start, end = map(_time, part.split("-"))
        if start >= end:
            raise ValueError(part)
        spans.append((start, end))
    return spans


def validate_hours(text: str) -> None:
    try:
        times_of_day(text)
    except ValueError:
        raise ValidationError('Write the hours as "09:00-12:30, 13:30-17:00"; leave a free day empty.') from None


def validate_time_zone(name: str) -> None:
    """A name of the IANA data base, such as Europe/Berlin."""
    if name not in available_timezones():
        raise ValidationError("Write a time zone's name, such as Europe/Berlin or UTC.")


def _time(text: str) -> time:
    text = text.strip()
    return time.max if text == "24:00" else datetime.strptime(text, "%H:%M").time()
