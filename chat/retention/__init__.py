"""How long a client's conversations are kept, and the job that deletes them exactly to the day."""
