"""What can be declared: the spec's model, YAML with positions, diagnostics, field types and errors."""
