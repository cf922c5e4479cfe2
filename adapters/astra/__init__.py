"""ASTRA Toolbox: projector backends and ASTRA's own algorithms.

``linear_kernel`` and ``export`` make the system matrix of one slice, ``matrix`` applies it to all slices, ``slicewise``
runs ASTRA's 2-D projectors in threads, ``cuda`` its 3-D GPU projector. ``geometry`` is the border where conventions
are converted.
"""
