"""Curves, tables and pictures for people: W&B and Trackio, the upload from a login node, and dashboards."""
