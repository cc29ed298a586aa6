"""Tables that programs write into documents, each between two comments."""

from __future__ import annotations

END = "<!-- to here -->\n"


def with_table(text: str, begin: str, table: str) -> str:
    """The document with a table between the comment `begin` and the next `END`."""
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(END)
    return f"{before}{begin}\n{table}\n{END}{after}"
