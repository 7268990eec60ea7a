"""Geometry of the page's charts, in pixels, one module each; the templates draw it.

All follow ``style``: Okabe and Ito's colours, which all readers can distinguish, and a shape or a dash beside each
colour; one hue from light to dark where a colour stands for a number, so that it is read in grey print too.
"""
