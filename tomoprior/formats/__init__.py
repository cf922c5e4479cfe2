"""Reading and writing: the formats that are installed, chosen by what a file is and what an output is called."""

from tomoprior.deprecation import deprecated_names
from tomoprior.formats.base import Format, Header, Shared, Sink, Stack
from tomoprior.formats.reading import open_stack, read
from tomoprior.formats.writing import write, write_series, writing
from tomoprior.storage.files import check_target, replace_atomically

__all__ = [
    "Format", "Header", "Shared", "Sink", "Stack", "check_target", "open_stack", "read", "replace_atomically", "write",
    "write_series", "writing",
]  # fmt: skip

__getattr__ = deprecated_names(__name__, {"replacing": "replace_atomically"})
