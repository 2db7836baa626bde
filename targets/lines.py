"""Line numbers of the keys of a TOML text, which ``tomllib`` does not give.

The scanner takes only texts that ``tomllib`` has accepted: it follows brackets and strings, checking nothing.
"""

from dataclasses import dataclass, field

KeyPath = tuple[str | int, ...]

_SPACE = " \t\r\n"


def key_lines(text: str) -> dict[KeyPath, int]:
    """Where each key and array element begins: path in the parsed data -> line number from 1."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


def line_of(lines: dict[KeyPath, int], path: KeyPath) -> int:
    """The line of the longest known beginning of ``path``; 1 when none is known."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


@dataclass
class _Scanner:
    text: str
    at: int = 0
    line: int = 1
    lines: dict[KeyPath, int] = field(default_factory=dict)
    counts: dict[KeyPath, int] = field(default_factory=dict)

    def document(self) -> None:
        table: KeyPath = ()
        while self._skip():
            if self.text.startswith("[", self.at):
                table = self._header()
            else:
                self._assignment(table)

    def _advance(self, count: int) -> str:
        passed = self.text[self.at : self.at + count]
        self.line += passed.count("\n")
        self.at += count
        return passed

    def _skip(self, also: str = "") -> bool:
        """Pass over white space, comments and the characters of ``also``; False at the end of the text."""
        while self.at < len(self.text):
            if self.text[self.at] == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif self.text[self.at] in _SPACE or self.text[self.at] in also:
                self._advance(1)
            else:
                return True
        return False

    def _header(self) -> KeyPath:
        line, double = self.line, self.text.startswith("[[", self.at)
        self._advance(2 if double else 1)
        path = self._resolve(self._keys())
        self._advance(2 if double else 1)
        if double:
            self.lines.setdefault(path, line)
            number = self.counts.get(path, 0)
            self.counts[path] = number + 1
            path = (*path, number)
        self._note(path, line)
        return path

    def _resolve(self, keys: KeyPath) -> KeyPath:
        """A header's path: a part that names an array of tables means its last element."""
        path: KeyPath = ()
        for position, key in enumerate(keys):
            path = (*path, key)
            if position < len(keys) - 1 and path in self.counts:
                path = (*path, self.counts[path] - 1)
        return path

    def _note(self, path: KeyPath, line: int) -> None:
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], line)

    def _keys(self) -> KeyPath:
        keys: list[str] = []
        while True:
            self._skip()
            keys.append(self._string() if self.text[self.at] in "\"'" else self._bare())
            self._skip()
            if self.text[self.at] != ".":
                return tuple(keys)
            self._advance(1)

    def _bare(self) -> str:
        start = self.at
        while self.text[self.at].isalnum() or self.text[self.at] in "_-":
            self.at += 1
        assert self.at > start, "the text was accepted by tomllib"
        return self.text[start : self.at]

    def _string(self) -> str:
        """Pass over a string; its text, with escapes as written (no key of ours has any)."""
        quote = self.text[self.at]
        delimiter = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        end = self.at + len(delimiter)
        while not self.text.startswith(delimiter, end):
            end += 2 if quote == '"' and self.text[end] == "\\" else 1
        # A multi-line string may end in up to two more quotes.
        while len(delimiter) == 3 and self.text.startswith(delimiter, end + 1):
            end += 1
        return self._advance(end - self.at + len(delimiter))[len(delimiter) : -len(delimiter)]

    def _assignment(self, table: KeyPath) -> None:
        line = self.line
        path = (*table, *self._keys())
        self._note(path, line)
        self._advance(1)  # the equals sign
        self._skip()
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        match self.text[self.at]:
            case "{":
                self._advance(1)
                while self._skip(also=",") and self.text[self.at] != "}":
                    self._assignment(path)
                self._advance(1)
            case "[":
                self._advance(1)
                number = 0
                while self._skip(also=",") and self.text[self.at] != "]":
                    self.lines[*path, number] = self.line
                    self._value((*path, number))
                    number += 1
                self._advance(1)
            case '"' | "'":
                self._string()
            case _:
                while self.at < len(self.text) and self.text[self.at] not in ",]}#\n":
                    self.at += 1
