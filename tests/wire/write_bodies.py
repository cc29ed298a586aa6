"""Writes tests/wire/bodies as the bodies are encoded now, with the table of their columns in the README there:
`python -m tests.wire.write_bodies`, from the root.

Every difference is read against the sources that tests/wire/bodies/README.md names before it is kept.
"""

from __future__ import annotations

from tests.wire.body_corpus import README, files, readme, texts


def main() -> None:
    written = texts()
    for file, text in written.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for left_over in files() - written.keys():
        left_over.unlink()
    README.write_text(readme(), encoding="utf-8")
    print(f"wrote {len(written)} files")


if __name__ == "__main__":
    main()
