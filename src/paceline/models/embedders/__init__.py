"""Embedders: what makes one vector of a text. One module for each way of pooling.

``python -m paceline.models.embedders.embed_lines`` is what :func:`paceline.models.embedding.embed` runs.
"""
