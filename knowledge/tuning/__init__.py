"""Weights and thresholds from labelled questions: how well retrieval finds, and when it should refuse."""
