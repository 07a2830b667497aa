"""People who answer instead of the model: who has a conversation, what they write, and who hears of it."""
