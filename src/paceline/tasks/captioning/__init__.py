"""Captioning: describe a picture in free text, compared with one or several reference captions."""
