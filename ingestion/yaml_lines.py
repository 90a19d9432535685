"""YAML that remembers its lines, so that a fault in a declaration names the line to mend.

What belongs here: reading. What does not: what the fields mean (:mod:`ingestion.declarations`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import yaml

Location = tuple[str | int, ...]


@dataclass(frozen=True)
class Fault:
    """One thing to mend in a file.

    Attributes:
        line: counted from 1.
        field: dotted path in the document, empty for the document itself.
        text: what is wrong.
    """

    line: int
    field: str
    text: str


@dataclass
class Document:
    """A parsed file.

    Attributes:
        data: the content; None if it could not be parsed.
        lines: line of each location.
        faults: what YAML itself would accept silently or refuse (repeated keys, broken syntax).
    """

    data: object = None
    lines: dict[Location, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def line(self, location: Location) -> int:
        """Line of a location, or of the nearest enclosing one that is written in the file."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)

    def fault(self, location: Location, text: str) -> Fault:
        """A fault at a location."""
        return Fault(self.line(location), dotted(location), text)


def dotted(location: Location) -> str:
    """``("columns", 2, "type")`` as ``columns[2].type``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def read(path: Path) -> Document:
    """Parse a YAML file; never raises for its content."""
    document = Document()
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        if node is not None:
            _walk(node, (), document)
            document.data = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        document.faults.append(Fault(line, "", f"is not YAML: {error.problem}"))
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        document.faults.append(Fault(1, "", f"is not YAML: {error}"))
    return document


def _walk(node: yaml.Node, location: Location, document: Document) -> None:
    document.lines.setdefault(location, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            inner = (*location, str(key.value))
            document.lines[inner] = key.start_mark.line + 1
            if inner in seen:
                document.faults.append(Fault(key.start_mark.line + 1, dotted(inner), "stands here a second time"))
            seen.add(inner)
            _walk(value, inner, document)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _walk(value, (*location, index), document)
