"""Archives with a deceptive structure."""

import json
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from attack_worlds import World, blob_name, dump, write_tar

from skillpm.archive.reader import open_pack
from skillpm.errors import IntegrityError, SkillpmError, SpecError
from skillpm.spec import oci
from skillpm.spec.digests import Digest


@pytest.fixture
def files(world: World) -> dict[str, bytes]:
    return world.forge().files()


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize("kind", [
    tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE,
    tarfile.CONTTYPE, tarfile.DIRTYPE, b"S", b"Z",
])  # fmt: skip
@pytest.mark.parametrize("name", ["index.json", "blobs/sha256/" + "0" * 64, "blobs/x"])
def test_only_regular_entries_are_read(
    kind: bytes, name: str, files: dict[str, bytes], tmp_path: Path
) -> None:
    files.pop(name, None)
    path = write_tar(tmp_path / "a", [(_member(name, kind, "/etc/passwd"), b""), *files.items()])
    with pytest.raises(SpecError):
        open_pack(path)


@pytest.mark.parametrize("name", [
    "../index.json", "/index.json", "./index.json", "blobs/../index.json", "blobs//sha256/x",
    "blobs/sha256/../x", "blobs/sha256/" + "A" * 64, "blobs/sha256/" + "a" * 63, "x.py", "",
    "INDEX.JSON", "index.json\n", "index.json ", "ｉndex.json", "blobs/sha256/" + "٠" * 64,
    "blobs/sha512/" + "a" * 64, "blobs/sha256/" + "a" * 64 + "/x", "\x1b[31mred", "a" * 300,
])  # fmt: skip
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_entries_with_other_names_are_refused(
    name: str, form: int, files: dict[str, bytes], tmp_path: Path
) -> None:
    path = write_tar(tmp_path / "a", [*files.items(), (name, b"data")], format=form)
    with pytest.raises(SpecError):
        open_pack(path)


@pytest.mark.parametrize("name", ["index.json", "oci-layout", "blob"])
def test_duplicate_entry_is_refused(name: str, files: dict[str, bytes], tmp_path: Path) -> None:
    known = next(n for n in files if n.startswith("blobs")) if name == "blob" else name
    path = write_tar(tmp_path / "a", [*files.items(), (known, files[known])])
    with pytest.raises(SpecError, match="more than once"):
        open_pack(path)


def test_folder_entries_and_any_order_are_accepted(
    world: World, files: dict[str, bytes], tmp_path: Path
) -> None:
    folders: list[Any] = [
        (_member(name, tarfile.DIRTYPE), b"") for name in ("blobs", "blobs/sha256/")
    ]
    shuffled = [*reversed(files.items()), *folders]
    path = write_tar(tmp_path / "a", shuffled, format=tarfile.PAX_FORMAT)
    assert world.verify(path) == world.verify(world.packs["lossless"])


