"""Leaves and roots, compared with the contract and RFC 6962."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_strategies import digests, text

from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import BITS, TensorSpec, dense_bytes, is_float
from skillpm.spec.merkle import Identity, LeafHasher, leaf_of, merkle_root

trees = st.dictionaries(text, digests, max_size=40)
specs = st.builds(
    TensorSpec,
    text,
    st.sampled_from(sorted(BITS)),
    st.lists(st.integers(0, 9), max_size=3).map(tuple),
)


def rfc_6962(entries: list[bytes]) -> bytes:
    """The Merkle tree hash as section 2.1 defines it."""
    if not entries:
        return hashlib.sha256().digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = 1
    while k * 2 < len(entries):
        k *= 2
    return hashlib.sha256(b"\x01" + rfc_6962(entries[:k]) + rfc_6962(entries[k:])).digest()


@given(trees)
def test_merkle_root_is_the_tree_hash_of_rfc_6962(leaves: dict[str, Digest]) -> None:
    entries = sorted(name.encode() + b"\0" + leaf.raw for name, leaf in leaves.items())
    by_name = [
        name.encode() + b"\0" + leaves[name].raw
        for name in sorted(leaves, key=lambda name: name.encode())
    ]
    if not any("\0" in name for name in leaves):
        assert entries == by_name
    assert merkle_root(leaves).raw == rfc_6962(by_name)


@given(trees, st.randoms(use_true_random=False))
def test_merkle_root_is_independent_of_the_order_of_tensors(
    leaves: dict[str, Digest], order: object
) -> None:
    names = list(leaves)
    order.shuffle(names)  # type: ignore[attr-defined]
    assert merkle_root({name: leaves[name] for name in names}) == merkle_root(leaves)


@given(trees, text, digests)
def test_merkle_root_changes_with_a_tensor(
    leaves: dict[str, Digest], name: str, leaf: Digest
) -> None:
    other = {**leaves, name: leaf}
    assert (merkle_root(other) == merkle_root(leaves)) == (other == leaves)


def test_golden_leaves_and_roots_are_unchanged() -> None:
    spec = TensorSpec("w", "BF16", (3, 4))
    leaf = leaf_of(spec, bytes(range(24)))
    expected = hashlib.sha256(b"skillpm.leaf.v1\0BF16\0[3,4]\0" + bytes(range(24))).hexdigest()
    assert leaf.hex == expected
    assert str(merkle_root({})) == f"sha256:{hashlib.sha256().hexdigest()}"
    assert merkle_root({"w": leaf}).raw == hashlib.sha256(b"\0w\0" + leaf.raw).digest()


def test_leaf_of_a_scalar_uses_the_empty_shape() -> None:
    leaf = leaf_of(TensorSpec("s", "F32", ()), b"\0\0\0\0")
    assert leaf.raw == hashlib.sha256(b"skillpm.leaf.v1\0F32\0[]\0\0\0\0\0").digest()


@given(specs, st.lists(st.binary(max_size=9)))
def test_leaf_is_independent_of_the_pieces_of_the_data(
    spec: TensorSpec, parts: list[bytes]
) -> None:
    hasher = LeafHasher(spec.dtype, spec.shape)
    for part in parts:
        hasher.update(part)
    assert hasher.digest() == leaf_of(spec, b"".join(parts))
    shape = json.dumps(list(spec.shape)).replace(" ", "")
    assert f"{spec.dtype}\0{shape}\0".encode()


@given(st.lists(specs, unique_by=lambda spec: spec.name, min_size=1, max_size=6), st.data())
def test_identity_counts_parameters_and_names_the_main_dtype(
    many: list[TensorSpec], data: st.DataObject
) -> None:
    leaves = {spec.name: data.draw(digests) for spec in many}
    identity = Identity({spec.name: spec for spec in many}, leaves)
    assert identity.root == merkle_root(leaves)
    assert identity.parameters == sum(spec.elements for spec in many)
    held = sum(spec.elements for spec in many if spec.dtype == identity.dtype)
    for dtype in {spec.dtype for spec in many}:
        assert held >= sum(spec.elements for spec in many if spec.dtype == dtype)


@given(specs)
def test_bytes_follow_from_dtype_and_shape(spec: TensorSpec) -> None:
    assert spec.nbytes == dense_bytes(spec.dtype, spec.shape)
    assert spec.nbytes * 8 - spec.elements * BITS[spec.dtype] in range(8)
    assert spec.itemsize == max(1, BITS[spec.dtype] // 8)


@pytest.mark.parametrize(
    ("dtype", "adds"),
    [("BF16", True), ("F8_E4M3", True), ("I64", False), ("F4", False), ("F8_E8M0", False)],
)
def test_is_float_accepts_exactly_the_decodable_float_dtypes(dtype: str, adds: bool) -> None:  # noqa: FBT001 - a case
    assert is_float(dtype) == adds
