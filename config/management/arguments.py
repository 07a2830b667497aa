"""What commands take as arguments."""

import argparse


def port_number(text: str) -> int:
    """A TCP port that can be listened on, for argparse."""
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text} is no port: a number from 1 to 65535.")
    return int(text)