@pytest.mark.parametrize(("headers", "refused"), [
    ({"path": "../../evil"}, True),
    ({"size": "99999999999"}, True),
    ({"size": "-512"}, True),
    ({"GNU.sparse.map": "0,1", "GNU.sparse.size": "9999999999"}, True),
    ({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1"}, True),
    ({"linkpath": "/etc/passwd"}, False),
    ({"comment": "x" * 5000}, False),
])  # fmt: skip
def test_extended_headers_do_not_change_the_result(
    headers: dict[str, str],
    refused: bool,  # noqa: FBT001 - a column of the table above
    world: World,
    files: dict[str, bytes],
    tmp_path: Path,
) -> None:
    member = _member("index.json")
    member.pax_headers = headers
    index = files.pop("index.json")
    path = write_tar(tmp_path / "a", [(member, index), *files.items()], format=tarfile.PAX_FORMAT)
    if refused:
        with pytest.raises(SkillpmError):
            world.graft_root(path)
    else:
        assert world.graft_root(path) == world.graft_root(world.packs["lossless"])


@pytest.mark.parametrize("size", [
    b"\xff" * 12, b"\xff" * 10 + b"\xfe\0", b"\xff" * 10 + b"\xfc\0", b"\xff" * 10 + b"\0\0",
    b"\x80" + b"\xff" * 11, b"99999999999\0", b"-0000000512\0", b"-0000001000\0", b"\0" * 12,
])  # fmt: skip
@pytest.mark.parametrize("kind", [b"0", b"5", b"x", b"g", b"L", b"K", b"S", b"1"])
def test_false_sizes_are_refused_or_read_as_zero(
    size: bytes, kind: bytes, files: dict[str, bytes], tmp_path: Path
) -> None:
    first = bytearray(tarfile.TarInfo("blobs").tobuf(tarfile.USTAR_FORMAT))
    first[124:136], first[156:157], first[148:156] = size, kind, b" " * 8
    first[148:156] = b"%06o\0 " % sum(first)
    path = write_tar(tmp_path / "rest", list(files.items()))
    path.write_bytes(bytes(first) + path.read_bytes())
    with suppress(
        SkillpmError
    ):  # otherwise its size is read as zero, and the rest is an honest pack
        assert open_pack(path).manifest.skill.name == "lossless"


@pytest.mark.parametrize(("index", "message"), [
    ({"extra": 1}, "extra"), ({"schemaVersion": 1}, "schemaVersion"),
    ({"schemaVersion": 2.0}, "schemaVersion"), ({"manifests": []}, "lists no"),
    ({"manifests": {}}, "manifests"), ({"annotations": {}}, "annotations"),
    ({"mediaType": "x"}, "mediaType"), ({"subject": None}, "subject"),
])  # fmt: skip
def test_index_of_another_form_is_refused(
    index: dict[str, Any], message: str, world: World, tmp_path: Path
) -> None:
    forge = world.forge()
    forge.index = index
    with pytest.raises(SpecError, match=message):
        open_pack(forge.write(tmp_path / "a"))


@pytest.mark.parametrize("layout", [
    b'{"imageLayoutVersion":"2.0.0"}', b'{"imageLayoutVersion":"1.0.0","x":1}', b"{}", b"[]", b"",
    b'{"imageLayoutVersion":"1.0.0","imageLayoutVersion":"1.0.0"}', b"\xff",
])  # fmt: skip
def test_layout_of_another_form_is_refused(layout: bytes, world: World, tmp_path: Path) -> None:
    forge = world.forge()
    forge.oci_layout = layout
    with pytest.raises(SpecError, match="oci-layout"):
        open_pack(forge.write(tmp_path / "a"))


@pytest.mark.parametrize("missing", ["index.json", "oci-layout", "blob"])
def test_missing_entry_is_reported(missing: str, files: dict[str, bytes], tmp_path: Path) -> None:
    name = next(n for n in files if n.startswith("blobs")) if missing == "blob" else missing
    del files[name]
    with pytest.raises(SkillpmError):
        open_pack(write_tar(tmp_path / "a", list(files.items())))


def _with_entry(files: dict[str, bytes], change: dict[str, Any]) -> dict[str, bytes]:
    index = json.loads(files["index.json"])
    index["manifests"][0] |= change
    return {**files, "index.json": dump(index)}


@pytest.mark.parametrize("change", [
    {"annotations": {oci.REF_NAME: "9.9.9"}}, {"annotations": None}, {"annotations": {}},
    {"annotations": {oci.REF_NAME: "1.0.0", "more": "x"}}, {"size": 1}, {"size": -1},
    {"size": True},
    {"digest": "sha256:" + "0" * 64}, {"digest": "sha512:00"}, {"mediaType": "text/plain"},
    {"platform": {}}, {"urls": ["http://example.org"]},
])  # fmt: skip
def test_index_entry_that_does_not_describe_the_pack_is_refused(
    change: dict[str, Any], files: dict[str, bytes], tmp_path: Path
) -> None:
    with pytest.raises(SkillpmError):
        open_pack(write_tar(tmp_path / "a", list(_with_entry(files, change).items())))


def _with_second(files: dict[str, bytes], plain: Any) -> dict[str, bytes]:
    data = dump(plain)
    index = json.loads(files["index.json"])
    index["manifests"].append(
        {"mediaType": oci.MANIFEST_TYPE, "digest": str(Digest.of(data)), "size": len(data)}
    )
    return {**files, "index.json": dump(index), blob_name(data): data}


def _subject(files: dict[str, bytes]) -> dict[str, Any]:
    entry = json.loads(files["index.json"])["manifests"][0]
    return {key: entry[key] for key in ("mediaType", "digest", "size")}


def test_second_manifest_about_the_pack_is_accepted(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    signature = b"signature"
    part = {"mediaType": "x", "digest": str(Digest.of(signature)), "size": 9}
    signed = _with_second(files, {"subject": _subject(files), "layers": [part]})
    signed[blob_name(signature)] = signature
    assert open_pack(write_tar(tmp_path / "a", list(signed.items()))).manifest.skill.name


@pytest.mark.parametrize("plain", [
    {"subject": {"digest": "sha256:" + "0" * 64}}, {"subject": None}, {"subject": "pack"}, {},
    {"subject": []}, [],
])  # fmt: skip
def test_second_manifest_about_another_subject_is_refused(
    plain: Any, files: dict[str, bytes], tmp_path: Path
) -> None:
    with pytest.raises(SpecError):
        open_pack(write_tar(tmp_path / "a", list(_with_second(files, plain).items())))


@pytest.mark.parametrize("more", [
    {"layers": [{"digest": "sha256:zz"}]}, {"layers": [{}]}, {"config": {"digest": 7}},
])  # fmt: skip
def test_signature_with_malformed_parts_is_refused(
    more: dict[str, Any], files: dict[str, bytes], tmp_path: Path
) -> None:
    signed = _with_second(files, {"subject": _subject(files), **more})
    with pytest.raises(SpecError):
        open_pack(write_tar(tmp_path / "a", list(signed.items())))


def test_duplicate_index_entry_is_refused(files: dict[str, bytes], tmp_path: Path) -> None:
    index = json.loads(files["index.json"])
    index["manifests"] *= 2
    files["index.json"] = dump(index)
    with pytest.raises(SpecError):
        open_pack(write_tar(tmp_path / "a", list(files.items())))


def test_unreferenced_blob_is_refused(files: dict[str, bytes], tmp_path: Path) -> None:
    files[blob_name(b"stray")] = b"stray"
    with pytest.raises(SpecError, match="no document references the blob"):
        open_pack(write_tar(tmp_path / "a", list(files.items())))


def test_blob_under_another_name_is_an_integrity_error(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    files["blobs/sha256/" + "0" * 64] = b"stray"
    with pytest.raises(IntegrityError, match="should be"):
        open_pack(write_tar(tmp_path / "a", list(files.items())))
