"""Search a library of media by content; read only.

    from retrieval import Library

    with Library.open() as library:
        for hit in library.search("a dog on the beach", kind="image", count=5):
            print(hit.score, hit.path)

Libraries
    Library          an open library: search, similar, nearest, duplicates, clip, thumbnail, status
    Libraries        several libraries, of this machine or of servers, searched as one
    default_library  return the folder of the default library of this user
    SearchOptions    filters and options of a search
    ClewError        base class of all errors of clew (the others are in retrieval.errors)

Results of searches
    Hit              a segment with its path, location in the file, score and confidence
    Hits             a list of hits with a note, if a search ended early
    Kind             the kinds of segments: image, video, text, page, audio
    Clip             a moment that was saved as a new file

Results of Library.details
    FileDetails      everything that a library knows of a file
    SegmentDetails   a segment of the file, with its text and location
    Caption          a caption of the file, with the file that contains it
    Label            a label that the model gave to the file

Results of Library.duplicates
    Group            files that belong together, best first
    FileAttributes   a file of a group: size, dimensions, capture time

Results of Library.status, failures and concepts
    Status           contents, model, indexes and disk usage of a library
    RunProgress      the progress of a run that writes to a library
    Root             an indexed folder with the numbers of its files
    Space            the vector space of a model, with its indexes
    IndexFile        the index of one kind of segments
    IndexTuning      its search effort, recall and speed for queries by words or by images
    Failure          a file that could not be read, or only in part, with the reason
    ConceptInfo      a concept with its number of examples and its quality

The query language is described in retrieval.query.parser; `clew --help` lists the commands.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from retrieval.telemetry import disable_telemetry

if TYPE_CHECKING:
    from retrieval.errors import ClewError
    from retrieval.federation.libraries import Libraries
    from retrieval.library import Library
    from retrieval.media.av.clip import Clip
    from retrieval.query.options import SearchOptions
    from retrieval.system import default_library
    from retrieval.types import (
        Caption,
        ConceptInfo,
        Failure,
        FileAttributes,
        FileDetails,
        Group,
        Hit,
        Hits,
        IndexFile,
        IndexTuning,
        Kind,
        Label,
        Root,
        RunProgress,
        SegmentDetails,
        Space,
        Status,
    )

disable_telemetry()

__all__ = [
    "Caption",
    "ClewError",
    "Clip",
    "ConceptInfo",
    "Failure",
    "FileAttributes",
    "FileDetails",
    "Group",
    "Hit",
    "Hits",
    "IndexFile",
    "IndexTuning",
    "Kind",
    "Label",
    "Libraries",
    "Library",
    "Root",
    "RunProgress",
    "SearchOptions",
    "SegmentDetails",
    "Space",
    "Status",
    "default_library",
]

_SUBMODULES = {
    "ClewError": "errors",
    "Clip": "media.av.clip",
    "Libraries": "federation.libraries",
    "Library": "library",
    "SearchOptions": "query.options",
    "default_library": "system",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use, so that a command loads only the modules it needs."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"retrieval.{_SUBMODULES.get(name, 'types')}"), name)
