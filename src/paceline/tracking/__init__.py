"""Curves, tables and pictures for display: W&B and Trackio, the upload from a login node, and dashboards."""
