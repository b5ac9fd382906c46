"""Prompt formats: how a signature becomes messages and a reply becomes values."""
