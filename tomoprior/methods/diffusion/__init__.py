"""The methods ``diffusion``, ``diffusion.slice`` and ``wiener``: a section of tissue from tilts and a prior.

The data flow, and the module for a change of each step:

==================  ======================================================================================================
Step                Modules
==================  ======================================================================================================
Method              ``method``, ``wiener_method`` (entry points), ``settings``
Prior               ``prior`` (object and file), ``prior_header`` (schema), ``training_domain`` (does it fit the series?)
Section's faces     ``section`` <- ``face_posterior`` <- ``tilt_coefficients``, ``slab_alignment``, ``slab_likelihood``
Measurement model   ``measurement_model`` (``y = A u + noise``) <- ``scale``, ``ray_geometry``, ``data_statistics``
Linear estimate     ``wiener`` <- ``spectrum`` (Gaussian prior of tissue); ``tilt_weights`` discounts bad tilts
Condition           ``conditioning`` (measurement model -> input of the network)
Network             ``denoiser`` <- ``preconditioning``, ``learning.unet``; ``tiling`` runs it on volumes of any size
Samples             ``posterior_slabs`` -> ``posterior_slab`` -> ``probability_flow`` or ``sampler``, with ``row_noise``
Adaptation          ``adaptation`` (optional: low-rank training of the network on held-out tilts)
Result              ``method``, ``determined_share`` (which frequencies the tilts determine), ``statements`` (sentences)
==================  ======================================================================================================
"""
