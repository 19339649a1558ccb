"""How well a search finds the pages that answer questions: recall, nDCG and MRR.

Example:
    >>> found = {"Who signed?": ["report.pdf#3", "report.pdf#1"], "What is due?": ["bill.pdf#1"]}
    >>> wanted = {"Who signed?": {"report.pdf#1"}, "What is due?": {"bill.pdf#1"}}
    >>> print(evaluate(found.__getitem__, wanted, ks=(1, 2)))
    questions  recall@1  recall@2  nDCG@1  nDCG@2    MRR
            2     0.500     1.000   0.500   0.815  0.750
"""

from qwen_vl.retrieval_eval.metrics import (
    QuestionScores,
    RetrievalScores,
    aevaluate,
    compare,
    evaluate,
)

__all__ = ["QuestionScores", "RetrievalScores", "aevaluate", "compare", "evaluate"]
