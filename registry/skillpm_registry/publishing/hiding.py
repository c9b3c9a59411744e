"""Removing the documents of private namespaces from the static tree."""

from skillpm_registry.blobs.tree import StaticTree


def hide_documents(tree: StaticTree, namespace: str) -> int:
    """Remove all index documents of a namespace, also the immutable ones. Returns their number.

    Call it after the transaction that makes the namespace private: a document that the sequencer
    writes later is removed by the sequencer.
    """
    paths = list(tree.paths(f"index/{namespace}/"))
    for path in paths:
        tree.remove(path)
    return len(paths)
