"""Keeping the static tree what the catalogue says: no private documents, and none missing."""

from skillpm_registry.blobs.tree import StaticTree
from skillpm_registry.catalog.documents import Documents


def hide_documents(tree: StaticTree, namespace: str) -> int:
    """Remove all index documents of a namespace, also the immutable ones. Returns their number.

    Call it after the transaction that makes the namespace private: a document that the sequencer
    writes later is removed by the sequencer.
    """
    paths = list(tree.paths(_below(namespace)))
    for path in paths:
        tree.remove(path)
    return len(paths)


def find_missing_documents(documents: Documents, tree: StaticTree) -> int:
    """Have the sequencer render the documents that the tree lacks, as after a restored backup.

    Returns how many there are. Lists the tree, one namespace after the other.
    """
    return sum(
        documents.render_missing(namespace, set(tree.paths(_below(namespace))))
        for namespace in documents.namespaces()
    )


def _below(namespace: str) -> str:
    return f"index/{namespace}/"
