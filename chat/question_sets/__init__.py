"""Labelled questions that a client's answers are measured with, before and after a change of knowledge."""
