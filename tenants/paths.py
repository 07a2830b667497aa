"""Ids in addresses."""

from django.urls import converters


class IdConverter(converters.UUIDConverter):
    """`<id:name>` in a route: a UUID in either case, as bodies take it. Django's `uuid` knows lower case only, and
    iOS writes upper case."""

    regex = rf"(?i:{converters.UUIDConverter.regex})"
