"""The artifact, wherever it is needed: one file per target of `promptc export`."""
