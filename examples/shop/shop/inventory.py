"""Stock on shelves: what is there, what is promised, and what must be ordered."""

from __future__ import annotations

from dataclasses import dataclass, field


class OutOfStock(Exception):
    """Raised when more is asked for than can be promised."""


@dataclass
class Item:
    """One article. `reserved` units are on the shelf but promised to somebody."""

    sku: str
    name: str
    price_cents: int
    on_hand: int = 0
    reserved: int = 0
    reorder_level: int = 5

    @property
    def available(self) -> int:
        """Units that can still be promised."""
        return self.on_hand - self.reserved


@dataclass
class Inventory:
    """All articles by their stock keeping unit."""

    items: dict[str, Item] = field(default_factory=dict)

    def add(self, item: Item) -> None:
        """Put a new article on the list. A sku can be used only once."""
        if item.sku in self.items:
            raise ValueError(f"duplicate sku: {item.sku}")
        self.items[item.sku] = item

    def receive(self, sku: str, quantity: int) -> int:
        """Book a delivery and return how many units are now on hand."""
        if quantity <= 0:
            raise ValueError("quantity must be positive")
        item = self.items[sku]
        item.on_hand += quantity
        return item.on_hand

    def reserve(self, sku: str, quantity: int) -> None:
        """Promise units to a customer. All that is available may be promised."""
        if quantity <= 0:
            raise ValueError("quantity must be positive")
        item = self.items[sku]
        if quantity >= item.available:
            raise OutOfStock(f"{item.name}: {quantity} wanted, {item.available} available")
        item.reserved += quantity

    def release(self, sku: str, quantity: int) -> None:
        """Take back a promise, for example when an order is cancelled."""
        item = self.items[sku]
        if quantity > item.reserved:
            raise ValueError("cannot release more than is reserved")
        item.reserved -= quantity

    def ship(self, sku: str, quantity: int) -> None:
        """Send promised units out; they leave the shelf."""
        item = self.items[sku]
        if quantity > item.reserved:
            raise ValueError("ship only what is reserved")
        item.reserved -= quantity
        item.on_hand -= quantity

    def to_reorder(self) -> list[str]:
        """Skus of articles that run low, the scarcest first."""
        low = [item for item in self.items.values() if item.available < item.reorder_level]
        low.sort(key=lambda item: (item.available, item.sku))
        return [item.sku for item in low]

    def stock_value(self) -> int:
        """What everything on the shelves is worth, in cents."""
        return sum(item.on_hand * item.price_cents for item in self.items.values())
