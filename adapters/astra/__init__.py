"""ASTRA Toolbox: projector backends and ASTRA's own algorithms.

``linear_kernel`` and ``export`` compute the system matrix of one slice, ``matrix`` applies it to all slices, ``slicewise``
runs ASTRA's 2-D projectors in threads, ``cuda`` its 3-D GPU projector. ``geometry`` converts the
conventions.
"""
