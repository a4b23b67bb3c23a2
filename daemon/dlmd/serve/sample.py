"""What `dlmd doctor --model` shows a model: a small program, and holes that fill themselves.

Plain Python that any code model has seen the like of. The answers are what anybody would
type; each is written so that it is one token, or few, in any vocabulary. Must not know
models.
"""

TEXT = '''"""What a small shop has on its shelves."""

import json
import os
import sys


class Inventory:
    def __init__(self, name):
        self.name = name
        self.items = {}

    def __len__(self):
        return len(self.items)

    def __repr__(self):
        return f"Inventory({self.name!r})"

    def __getitem__(self, key):
        return self.items[key]

    def add(self, key, count=1):
        if count < 0:
            raise ValueError("count must not be negative")
        if key in self.items:
            self.items[key] += count
        else:
            self.items[key] = count

    def remove(self, key):
        if key not in self.items:
            raise KeyError(key)
        del self.items[key]

    def sorted_keys(self):
        result = []
        for key in sorted(self.items):
            result.append(key)
        return result

    def load(self, path):
        if not os.path.exists(path):
            return None
        with open(path) as f:
            data = json.load(f)
        for key, value in data.items():
            self.items[key] = value
        return self

    def save(self, path):
        with open(path, "w") as f:
            json.dump(self.items, f)


def main():
    inventory = Inventory(sys.argv[1])
    inventory.load(sys.argv[2])
    for key in inventory.sorted_keys():
        print(key, inventory[key])


if __name__ == "__main__":
    main()
'''

# The text before a hole, what belongs into it, the text after it.
HOLES = (
    ("def first(items):\n    return items", "[", "0]\n"),
    ("def size(items):\n    return len(items", ")", "\n"),
    ("print(items[0", "]", ")\n"),
    ("data = {'a': 1, 'b': 2", "}", "\nprint(data)\n"),
    ("point = (1, 2", ")", "\nprint(point)\n"),
    ("for i in range(10)", ":", "\n    print(i)\n"),
    ("def add(a, b)", ":", "\n    return a + b\n"),
    ("def double(x):\n    return", " x", " * 2\n"),
    ("def add(a, b):\n    return a +", " b", "\n\n\nprint(add(1, 2))\n"),
    ("def size(items):\n    return len(", "items", ")\n"),
    ("class Box:\n    def __init__(self, name):\n        self.name =", " name", "\n"),
    ("class Box:\n    def get(self):\n        return ", "self", ".value\n"),
    ("def get(self, key):\n    return self.items[", "key", "]\n"),
    (
        "def load(self, path):\n        with open(",
        "path",
        ") as f:\n            pass\n",
    ),
    ("result = []\nfor x in items:\n    result.append(", "x", ")\n"),
    ("result = []\nfor x in items:\n    result.append(x)\nreturn", " result", "\n"),
    ("import os\nimport", " sys", "\n\nprint(sys.argv)\n"),
    ("from os", " import", " path\n"),
    ("for key, value", " in", " data.items():\n    print(key, value)\n"),
    ("except ValueError", " as", " error:\n    print(error)\n"),
)
