"""How a program runs: models, formats, modules, metrics, evaluation, statistics, effects and run directories."""
