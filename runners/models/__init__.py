"""Language models: requests, completions and the layers between a program and a provider."""
