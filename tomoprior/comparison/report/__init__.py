"""A comparison as one page that opens anywhere, a table, its numbers and figures: ``write_report``.

``columns`` says which evidence becomes a column and what it cannot tell, ``table`` fills it in, ``window`` chooses the grey
scale and ``planes`` the planes worth showing, ``volumes`` packs the volumes for the page's viewer, ``pictures`` draws
(``slices``, ``curves``, ``tilts``, all in the style of ``figures``), ``page`` puts the page together and ``writing`` writes
all of it.
"""

from tomoprior.comparison.report.writing import write_report

__all__ = ["write_report"]
