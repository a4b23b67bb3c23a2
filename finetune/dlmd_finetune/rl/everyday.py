"""Everyday code that has nothing to do with the user's repository, with checks.

For the question whether tuning spoils what a model could do before: each entry is the text
before a hole, what belongs there, the text after it, and checks that a right fill passes.
All of it was written for this file. Knows nothing but text.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Everyday:
    before: str
    answer: str
    after: str
    checks: str


def one(signature: str, answer: str, checks: str) -> Everyday:
    return Everyday(f"def {signature}:\n    ", answer, "\n", checks)


def loop(signature: str, start: str, line: str, end: str, checks: str) -> Everyday:
    before = f"def {signature}:\n    {start}\n        "
    return Everyday(before, line, f"\n    {end}\n", checks)


TASKS = (
    one("add(a, b)", "return a + b", "assert add(2, 3) == 5"),
    one("subtract(a, b)", "return a - b", "assert subtract(2, 3) == -1"),
    one("multiply(a, b)", "return a * b", "assert multiply(4, 3) == 12"),
    one("divide(a, b)", "return a / b", "assert divide(9, 2) == 4.5"),
    one("square(x)", "return x * x", "assert square(7) == 49"),
    one("cube(x)", "return x ** 3", "assert cube(3) == 27"),
    one("double(x)", "return 2 * x", "assert double(21) == 42"),
    one("negate(x)", "return -x", "assert negate(4) == -4"),
    one("is_even(n)", "return n % 2 == 0", "assert is_even(4) and not is_even(5)"),
    one("is_odd(n)", "return n % 2 == 1", "assert is_odd(5) and not is_odd(4)"),
    one("first(items)", "return items[0]", "assert first([7, 8]) == 7"),
    one("last(items)", "return items[-1]", "assert last([7, 8]) == 8"),
    one("length(items)", "return len(items)", "assert length([1, 2, 3]) == 3"),
    one("total(numbers)", "return sum(numbers)", "assert total([1, 2, 3]) == 6"),
    one("largest(numbers)", "return max(numbers)", "assert largest([1, 9, 3]) == 9"),
    one("smallest(numbers)", "return min(numbers)", "assert smallest([4, 2]) == 2"),
    one("upper(text)", "return text.upper()", "assert upper('ab') == 'AB'"),
    one("lower(text)", "return text.lower()", "assert lower('AB') == 'ab'"),
    one("strip(text)", "return text.strip()", "assert strip(' a ') == 'a'"),
    one("reverse(text)", "return text[::-1]", "assert reverse('abc') == 'cba'"),
    one("words(text)", "return text.split()", "assert words('a b') == ['a', 'b']"),
    one("join(words)", "return ' '.join(words)", "assert join(['a', 'b']) == 'a b'"),
    one("is_empty(items)", "return len(items) == 0", "assert is_empty([]) and not is_empty([1])"),
    one("sort(items)", "return sorted(items)", "assert sort([2, 1]) == [1, 2]"),
    one("absolute(x)", "return abs(x)", "assert absolute(-3) == 3"),
    one("identity(x)", "return x", "assert identity(5) == 5"),
    one("area(width, height)", "return width * height", "assert area(2, 5) == 10"),
    one("mean(numbers)", "return sum(numbers) / len(numbers)", "assert mean([1, 3]) == 2"),
    one("contains(items, item)", "return item in items", "assert contains([1], 1) and not contains([1], 2)"),
    one("keys(table)", "return list(table.keys())", "assert keys({'a': 1}) == ['a']"),
    one("lookup(table, key)", "return table[key]", "assert lookup({'a': 1}, 'a') == 1"),
    one("is_positive(x)", "return x > 0", "assert is_positive(1) and not is_positive(-1)"),
    loop("count_to(n)", "found = []\n    for i in range(n):", "found.append(i)", "return found", "assert count_to(3) == [0, 1, 2]"),
    loop("add_all(numbers)", "total = 0\n    for number in numbers:", "total += number", "return total", "assert add_all([1, 2, 3]) == 6"),
    loop("product(numbers)", "result = 1\n    for number in numbers:", "result *= number", "return result", "assert product([2, 3, 4]) == 24"),
    loop("copy(items)", "result = []\n    for item in items:", "result.append(item)", "return result", "assert copy([1, 2]) == [1, 2]"),
    loop("count(items)", "n = 0\n    for item in items:", "n += 1", "return n", "assert count('abc') == 3"),
    loop("safe(x)", "if x is None:", "return 0", "return x", "assert safe(None) == 0 and safe(4) == 4"),
    loop("sign(x)", "if x < 0:", "return -1", "return 1", "assert sign(-5) == -1 and sign(5) == 1"),
    loop("index(items)", "found = {}\n    for n, item in enumerate(items):", "found[item] = n", "return found", "assert index('ab') == {'a': 0, 'b': 1}"),
)  # fmt: skip
