"""Localisation: where in the picture is what a phrase names? Answered by boxes, in any of the forms that models use."""
