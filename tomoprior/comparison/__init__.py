"""Several methods on the same data, and the evidence for each: see ``tomoprior.compare`` (the function) and ``result``."""
