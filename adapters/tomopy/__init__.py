"""TomoPy in both directions: tomoprior's methods inside ``tomopy.recon``, and TomoPy's algorithms as tomoprior methods.

``algorithm`` is the callable for ``tomopy.recon``. ``recon`` has the signature of ``tomopy.recon`` and needs no TomoPy.
``methods`` holds the methods ``tomopy.<name>``. ``arrays`` converts between the two orders of axes.
"""

from .algorithm import algorithm
from .recon import recon

__all__ = ["algorithm", "recon"]
