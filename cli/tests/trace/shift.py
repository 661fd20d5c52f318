"""Moves a function of a library to where none can be: shift.py LIBRARY FUNCTION COPY writes a copy of it whose table says so."""

import struct
import sys

with open(sys.argv[1], "rb") as file:
    library = bytearray(file.read())
DYNAMIC_SYMBOLS, SYMBOL_BYTES = 11, 24
(sections_at,) = struct.unpack_from("<Q", library, 40)
section_bytes, sections = struct.unpack_from("<HH", library, 58)
places = [sections_at + number * section_bytes for number in range(sections)]
(table,) = (place for place in places if struct.unpack_from("<I", library, place + 4)[0] == DYNAMIC_SYMBOLS)
at, length = struct.unpack_from("<QQ", library, table + 24)
(names_at,) = struct.unpack_from("<Q", library, places[struct.unpack_from("<I", library, table + 40)[0]] + 24)
moved = 0
for symbol in range(at, at + length, SYMBOL_BYTES):
    name_at = names_at + struct.unpack_from("<I", library, symbol)[0]
    if library[name_at : library.index(b"\0", name_at)].decode() == sys.argv[2]:
        struct.pack_into("<Q", library, symbol + 8, 1 << 40)
        moved += 1
assert moved
with open(sys.argv[3], "wb") as file:
    file.write(library)
