"""Objects of a folder: written whole, and deleted with what is empty then."""

from __future__ import annotations

from pathlib import Path

from lexicell.store import open_objects


def test_deleting_leaves_no_empty_folder_and_takes_none_that_is_not(tmp_path: Path) -> None:
    objects = open_objects(str(tmp_path / "o"))
    for key in ("a/b/c/one", "a/two", "d/three"):
        assert objects.put(key, [b"x", b"yz"]).size == 3
    objects.flush()
    objects.delete("a/b/c/one")
    assert sorted(path.name for path in (tmp_path / "o" / "a").iterdir()) == ["two"]
    objects.delete("d/three")
    objects.delete("d/three")
    objects.flush()
    assert not (tmp_path / "o" / "d").exists()
    assert {key for key in objects.sizes() if not key.startswith(".")} == {"a/two"}
    objects.put("d/three", [b"again"])  # a folder that was known is made anew
    objects.flush()
    assert objects.get("d/three") == b"again"
    assert objects.get("d/four") is None
