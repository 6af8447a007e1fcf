"""XML from strangers: nothing is expanded, nothing is fetched, and everything is bounded.

libxml2 itself bounds depth (256) and the length of one text (10 MB); entities stay as they are,
and a document type, which no bank needs, is refused before it is parsed.
"""

import io
from collections.abc import Iterable, Iterator
from typing import Any

from lxml import etree

from pipeline.reconcile.errors import Unreadable, unreadable

DOCTYPES = tuple(
    text.encode(encoding)
    for text in ("<!DOCTYPE", "<!ENTITY")
    for encoding in ("utf-8", "utf-16-le", "utf-16-be")
)


def elements(data: bytes, tags: Iterable[str], line_offset: int = 0) -> Iterator[Any]:
    """The elements of these local names, each when it is complete; raises Unreadable.

    `line_offset`: so many lines of the file stand before the XML.
    """
    if any(doctype in data for doctype in DOCTYPES):
        raise unreadable("line 1", "The XML has a document type, which statements do not need.")
    events = etree.iterparse(
        io.BytesIO(data),
        events=("end",),
        tag=[f"{{*}}{tag}" for tag in tags],
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        recover=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        for _, element in events:
            if element.getroottree().docinfo.internalDTD is not None:
                raise unreadable("line 1", "The XML has a document type.")
            yield element
    except etree.XMLSyntaxError as error:
        # What the parser met first says more than what it ended with.
        logged = next(iter(events.error_log), None)
        line, column = (logged.line, logged.column) if logged else error.position
        why = str(logged.message if logged else error.msg).split(", line ")[0]
        raise unreadable(
            f"line {line + line_offset}, column {column}", f"This is not XML: {why}."
        ) from None


def forget(element: Any) -> None:
    """Let go of an element that was read, and of its like before it: memory stays the same."""
    element.clear(keep_tail=False)
    parent = element.getparent()
    while (before := element.getprevious()) is not None and before.tag == element.tag:
        parent.remove(before)


def text(element: Any, path: str) -> str | None:
    """The text at the path (`Refs/EndToEndId`) below the element, in any namespace; or None."""
    found = element.find(_wild(path))
    return None if found is None or found.text is None else str(found.text)


def place(element: Any, path: str = "", line_offset: int = 0) -> str:
    """Where the element stands, or what is below it, for a person: `line 40, element Ntry/Amt`."""
    name = etree.QName(element).localname
    below = element.find(_wild(path)) if path else None
    line = (element if below is None else below).sourceline or 0
    return f"line {line + line_offset}, element {f'{name}/{path}' if path else name}"


def _wild(path: str) -> str:
    return "/".join(f"{{*}}{step}" for step in path.split("/"))


def needed(element: Any, path: str, line_offset: int = 0) -> str:
    """The text at the path; raises Unreadable where there is none."""
    found = text(element, path)
    if found is None or not found.strip():
        raise missing(element, path, line_offset)
    return found.strip()


def missing(element: Any, path: str, line_offset: int = 0) -> Unreadable:
    """What is missing, and where."""
    return unreadable(place(element, path, line_offset), "This element is missing or empty.")
