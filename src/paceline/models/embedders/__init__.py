"""Embedders: what makes one vector of a text or a picture. One module for each way of pooling.

``python -m paceline.models.embedders.embed_lines`` is what :func:`paceline.models.embedding.embed` runs, and
``paceline.inference.embed_picture_lines``, which decodes pictures, what ``embed_pictures`` runs.
"""
