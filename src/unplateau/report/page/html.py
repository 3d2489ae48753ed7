"""HTML as values: whatever is not ``Html`` already is escaped, and this is the only place where it is.

What a page shows was written by others: names of runs, settings, lines of logs, files of evidence. So a string becomes
text, never markup, and loses on its way what looks like a secret and what no page should print (control characters,
marks that turn the direction of writing).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from ..json import clean

#: elements without an end (HTML Living Standard, section 13.1.2)
VOID = frozenset({"br", "col", "hr", "link", "meta", "wbr"})
#: attributes that a page of ours may bear: none that runs anything, none that loads anything, ``href`` only within the page
ATTRIBUTES = re.compile(
    r"id|class|lang|href|scope|title|role|tabindex|open|colspan|content|name|charset|type|(?:aria|data|http)-[a-z-]+"
)
WITHIN = "#"
NOT_IN_ID = re.compile(r"[^a-z0-9]+")


class Html(str):
    """Markup that this module made, or that somebody vouched for with ``trusted``."""

    __slots__ = ()


#: what stands in an element: text, markup, nothing, or several of them
Child = str | Html | None | Iterable["Child"]


def text(value: str) -> Html:
    r"""Foreign words as text.

    >>> text("<b>1 & 2</b>\x1b api_key = 'abc'")
    '&lt;b&gt;1 &amp; 2&lt;/b&gt;? api_key = &#x27;[hidden]&#x27;'
    """
    return value if isinstance(value, Html) else Html(escape(clean(value)))


def trusted(markup: str) -> Html:
    """Markup of our own making: a picture that report/figures drew, our own script and style."""
    return Html(markup)


def tag(name: str, /, *children: Child, **attributes: str | bool | None) -> Html:
    """An element. ``class_`` is class, ``aria_label`` aria-label; what is None or False is left out, True stands bare.

    Raises ``ValueError`` for an attribute that a page of ours may not bear.

    >>> tag("p", "a < b", tag("br"), None, class_="dim", open=True, title='"')
    '<p class="dim" open title="&quot;">a &lt; b<br></p>'
    >>> tag("a", "go", href="javascript:alert(1)")
    Traceback (most recent call last):
        ...
    ValueError: a page links only within itself; found href='javascript:alert(1)'
    """
    start = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}>"
    return Html(start if name in VOID else f"{start}{join(*children)}</{name}>")


def _attribute(key: str, value: str | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if not ATTRIBUTES.fullmatch(name):
        raise ValueError(f"no element of ours bears {name!r}")
    if name == "href" and not str(value).startswith(WITHIN):
        raise ValueError(f"a page links only within itself; found href={value!r}")
    return f" {name}" if value is True else f' {name}="{text(str(value))}"'


def join(*children: Child) -> Html:
    """Children one after the other.

    >>> join("<", [tag("i", "x"), None], "y")
    '&lt;<i>x</i>y'
    """
    return Html("".join(_parts(children)))


def _parts(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if isinstance(child, str):
            yield text(child)
        elif child is not None:
            yield from _parts(child)


def slug(*words: str) -> str:
    """An id from our own or foreign words.

    >>> slug("r1", "Where the loss goes"), slug("r2", '"><script>')
    ('r1-where-the-loss-goes', 'r2-script')
    """
    return "-".join(part for part in (NOT_IN_ID.sub("-", word.lower()).strip("-") for word in words) if part)
