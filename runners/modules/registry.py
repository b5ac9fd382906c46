"""The module strategies that come with promptc, by name."""

from __future__ import annotations

MODULES: dict[str, str] = {
    "predict": "promptc.runners.modules.predict:Predict",
    "chain_of_thought": "promptc.runners.modules.chain_of_thought:ChainOfThought",
    "react": "promptc.runners.modules.react:React",
    "program_of_thought": "promptc.runners.modules.program_of_thought:ProgramOfThought",
    "majority": "promptc.runners.modules.majority:Majority",
    "best_of_n": "promptc.runners.modules.best_of_n:BestOfN",
    "multi_chain_comparison": "promptc.runners.modules.multi_chain_comparison:MultiChainComparison",
    "knn": "promptc.runners.modules.knn:Knn",
    "refine": "promptc.runners.modules.refine:Refine",
}
