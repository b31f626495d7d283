"""Every record that crosses a stage: the glossary, as frozen structs.

Times are integers: milliseconds since 1970 in UTC. Ids are UUIDv7 strings unless a client brought its own. Nothing
here does any I/O. A record is its own wire format: ``msgspec.json.encode(record)`` is what the store and the API hold.
Interactions and feedback, of which there are millions, leave out what is as it is by default. ``gc=False``: what comes
from JSON has no cycles, and looking for them would take longer than reading a million rows.
"""

from everloop.types.collected import (
    Alternative,
    Attachment,
    Campaign,
    Comment,
    Correction,
    Demonstration,
    Derived,
    Feedback,
    FeedbackFields,
    Implicit,
    Interaction,
    Intervention,
    Label,
    Mark,
    Outcome,
    Preference,
    Rating,
    Thumb,
    Vote,
)
from everloop.types.curated import (
    Drop,
    DropAudit,
    Evidence,
    Placement,
    Statement,
)
from everloop.types.declared import (
    LoopSpec,
    Policy,
    Price,
    SignalSpec,
    Spec,
    Variant,
)
from everloop.types.guarded import (
    Audit,
    Key,
)
from everloop.types.labelled import ProposedClass, SourceAnswer
from everloop.types.learned import (
    Model,
    Release,
    SliceVerdict,
    Verdict,
    WatchedSlice,
)
from everloop.types.reviewed import (
    Annotation,
    Doubt,
    Review,
)
from everloop.types.turned import (
    Lease,
    Step,
    Turn,
)
from everloop.types.versioned import (
    DatasetVersion,
    Diff,
    Example,
    Ref,
)
from everloop.types.words import (
    Input,
    Origin,
    Outcome3,
    Role,
    Split,
    Stage,
)

__all__ = [
    "Alternative",
    "Annotation",
    "Attachment",
    "Audit",
    "Campaign",
    "Comment",
    "Correction",
    "DatasetVersion",
    "Demonstration",
    "Derived",
    "Diff",
    "Doubt",
    "Drop",
    "DropAudit",
    "Evidence",
    "Example",
    "Feedback",
    "FeedbackFields",
    "Implicit",
    "Input",
    "Interaction",
    "Intervention",
    "Key",
    "Label",
    "Lease",
    "LoopSpec",
    "Mark",
    "Model",
    "Origin",
    "Outcome",
    "Outcome3",
    "Placement",
    "Policy",
    "Preference",
    "Price",
    "ProposedClass",
    "Rating",
    "Ref",
    "Release",
    "Review",
    "Role",
    "SignalSpec",
    "SliceVerdict",
    "SourceAnswer",
    "Spec",
    "Split",
    "Stage",
    "Statement",
    "Step",
    "Thumb",
    "Turn",
    "Variant",
    "Verdict",
    "Vote",
    "WatchedSlice",
]
