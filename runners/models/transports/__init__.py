"""How a request reaches a model: one file per transport."""
