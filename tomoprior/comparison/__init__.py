"""Several methods on the same data, and the evidence for each."""

from tomoprior.comparison.plan import Cost, estimate_comparison
from tomoprior.comparison.result import Comparison, Entry, Planted, Ranking
from tomoprior.comparison.run import compare

__all__ = ["Comparison", "Cost", "Entry", "Planted", "Ranking", "compare", "estimate_comparison"]
