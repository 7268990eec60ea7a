"""Captioning: say in free text what a picture shows, held to one or several reference captions."""
