"""Where to look: invoices by what a text may say of them, and customers by what a line says of its payer. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from core.invoicing.references import candidate_keys
from core.reconciliation.features import Book, Line, OpenInvoice
from core.reconciliation.names import CUT_OFF, likeness, normal_name, whole_name, without_bank_words
from core.reconciliation.payers import BRANCHED, written_accounts
from core.reconciliation.weights import Weights

_WORDS = re.compile(r"[A-Z0-9]+")
_TOKENS = re.compile(r"[A-Za-z0-9_]{6,64}")
_HEX = re.compile(r"\b[0-9a-f]{8,64}\b")
_DIGITS = re.compile(r"(?<![A-Z0-9])\d{2,12}(?![A-Z0-9])")
_SEGMENTS = re.compile(r"[-/|:*;,]+")
_PARTS = re.compile(r"[A-Z]+|\d+")
# A word that stands in more names than this tells nobody apart.
_COMMON = 60
_MOST_PAYERS = 5
# A name that was cut off is as good as whole from so many characters on.
_TELLING_LENGTH = 15


def compact(text: str) -> str:
    """Letters and digits alone, in capitals."""
    return "".join(_WORDS.findall(text.upper()))


def is_telling(key: str) -> bool:
    """Whether a number's normal form names an invoice wherever it stands; "A·1" and "42" do not."""
    letters = sum(one.isalpha() for one in key)
    digits = sum(one.isdigit() for one in key)
    return letters + digits >= 5 and digits >= 1 if letters else digits >= 7


@dataclass(frozen=True, slots=True)
class PayerFound:
    """A customer that may have paid: how it was recognised, and how like the names are, 0 to 100."""

    contact_id: UUID
    how: str
    likeness: float = 100.0


