"""What a small shop has on its shelves."""

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
