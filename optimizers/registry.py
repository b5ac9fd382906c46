"""The optimizers that come with promptc, by name."""

from __future__ import annotations

OPTIMIZERS: dict[str, str] = {
    "auto": "promptc.optimizers.auto:Auto",
    "labeled_few_shot": "promptc.optimizers.labeled_few_shot:LabeledFewShot",
    "bootstrap_few_shot": "promptc.optimizers.bootstrap_few_shot:BootstrapFewShot",
    "bootstrap_random_search": "promptc.optimizers.bootstrap_random_search:BootstrapRandomSearch",
    "knn": "promptc.optimizers.knn:Knn",
    "copro": "promptc.optimizers.copro:Copro",
    "gepa": "promptc.optimizers.gepa:Gepa",
    "infer_rules": "promptc.optimizers.infer_rules:InferRules",
    "mipro": "promptc.optimizers.mipro:Mipro",
    "simba": "promptc.optimizers.simba:Simba",
}
