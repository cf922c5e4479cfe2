"""Run the command line: ``python -m tomoprior``."""

from tomoprior.cli import main

main()
