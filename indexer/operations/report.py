"""Counts and notes of an indexing run."""

from collections import Counter
from dataclasses import dataclass, field

from retrieval.formatting import format_segment_counts, pluralize, printable
from retrieval.media.archives.archive import ARCHIVE_SUFFIXES


@dataclass(slots=True)
class Report:
    """Counts and notes of an indexing run. Each file is counted in one of the first seven fields."""

    added: int = 0
    updated: int = 0
    moved: int = 0
    offline: int = 0
    gone: int = 0
    unchanged: int = 0
    failed: int = 0
    segments: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)  # kind -> new segments
    skipped: Counter[str] = field(default_factory=Counter)  # suffix without a decoder -> files
    lacking: Counter[str] = field(default_factory=Counter)  # missing extra -> files that need it
    partly: list[str] = field(default_factory=list)  # files that were read in part, and the omission
    assumed: list[str] = field(default_factory=list)  # files of which a decoder assumed something, and what
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False

    def __str__(self) -> str:
        """Return the report as text, one line per subject."""
        files = self.added + self.updated
        rate = f", {files / self.seconds:,.0f} files/s" if files and self.seconds > 1 else ""
        lines = [f"{format_segment_counts(self.kinds) or 'nothing new'} in {self.seconds:.1f} s{rate}"]
        states = ("added", "updated", "moved", "unchanged", "offline", "gone")
        counts = [f"{getattr(self, state):,} {state}" for state in states if getattr(self, state)]
        lines += [f"  files: {', '.join(counts)}"] * bool(counts)
        if self.failed:
            lines.append(f"  {self.failed:,} skipped: could not be read (`clew status --errors` says why)")
        lines += [f"  {pluralize(count, 'file')}: {extra}" for extra, count in self.lacking.items()]
        if self.skipped:
            first = ", ".join(f"{n:,} {printable(suffix)}" for suffix, n in self.skipped.most_common(6))
            more = ", ..." * (len(self.skipped) > 6)
            total = self.skipped.total()
            lines.append(f"  {total:,} skipped: unsupported format ({first}{more})")
        if any(self.skipped[suffix] for suffix in ARCHIVE_SUFFIXES):
            lines.append("  --archives reads what is in .zip and .tar files")
        return "\n".join(lines)
