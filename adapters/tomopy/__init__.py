"""TomoPy, both ways: our methods called by ``tomopy.recon``, and TomoPy's algorithms as methods of ours.

``algorithm`` is the callable for ``tomopy.recon``; ``recon`` has the signature of ``tomopy.recon`` and needs no TomoPy;
``methods`` holds ``tomopy.<name>``. ``arrays`` is the border where TomoPy's orders become ours.
"""

from .algorithm import algorithm
from .recon import recon

__all__ = ["algorithm", "recon"]
