"""Captions of pictures from above: captioning, and which land-cover words are found and claimed."""
