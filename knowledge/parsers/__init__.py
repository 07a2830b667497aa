"""Files in, text with structure out. Untrusted files are only ever opened in the child process.

The child imports this package too, so nothing here may import Django.
"""

from knowledge.parsers.base import Block, Parsed, ParseError
from knowledge.parsers.detect import check_type
from knowledge.parsers.sandbox import parse

__all__ = ["Block", "ParseError", "Parsed", "check_type", "parse"]