class Invoices:
    """The open invoices, to be found by reference, customer and amount."""

    def __init__(self, invoices: Sequence[OpenInvoice]) -> None:
        self.all = invoices
        self._by_key: dict[str, int] = {}
        self._by_compact: dict[str, int] = {}
        self._by_tail: dict[str, list[int]] = defaultdict(list)
        self._by_irn: dict[str, list[int]] = defaultdict(list)
        self._by_link: dict[str, int] = {}
        self.by_due: dict[tuple[str, int], list[int]] = defaultdict(list)
        self._of_contact: dict[tuple[UUID, str], list[int]] = defaultdict(list)
        for place, invoice in enumerate(invoices):
            self._by_key[invoice.key] = place
            self._by_compact[compact(invoice.number)] = place
            tail = invoice.key.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ").lstrip("·")
            if tail != invoice.key and sum(one.isdigit() for one in tail) >= 5 and "·" in tail:
                self._by_tail[tail].append(place)
            if invoice.irn:
                self._by_irn[invoice.irn[:8].lower()].append(place)
            for link in invoice.links:
                self._by_link[link.lower()] = place
            self.by_due[invoice.currency, invoice.due].append(place)
            self._of_contact[invoice.contact_id, invoice.currency].append(place)
        for places in self._of_contact.values():
            places.sort(key=lambda place: (invoices[place].due, place))
        # "INV·2026" of INV·2026·42: what stands before the running number, where it is letters and a year at least.
        self._series = {
            head for invoice in invoices if "·" in (head := invoice.key.rpartition("·")[0]) and is_telling(invoice.key)
        }
        self._dues = {key: [invoices[place].due for place in places] for key, places in self._of_contact.items()}

    def named(self, line: Line) -> dict[int, str]:
        """Which invoices the bank's text names, and how (rules 2 and 3)."""
        text = f"{line.narration} {line.reference or ''}"
        found = self._by_id(text)
        keys = candidate_keys(text)
        for key in keys:
            if (place := self._by_key.get(key)) is not None:
                found.setdefault(place, "exact" if is_telling(key) else "serial")
        self._compacted(text, found)
        if not found:
            tails = (self._by_tail.get(key, ()) for key in keys)
            found.update({places[0]: "tail" for places in tails if len(places) == 1})
        return {place: how for place, how in found.items() if self.all[place].currency == line.currency}

    def names_unknown(self, line: Line) -> bool:
        """Whether the text holds a number like those of open invoices that is not one: paid long ago, or misspelt."""
        text = f"{line.narration} {line.reference or ''}"
        return any(key.rpartition("·")[0] in self._series and key not in self._by_key for key in candidate_keys(text))

    def _by_id(self, text: str) -> dict[int, str]:
        """What a payment link, a virtual account or an IRN in the text stands for."""
        found: dict[int, str] = {}
        for token in _TOKENS.findall(text) if self._by_link else ():
            if (place := self._by_link.get(token.lower())) is not None:
                found[place] = "link"
        for digits in _HEX.findall(text.lower()) if self._by_irn else ():
            for place in self._by_irn.get(digits[:8], ()):
                if (self.all[place].irn or "").lower().startswith(digits):
                    found.setdefault(place, "irn")
        return found

    def _compacted(self, text: str, found: dict[int, str]) -> None:
        words = _WORDS.findall(text.upper()[:512])
        for start in range(len(words)):
            joined = ""
            for word in words[start : start + 3]:
                joined += word
                if len(joined) > 24:
                    break
                place = self._by_compact.get(joined)
                if place is not None and len(joined) >= 6 and is_telling(self.all[place].key):
                    found.setdefault(place, "compact")

    def of(self, contact_id: UUID, currency: str) -> list[int]:
        """A customer's open invoices, the smallest due first."""
        return self._of_contact.get((contact_id, currency), [])

    def due_with(self, contact_id: UUID, currency: str, amount: int) -> int:
        """How many open invoices of a customer are due with exactly this amount."""
        dues = self._dues.get((contact_id, currency), [])
        return bisect_right(dues, amount) - bisect_left(dues, amount)

    def expecting(self, contact_id: UUID, currency: str, amount: int) -> list[int]:
        """A customer's invoices that an amount may settle: exactly, or less what is kept back (an eighth at most)."""
        places = self.of(contact_id, currency)
        dues = self._dues.get((contact_id, currency), [])
        return places[bisect_left(dues, amount) : bisect_right(dues, amount * 100 // 88 + 1)]

    def near(self, line: Line, places: Iterable[int]) -> dict[int, str]:
        """Of these invoices those that the text nearly names: one character away, or by their running number alone."""
        from rapidfuzz.distance import OSA  # noqa: PLC0415 - the web process never looks for any.

        text = f"{line.narration} {line.reference or ''}".upper()[:512]
        words = _WORDS.findall(text)
        joined = {
            piece
            for start in range(len(words))
            for size in (1, 2, 3)
            if 6 <= len(piece := "".join(words[start : start + size])) <= 24 and any(one.isdigit() for one in piece)
        }
        running = {digits.lstrip("0") for digits in _DIGITS.findall(text)}
        found: dict[int, str] = {}
        for place in places:
            number = compact(self.all[place].number)
            if any(
                abs(len(piece) - len(number)) <= 1 and OSA.distance(piece, number, score_cutoff=1) <= 1
                for piece in joined
            ):
                found[place] = "near"
                continue
            parts = _PARTS.findall(number)
            serial = self.all[place].key.rsplit("·", 1)[-1]
            if parts and serial.isdigit() and len(serial) >= 2 and serial in running:
                found[place] = "serial"
        return found


class Payers:
    """The customers, to be found by accounts, identities and names (rules 2 and 5)."""

    def __init__(self, book: Book, weights: Weights) -> None:
        self._book, self._weights = book, weights
        self._by_name: dict[str, list[UUID]] = defaultdict(list)
        self._by_word: dict[str, list[tuple[str, str, UUID]]] = defaultdict(list)
        self._judged: dict[str, list[PayerFound]] = {}
        for contact in book.contacts.values():
            for name, whole in {normal_name(name): whole_name(name) for name in contact.names if name}.items():
                self._by_name[name].append(contact.id)
                for word in set(name.split()):
                    self._by_word[word].append((name, whole, contact.id))
                    if len(word) >= 6:
                        # The beginnings of long words, for names that were cut off or misspelt at their end.
                        self._by_word[word[:4] + "*"].append((name, whole, contact.id))

    def of(self, line: Line) -> list[PayerFound]:
        """Who may have paid a line, the surest kind of recognition alone."""
        if self._book.accounts and (owner := self._by_account(line)) is not None:
            return [owner]
        for kind, how in (("account", "remembered"), ("vpa", "remembered"), ("name", "known_name")):
            found = self._remembered([identity for identity in line.identities if identity[0] == kind])
            if found is not None:
                return [PayerFound(found, how)]
        return self._by_segments(self._segments(line))

    def _by_account(self, line: Line) -> PayerFound | None:
        """The one customer whose account or address the text holds; what was given to them before what is theirs."""
        text = " ".join(filter(None, (line.narration, line.counterparty, line.reference)))
        keys = [key for key in written_accounts(text) if key in self._book.accounts]
        for given, how in ((True, "given"), (False, "account")):
            found = {
                self._book.accounts[key].contact_id
                for key in keys
                if self._book.accounts[key].given is given and not self._elsewhere(text, key)
            }
            if found:
                return PayerFound(found.pop(), how) if len(found) == 1 else None
        return None

    def _elsewhere(self, text: str, key: str) -> bool:
        """Whether the text says that this number of an account they pay from is another bank's."""
        known = self._book.accounts[key]
        if known.given or known.bank is None:
            return False
        said = {branch[:4] for branch, number in BRANCHED.findall(text.upper()) if number == key}
        return bool(said) and known.bank not in said

    def _remembered(self, identities: Iterable[tuple[str, str]]) -> UUID | None:
        """The one customer that these were seen with; None where none or several were."""
        for identity in identities:
            seen = self._book.remembered.get(identity, {})
            if len(seen) == 1:
                return next(iter(seen))
        return None

    def _segments(self, line: Line) -> list[str]:
        """The pieces of a line that may be its payer's name."""
        said = [line.counterparty] if line.counterparty else _SEGMENTS.split(line.narration)
        # As it stands first: a company may be called "Transfer".
        said = [spelled for segment in said for spelled in (segment.strip(), without_bank_words(segment))]
        names = (segment for segment in said if sum(one.isalpha() for one in segment) >= 4)
        return [name for name in dict.fromkeys(names) if normal_name(name) not in self._book.own_names]

    def _by_segments(self, segments: Sequence[str]) -> list[PayerFound]:
        same = list(dict.fromkeys(found for name in segments for found in self._by_name.get(normal_name(name), ())))
        if len(same) == 1:
            return [PayerFound(same[0], "name")]
        if same:
            # Customers of one name are not told apart by it.
            return [PayerFound(one, "similar", self._weights.least_likeness) for one in same[:_MOST_PAYERS]]
        found = [payer for name in segments for payer in self._like(name)]
        found.sort(key=lambda payer: (-payer.likeness, payer.contact_id))
        best = [payer for payer in found if found[0].likeness - payer.likeness < self._weights.likeness_tie]
        if len({payer.contact_id for payer in best}) > 1:
            return [PayerFound(one.contact_id, "similar", self._weights.least_likeness) for one in best[:_MOST_PAYERS]]
        if (
            found
            and found[0].likeness >= CUT_OFF
            and max(len(normal_name(name)) for name in segments) >= _TELLING_LENGTH
        ):
            # A bank that cuts names off has said all of it that it could.
            return [PayerFound(found[0].contact_id, "name", CUT_OFF)]
        return found[:1]

    def _like(self, name: str) -> list[PayerFound]:
        """Customers whose names are like this one."""
        if name in self._judged:
            return self._judged[name]
        from rapidfuzz import fuzz  # noqa: PLC0415 - the web process never compares names.

        looked: dict[tuple[str, str, UUID], None] = {}
        plain, whole = normal_name(name), whole_name(name)
        for word in plain.split():
            for key in (word, word[:4] + "*"):
                rows = self._by_word.get(key, ())
                if len(rows) <= _COMMON:
                    looked.update(dict.fromkeys(rows))
        best: dict[UUID, float] = {}
        for known, spelled, contact_id in looked:
            how = max(likeness(plain, known), min(CUT_OFF - 1, float(fuzz.ratio(whole, spelled))))
            best[contact_id] = max(best.get(contact_id, 0.0), how)
        found = [
            PayerFound(contact_id, "similar", how)
            for contact_id, how in best.items()
            if how >= self._weights.least_likeness
        ]
        self._judged[name] = found
        return found
