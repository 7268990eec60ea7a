"""What fits which card, known on the login node before anything is queued.

A model's *shape* (:mod:`.shapes`), counted once where torch is, the sample it is shown (:mod:`.images`) and a cell's
settings give every part of its memory (:mod:`.memory`, :mod:`.activations`); :mod:`.cards` tells what a card reports,
:mod:`.choose` the largest micro-batch and the cheapest setting, :mod:`.measured` what finished attempts really took.
Imports no torch.
"""
