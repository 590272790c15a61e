"""Fail when a built wheel lacks a file it must carry, or has it empty: check_wheel.py WHEEL."""

from __future__ import annotations

import sys
import zipfile
from fnmatch import fnmatch
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src"
WANTED = [
    "latentsmooth/py.typed",
    "latentsmooth/images/data/*.parquet",
    "latentsmooth-*.dist-info/licenses/LICENSE",
    "latentsmooth-*.dist-info/licenses/*/LICENSE-fashion-mnist",
    "latentsmooth-*.dist-info/entry_points.txt",
]
MAY_BE_EMPTY = "*/py.typed"


def package_files() -> list[str]:
    files = (path for path in (SOURCE / "latentsmooth").rglob("*") if path.is_file())
    names = [path.relative_to(SOURCE).as_posix() for path in files]
    return [name for name in names if "/__pycache__/" not in name and "/." not in name]


def main() -> None:
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        names = [
            i.filename for i in wheel.infolist() if i.file_size or fnmatch(i.filename, MAY_BE_EMPTY)
        ]
    wanted = sorted({*WANTED, *package_files()})
    missing = [name for name in wanted if not any(fnmatch(held, name) for held in names)]
    if missing:
        sys.exit(f"{sys.argv[1]} lacks {', '.join(missing)}")
    print(f"{Path(sys.argv[1]).name}: {len(names)} files, {', '.join(WANTED)} among them")


if __name__ == "__main__":
    main()
