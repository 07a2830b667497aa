"""The first verb: a document becomes searchable passages."""
