"""Module strategies: how a signature is carried out, one file each."""
