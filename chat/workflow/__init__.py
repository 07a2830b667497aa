"""The second verb: a question becomes a cited answer. `graph.py` orders the nodes; `answers.py` runs it."""
