"""Import sqlite-utils without pandas.

Where pandas is installed, sqlite-utils imports it for one type that clew never uses, which takes 0.4 s.
"""

import sys

_is_hidden = "pandas" not in sys.modules
if _is_hidden:
    sys.modules["pandas"] = None  # type: ignore[assignment]  # as if it were not installed
try:
    import sqlite_utils
finally:
    if _is_hidden:
        del sys.modules["pandas"]

__all__ = ["sqlite_utils"]
