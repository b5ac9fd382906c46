"""Metrics: what judges a prediction, one file each."""
