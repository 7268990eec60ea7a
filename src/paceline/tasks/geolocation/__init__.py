"""Geolocation: where on Earth was this image taken?

``fields`` says what a sample holds, ``coordinates`` reads a place out of an answer, ``score`` holds it to the truth,
``results`` and ``by_region`` show it. ``gazetteer`` knows where places are.
"""
