"""Dataset versions as people use code: names, differences, edits, merges, blame, and files that say what they are."""

from everloop.versions.blaming import Blame, blame
from everloop.versions.comparing import Comparison, Composition, compare, compose
from everloop.versions.editing import Editor, Joined, edit, line, merge
from everloop.versions.exporting import FORMATS, Export, Format, export
from everloop.versions.naming import branch, check_name, delete, named, names, tag

__all__ = [
    "FORMATS",
    "Blame",
    "Comparison",
    "Composition",
    "Editor",
    "Export",
    "Format",
    "Joined",
    "blame",
    "branch",
    "check_name",
    "compare",
    "compose",
    "delete",
    "edit",
    "export",
    "line",
    "merge",
    "named",
    "names",
    "tag",
]
