"""Geolocation: where on Earth was this image taken?

``fields`` defines a sample, ``coordinates`` reads a place out of an answer, ``score`` compares it with the truth,
``results`` and ``by_region`` show it. ``gazetteer`` holds the locations of places.
"""
