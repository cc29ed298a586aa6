"""A real small language model on this machine, so that everything can be tried without a key.

    python examples/local_model.py --port 8080

`genai_platform/local_model.py` is the program, which `genai serve --local-model` starts, too.
"""

from __future__ import annotations

from genai_platform.local_model import MODEL, LocalModel, LocalModelError, main

__all__ = ["MODEL", "LocalModel", "LocalModelError"]

if __name__ == "__main__":
    main()
