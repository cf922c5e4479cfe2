"""Reading and writing files: the content of an input selects its format, the name of an output selects that of the output."""

from tomoprior.deprecation import deprecated_names
from tomoprior.formats.base import Format, Header, Shared, Sink, Stack
from tomoprior.formats.reading import open_stack, read, read_series
from tomoprior.formats.volume_reading import read_volume
from tomoprior.formats.writing import write, write_series, writing
from tomoprior.storage.files import check_target, replace_atomically

__all__ = [
    "Format", "Header", "Shared", "Sink", "Stack", "check_target", "open_stack", "read", "read_series", "read_volume",
    "replace_atomically", "write", "write_series", "writing",
]  # fmt: skip

__getattr__ = deprecated_names(__name__, {"replacing": "replace_atomically"})
