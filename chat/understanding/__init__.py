"""What a visitor means: the language, small talk, and what a follow-up hangs on."""
