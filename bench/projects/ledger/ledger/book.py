"""Entries and balances."""

from dataclasses import dataclass, field

from ledger.money import show


@dataclass(frozen=True, order=True)
class Entry:
    day: int
    source: str
    target: str
    amount: int

    def __str__(self):
        return f"{self.day}: {self.source} -> {self.target} {show(self.amount)}"


@dataclass
class Book:
    entries: list = field(default_factory=list)

    def add(self, day, source, target, amount):
        if amount <= 0:
            raise ValueError("an amount is positive")
        if source == target:
            raise ValueError("an account cannot pay itself")
        entry = Entry(day, source, target, amount)
        self.entries.append(entry)
        return entry

    def balance(self, account, until=None):
        """What an account holds at the end of a day."""
        total = 0
        for entry in self.entries:
            if until is not None and entry.day > until:
                continue
            if entry.target == account:
                total += entry.amount
            if entry.source == account:
                total -= entry.amount
        return total

    @property
    def accounts(self):
        names = {e.source for e in self.entries} | {e.target for e in self.entries}
        return sorted(names)

    def history(self, account):
        """(day, balance) after each day on which the account moved."""
        days = sorted({e.day for e in self.entries if account in (e.source, e.target)})
        return [(day, self.balance(account, day)) for day in days]

    def settle(self):
        """Payments that bring every account to zero, largest first."""
        owed = {name: self.balance(name) for name in self.accounts}
        payments = []
        for _ in range(len(owed) - 1):
            richest = max(owed, key=owed.get)
            poorest = min(owed, key=owed.get)
            amount = min(owed[richest], -owed[poorest])
            if amount:
                payments.append((richest, poorest, amount))
            owed[richest] -= amount
            owed[poorest] += amount
        return payments
