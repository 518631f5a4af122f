"""What becomes of a document: the word on it, what is in force, and the bytes that its tags are."""

from dataclasses import dataclass, field

from agent.model.spec import Pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The document in force, word for word, and the revision the operator put it at."""

    revision: int
    document: str = field(repr=False)
    era: int = 0
    """How often an operator has confirmed an etcd that had gone back: its revisions count anew then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The leader's word on the newest document."""

    revision: int
    """The document it speaks of."""
    accepted: bool
    in_force: int
    """Revision of the document in force; 0: none yet."""
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    confirm: str = ""
    """The document is good and waits for this word, as `x-cluster.policy.confirm` of it; empty: it does not wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """Which bytes the tags of one document are, as the leader asked the registries once for it."""

    revision: int
    era: int
    """With `revision`, the document in force that this was asked for."""
    images: Pairs = ()
    """(image as the document says it, sha256:...), sorted; also of documents before, for as long as one names them."""
    asked: tuple[str, ...] = ()
    """Those that were asked for this very document."""
