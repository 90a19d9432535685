"""Names and strings as SQL text, for DuckDB and Postgres alike, where a statement takes no parameters.

What belongs here: quoting. What does not: values that can be handed over as parameters.
"""


def identifier(*names: str) -> str:
    """A name as an identifier, several as a qualified one: ``"schema"."name"``."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def literal(text: str) -> str:
    """A string. Backslashes are taken as they are: Postgres with ``standard_conforming_strings``, its default."""
    return "'" + text.replace("'", "''") + "'"
