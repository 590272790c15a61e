"""Show docstring examples as code: fence every block of lines that begins with ``>>>``.

An extension of griffe, which reads the docstrings for the documentation; mkdocs.yml names it.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

BLOCK = re.compile(r"^(?P<indent> *)>>> .*(?:\n(?P=indent).*\S.*)*", re.MULTILINE)
FENCED = r"\g<indent>```pycon\n\g<0>\n\g<indent>```"


class DoctestFences(Extension):  # type: ignore[misc]
    """Rewrite docstrings before they are parsed."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Fence the examples of one module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = BLOCK.sub(FENCED, obj.docstring.value)
