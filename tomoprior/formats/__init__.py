"""Reading and writing: the formats that are installed, chosen by what a file is and what an output is called."""

from tomoprior.formats.base import Format, Header, Sink, Stack
from tomoprior.formats.reading import open_stack, read
from tomoprior.formats.writing import write, writing

__all__ = ["Format", "Header", "Sink", "Stack", "open_stack", "read", "write", "writing"]
