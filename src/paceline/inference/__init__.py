"""Answering: evaluate cells, one model's answers to a question, and what an answer hangs on."""
