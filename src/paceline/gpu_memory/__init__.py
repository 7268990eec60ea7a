"""What fits which card, known on the login node before anything is queued.

A model's *shape* (:mod:`.shapes`), counted once where torch is, the sample it is shown (:mod:`.image_tokens`) and a
cell's settings give every part of its memory (:mod:`.tuning`, :mod:`.activations`); :mod:`.choose` gives the largest
micro-batch and the cheapest setting on a card of :mod:`paceline.config.gpus`, :mod:`.measured` what finished attempts
took. Imports no torch.
"""
