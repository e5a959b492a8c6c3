"""Groups of an HDF5 file that keep reading to this file, and to sizes that its bytes can hold.

A member of an HDF5 file can lie in any other file, behind an external link, in external storage or in the
sources of a virtual dataset, and HDF5 opens it without a word. It also believes every size that it reads.
"""

from __future__ import annotations

import glob
import math
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5i, h5l, h5o, h5r, h5t

from lexicell.containers.faults import Where
from lexicell.errors import InputError

__all__ = ["OwnGroup", "outside_files"]

#: Soft links on the way to one member: HDF5's own limit.
_MOST_LINKS = 16
#: Bytes that a file may declare without storing any, as fill values.
_MODEST = 128 << 20
#: How much smaller values get at most: by no filter, by gzip, lzf, shuffle and Fletcher-32, by any other.
_PLAIN, _KNOWN, _ANY = 1, 1100, 1 << 17
_KNOWN_FILTERS = {1, 2, 3, 32000}


class OwnGroup(h5py.Group):  # type: ignore[misc]
    """A group that looks at each member before it opens it; soft links are followed within the file.

    Parameters
    ----------
    group
        Identifier of a group in a file that is open for reading.
    label
        The file, for messages.
    follow_links
        Whether what lies in other files is read too.

    Raises
    ------
    InputError
        When a requested member lies in another file.
    CorruptDataError
        When it declares more than the file holds.
    """

    def __init__(self, group: Any, label: str, *, follow_links: bool) -> None:
        super().__init__(group)
        self._label, self._follow_links = label, follow_links

    def __getitem__(self, name: str) -> Any:
        """Open a member, by a path from here or from the root."""
        member = self._member(self.id, self._e(name))
        if isinstance(member, h5g.GroupID):
            return OwnGroup(member, self._label, follow_links=self._follow_links)
        return h5py.Dataset(member, readonly=True) if isinstance(member, h5d.DatasetID) else member

    def get(self, name: str, default: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Open a member as by its name in brackets; h5py's own `get` goes another way, also for its views."""
        if args or kwargs:
            return super().get(name, default, *args, **kwargs)
        try:
            return self[name]
        except KeyError:
            return default

    def __contains__(self, name: str) -> bool:
        """Whether there is such a member."""
        try:
            self._member(self.id, self._e(name))
        except KeyError:
            return False
        return True

    def plain(self) -> h5py.Group:
        """Return h5py's own group, for a library that opens its members unasked; all are looked at first."""
        for _ in self.walk():
            pass
        return h5py.Group(self.id)

    def walk(self) -> Iterator[Any]:
        """Identifiers of this group and all that can be reached from it, each once."""
        todo, visited = [self.id], set()
        while todo:
            place = todo.pop()
            info = h5o.get_info(place)
            if (info.fileno, info.addr) in visited:
                continue
            visited.add((info.fileno, info.addr))
            yield place
            for name in place if isinstance(place, h5g.GroupID) else ():
                with suppress(KeyError):  # of a soft link that leads nowhere
                    todo.append(self._member(place, name))
            if isinstance(place, h5d.DatasetID) and h5a.exists(place, b"categories"):
                # anndata before 0.8 has the categories of a column behind a reference.
                reference = h5py.Dataset(place).attrs["categories"]
                if isinstance(reference, h5py.Reference) and reference:
                    todo.append(self._checked(h5r.dereference(reference, place)))

    def _member(self, place: Any, path: bytes) -> Any:
        """Identifier of what `path` leads to; KeyError where that is nothing."""
        names, links = _parts(path), 0
        place = h5g.open(place, b"/") if path.startswith(b"/") else place
        while names:
            name = names.pop()
            if not isinstance(place, h5g.GroupID) or not place.links.exists(name):
                raise KeyError(os.fsdecode(path))
            kind = place.links.get_info(name).type
            if kind == h5l.TYPE_SOFT:
                links += 1
                if links > _MOST_LINKS:
                    msg = f"more than {_MOST_LINKS} soft links"
                    raise KeyError(msg)
                target = place.links.get_val(name)
                place = h5g.open(place, b"/") if target.startswith(b"/") else place
                names += _parts(target)
                continue
            if kind != h5l.TYPE_HARD and not self._follow_links:
                file = (
                    place.links.get_val(name)[0] if kind == h5l.TYPE_EXTERNAL else b"what HDF5 does not know"
                )
                self._refuse(_name(place).rstrip("/") + "/" + os.fsdecode(name), file)
            place = self._checked(h5o.open(place, name))
        return place

    def _checked(self, place: Any) -> Any:
        if not isinstance(place, h5d.DatasetID):
            return place
        plist = place.get_create_plist()
        sources = _sources(plist)
        if sources and not self._follow_links:
            self._refuse(_name(place), sources[0])
        if not sources:
            where = Where(self._label, _name(place))
            _check_size(place, plist, where)
            _check_texts(place, where)
        return place

    def _refuse(self, name: str, file: bytes) -> NoReturn:
        msg = (
            f"{self._label}: {name} is a link to another file ({os.fsdecode(file)}), which is not read; "
            "if the file is from a source that you trust, add --follow-links (follow_links=True)"
        )
        raise InputError(msg)


def outside_files(path: str | os.PathLike[str]) -> list[str]:
    """Other files that hold what can be reached from an HDF5 file, in the order of their names."""
    first = os.path.realpath(path)
    files, todo = {first}, [first]
    while todo:
        name = todo.pop()
        names: set[str] = set()
        with h5py.File(name, "r") as file:
            for place in OwnGroup(h5g.open(file.id, b"/"), name, follow_links=True).walk():
                owner = os.fsdecode(h5f.get_name(place))
                names.add(owner)
                for source in _sources(place.get_create_plist()) if isinstance(place, h5d.DatasetID) else ():
                    # HDF5 looks beside the file, and where the process runs; "%b" stands for a number.
                    pattern = re.sub("%[0-9]*b", "*", glob.escape(os.fsdecode(source)))
                    for folder in (Path(owner).parent, Path()):
                        names.update(glob.glob(str(folder / pattern)))  # noqa: PTH207 -- may be absolute
        new = {os.path.realpath(name) for name in names if Path(name).is_file()} - files
        files |= new
        todo += filter(h5py.is_hdf5, new)
    return sorted(files - {first})


def _parts(path: bytes) -> list[bytes]:
    return [name for name in reversed(path.split(b"/")) if name not in (b"", b".")]


def _name(place: Any) -> str:
    return os.fsdecode(h5i.get_name(place) or b"a dataset without a name")


def _sources(plist: Any) -> list[bytes]:
    """Files that hold the values of a dataset, where that is said."""
    if plist.get_layout() == h5d.VIRTUAL:
        return [os.fsencode(plist.get_virtual_filename(i)) for i in range(plist.get_virtual_count())]
    return [plist.get_external(i)[0] for i in range(plist.get_external_count())]


def _check_size(dataset: Any, plist: Any, where: Where) -> None:
    """Raise CorruptDataError where a dataset declares more than its stored bytes can decode to."""
    shape = dataset.shape
    if shape is None:
        return
    itemsize, stored = dataset.get_type().get_size(), dataset.get_storage_size()
    declared = itemsize * math.prod(shape)
    # Of a matrix not more than some rows are ever read together.
    together = declared if len(shape) < 2 else declared // max(shape[0], 1)
    is_chunked = plist.get_layout() == h5d.CHUNKED
    chunk = itemsize * math.prod(plist.get_chunk()) if is_chunked else 0
    if max(together, chunk, stored) <= _MODEST >> 9:
        return
    filters = {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}
    limit = stored * (_PLAIN if not filters else _KNOWN if filters <= _KNOWN_FILTERS else _ANY)
    if together > max(_MODEST, limit):
        fault = f"declares {declared:,} bytes of values where {stored:,} are stored"
        raise where.corrupt(fault)
    if chunk > _MODEST and (chunk > limit or chunk > 4 * declared):
        fault = f"declares chunks of {chunk:,} bytes for {declared:,} of which {stored:,} are stored"
        raise where.corrupt(fault)
    if filters and hasattr(dataset, "chunk_iter"):
        # HDF5 inflates a chunk to whatever it becomes. No filter makes one much larger than it was, but texts
        # of any length are 8 bytes in memory and 16 here.
        longest = 2 * chunk + 4096
        if dataset.chunk_iter(lambda info: info.size > longest or None):
            fault = f"declares chunks of {chunk:,} bytes and stores a larger one"
            raise where.corrupt(fault)


def _check_texts(dataset: Any, where: Where) -> None:
    """Raise CorruptDataError for a text that is longer than its file, since HDF5 takes the memory first.

    Only texts that lie there as they are: chunks that are compressed have a checksum.
    """
    kind, place = dataset.get_type(), dataset.get_offset()
    is_text = kind.get_class() == h5t.STRING and kind.is_variable_str()
    if not is_text or place is None or h5i.get_file_id(dataset).get_create_plist().get_userblock():
        return
    entry = np.dtype([("length", "<u4"), ("heap", "<u8"), ("number", "<u4")])
    remaining = dataset.get_storage_size() // entry.itemsize
    if remaining != math.prod(dataset.shape or ()):
        return
    with Path(os.fsdecode(h5f.get_name(dataset))).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(place)
        while remaining > 0:
            entries = np.fromfile(file, entry, min(remaining, 1 << 20))
            longest = int(entries["length"].max(initial=0))
            if longest > size or not len(entries):
                fault = f"has a text of {longest:,} bytes in a file of {size:,}"
                raise where.corrupt(fault)
            remaining -= len(entries)
