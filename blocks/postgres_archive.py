"""What is in an archive of ``pg_dump``, as ``pg_restore`` tells it: entries, what they need, and which belong to one table."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

KINDS = (
    "MATERIALIZED VIEW DATA",
    "SEQUENCE OWNED BY",
    "MATERIALIZED VIEW",
    "CHECK CONSTRAINT",
    "STATISTICS DATA",
    "FK CONSTRAINT",
    "EVENT TRIGGER",
    "FOREIGN TABLE",
    "SEQUENCE SET",
    "BLOB METADATA",
    "INDEX ATTACH",
    "TABLE ATTACH",
    "ROW SECURITY",
    "DEFAULT ACL",
    "TABLE DATA",
    "SHELL TYPE",
)
"""Of two or three words; any other kind has one."""
OF_A_TABLE = frozenset(
    {
        *(
            "TABLE",
            "TABLE DATA",
            "TABLE ATTACH",
            "DEFAULT",
            "CONSTRAINT",
            "CHECK CONSTRAINT",
            "FK CONSTRAINT",
            "INDEX",
            "INDEX ATTACH",
        ),
        *("SEQUENCE", "SEQUENCE OWNED BY", "SEQUENCE SET", "TRIGGER", "RULE", "POLICY", "ROW SECURITY", "COMMENT", "ACL"),
        *("STATISTICS", "STATISTICS DATA"),
    }
)
"""What goes with a table when it is restored alone."""
RIGHTS = frozenset({"ACL", "DEFAULT ACL"})
ROW_SECURITY = "ROW SECURITY"
"""Comes last: once it is on, a table's owner may not see the rows that a foreign key is checked against."""
_ENTRY = re.compile(r"^(\d+); \d+ \d+ (.+)$")
_BLOCK = re.compile(r"^-- TOC entry (\d+) .*\n(?:-- Dependencies: ([\d ]+)\n)?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the table of contents; ``rest``: schema, name and owner, as far as they can be told apart."""

    number: int
    kind: str
    rest: str
    line: str

    @property
    def owner(self) -> str:
        return self.rest.rpartition(" ")[2]


@dataclass(frozen=True, slots=True)
class Archive:
    """The table of contents; ``needs`` by number."""

    entries: Sequence[Entry]
    needs: Mapping[int, Collection[int]] = field(default_factory=dict)

    @property
    def extensions(self) -> set[str]:
        return {entry.rest.split(" ")[1] for entry in self.entries if entry.kind == "EXTENSION"}

    @property
    def tables(self) -> set[str]:
        """Schema and name with a space between them."""
        return {entry.rest.rpartition(" ")[0] for entry in self.entries if entry.kind == "TABLE"}

    @property
    def owners(self) -> set[str]:
        """Roles that own something."""
        return {
            entry.owner for entry in self.entries if entry.kind not in {"EXTENSION", "COMMENT"} and entry.owner not in {"", "-"}
        }

    def use_list(
        self, schema: str | None, table: str | None, *, extension_comments: bool, kinds: Collection[str] | None = None
    ) -> str | None:
        """Lines for ``--use-list``; None where nothing is left out, and empty where there is no such table.

        What turns row-level security on is left out, or with ``kinds`` all that is of other kinds.
        """
        chosen = self.entries
        if table is not None:
            numbers = self._of_table(schema or "public", table)
            chosen = [entry for entry in self.entries if entry.number in numbers]
        if not extension_comments:  # only their owner may write them, and the server wrote them already
            chosen = [entry for entry in chosen if not (entry.kind == "COMMENT" and entry.rest.startswith("- EXTENSION "))]
        chosen = [entry for entry in chosen if (entry.kind != ROW_SECURITY if kinds is None else entry.kind in kinds)]
        return None if len(chosen) == len(self.entries) else "\n".join(entry.line for entry in chosen)

    def _of_table(self, schema: str, table: str) -> set[int]:
        """The table with its partitions, what it needs to be made, and what belongs to it."""
        by_number = {entry.number: entry for entry in self.entries}
        tables = self._with_partitions(f"{schema} {table} ")
        chosen = {entry.number for entry in self.entries if entry.kind in OF_A_TABLE and any(map(entry.rest.startswith, tables))}
        grown = 0
        while grown != len(chosen):
            grown = len(chosen)
            for number, needed in self.needs.items():
                entry = by_number.get(number)
                if entry is not None and entry.kind in OF_A_TABLE - {"TABLE", "FK CONSTRAINT"} and not chosen.isdisjoint(needed):
                    chosen.add(number)
        sequences = {by_number[number].rest for number in chosen if by_number[number].kind == "SEQUENCE"}
        chosen |= {entry.number for entry in self.entries if entry.kind == "SEQUENCE SET" and entry.rest in sequences}
        return self._with_what_they_need(chosen, by_number)

    def _with_partitions(self, name: str) -> set[str]:
        """``name``, if it is a table, and the partitions below it: each schema and name with a space after it."""
        tables = {entry.rest.rpartition(" ")[0] + " ": entry.number for entry in self.entries if entry.kind == "TABLE"}
        found, waiting = set[str](), [name] if name in tables else []
        while waiting:
            found.add(each := waiting.pop())
            attached = (entry for entry in self.entries if entry.kind == "TABLE ATTACH")
            below = (
                entry.rest.rpartition(" ")[0] + " " for entry in attached if tables[each] in self.needs.get(entry.number, ())
            )
            waiting += [other for other in below if other in tables and other not in found]
        return found

    def _with_what_they_need(self, chosen: set[int], by_number: Mapping[int, Entry]) -> set[int]:
        """Types, functions, sequences, schemas and extensions, but nothing of another table."""
        waiting, found = list(chosen), set(chosen)
        while waiting:
            for number in self.needs.get(waiting.pop(), ()):
                entry = by_number.get(number)
                if entry is not None and number not in found and entry.kind not in OF_A_TABLE - {"SEQUENCE"} | {"VIEW"}:
                    found.add(number)
                    waiting.append(number)
        return found


def archive(listed: str, script: str = "") -> Archive:
    """From ``pg_restore --list``, and for what entries need from ``pg_restore --verbose --schema-only --file=-``."""
    entries = []
    for line in listed.splitlines():
        if (found := _ENTRY.match(line)) is not None:
            said = found.group(2)
            kind = next((kind for kind in KINDS if said.startswith(f"{kind} ")), said.partition(" ")[0])
            entries.append(Entry(int(found.group(1)), kind, said[len(kind) + 1 :], line))
    needs = {int(number): {int(each) for each in needed.split()} for number, needed in _BLOCK.findall(script)}
    return Archive(entries, needs)
