"""The judgement: three outputs side by side, never one number, each reason with what would change it.

Fraud: stops and reviews. Buyer credit: points added up to at most 100, in bands. Data quality: 0 to 100. A
counterfactual is computed by judging a changed history again, so it cannot promise what the weights do not give.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any, Literal

from core.risk import credit, fraud, patterns, quality
from core.risk.facts import History
from core.risk.findings import TITLES, Finding, Kind
from core.risk.weights import CURRENT, Weights

Judge = Callable[[History, Weights], Finding | None]
Remedy = Callable[[History, Weights], tuple[str, History] | None]
Band = Literal["low", "elevated", "high"]
_MOST = Decimal(100)


@dataclass(frozen=True, slots=True)
class Feature:
    """A judge, and the smallest change of the facts under which it would have nothing to say."""

    judge: Judge
    remedy: Remedy | None = None


FEATURES: tuple[Feature, ...] = (
    Feature(fraud.exact_duplicate, fraud.without_exact),
    Feature(fraud.near_duplicate, fraud.without_near),
    Feature(fraud.shared_identity, fraud.without_shared),
    Feature(fraud.circular_trade, fraud.without_circle),
    Feature(fraud.future_invoice, fraud.dated_today),
    Feature(fraud.redated, fraud.without_redated),
    Feature(fraud.tax_document, fraud.sound_document),
    Feature(fraud.hasty_confirmation, fraud.without_haste),
    Feature(credit.pays_late, credit.punctual),
    Feature(credit.new_counterparty, credit.acquainted),
    Feature(credit.few_buyers, credit.equal_buyers),
    Feature(credit.velocity, credit.usual_week),
    Feature(credit.utilisation, credit.within_limit),
    Feature(credit.tenor, credit.usual_tenor),
    Feature(credit.stale, credit.fresh),
    Feature(patterns.sequence, patterns.in_order),
    Feature(patterns.consecutive, patterns.spaced),
    Feature(patterns.round_amounts, patterns.not_round),
    Feature(patterns.near_limit, patterns.away_from_limit),
    Feature(patterns.amount_outlier, patterns.usual_amount),
    Feature(credit.dilution, credit.undiluted),
    Feature(patterns.benford),
    Feature(credit.long_for_small),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What is lost on average, beside what is earned: principal x chance of default x share lost. Minor units."""

    principal: int
    chance: Decimal
    share: Decimal
    expected: int
    discount: int

    @property
    def is_paid_for(self) -> bool:
        """Whether the discount is more than the expected loss."""
        return self.discount > self.expected

    def shape(self) -> dict[str, Any]:
        """As it is stored and shown."""
        return {
            "principal": self.principal,
            "chance": float(self.chance),
            "share": float(self.share),
            "expected": self.expected,
            "discount": self.discount,
            "is_paid_for": self.is_paid_for,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """A judgement of one invoice at one moment."""

    version: str
    stops: tuple[Finding, ...]
    reviews: tuple[Finding, ...]
    score: Decimal
    band: Band
    reasons: tuple[Finding, ...]
    data_quality: int
    gaps: tuple[quality.Gap, ...]
    haircut: Decimal | None
    haircut_reasons: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    loss: Loss | None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding of all outputs."""
        return (*self.stops, *self.reviews, *self.reasons, *self.haircut_reasons, *self.notes)

    @property
    def codes(self) -> frozenset[str]:
        """The codes that said something."""
        return frozenset(finding.code for finding in self.findings)

    def shape(self) -> dict[str, Any]:
        """As it is stored and shown."""
        return {
            "version": self.version,
            "fraud": {
                "stops": [spell_finding(each) for each in self.stops],
                "reviews": [spell_finding(each) for each in self.reviews],
            },
            "credit": {
                "score": float(self.score),
                "band": self.band,
                "reasons": [spell_finding(each) for each in self.reasons],
            },
            "quality": {"score": self.data_quality, "gaps": [asdict(gap) for gap in self.gaps]},
            "haircut": None
            if self.haircut is None
            else {"share": float(self.haircut), "reasons": [spell_finding(each) for each in self.haircut_reasons]},
            "notes": [spell_finding(each) for each in self.notes],
            "loss": None if self.loss is None else self.loss.shape(),
        }


def spell_finding(finding: Finding) -> dict[str, Any]:
    """As it is stored and shown."""
    return {
        "code": finding.code,
        "title": TITLES[finding.code],
        "kind": finding.kind.value,
        "sentence": finding.sentence,
        "points": float(finding.points),
        "values": dict(finding.values),
        "evidence": finding.evidence,
        "hard": finding.hard,
        "others": [asdict(other) for other in finding.others],
        "counterfactual": finding.counterfactual,
    }


def _judged(history: History, weights: Weights) -> list[tuple[Feature, Finding]]:
    return [(feature, found) for feature in FEATURES if (found := feature.judge(history, weights)) is not None]


def _score(findings: list[Finding]) -> Decimal:
    return min(_MOST, sum((finding.points for finding in findings if finding.kind is Kind.POINTS), Decimal(0)))


def score(history: History, weights: Weights = CURRENT) -> Decimal:
    """The points of buyer credit alone: 0 to 100, the more the riskier."""
    return _score([found for _, found in _judged(history, weights)])


def band(points: Decimal, weights: Weights = CURRENT) -> Band:
    """Which band a score lies in."""
    if points >= weights.high_from:
        return "high"
    return "elevated" if points >= weights.elevated_from else "low"


def _plain(points: Decimal) -> str:
    return format(points.normalize(), "f")


def _counterfactual(feature: Feature, finding: Finding, history: History, weights: Weights) -> str | None:
    """What would be different, judged anew."""
    changed = feature.remedy(history, weights) if feature.remedy else None
    if changed is None:
        return None
    clause, other = changed
    judged = [found for _, found in _judged(other, weights)]
    match finding.kind:
        case Kind.POINTS:
            return f"{_plain(_score(judged))} if {clause}"
        case Kind.STOP | Kind.REVIEW:
            left = [found.code for found in judged if found.kind is finding.kind]
            what = "stop" if finding.kind is Kind.STOP else "review"
            return (
                f"{'No ' + what if not left else what.capitalize() + ' for ' + ', '.join(left) + ' alone'} if {clause}"
            )
        case Kind.HAIRCUT:
            left = [found.code for found in judged if found.kind is Kind.HAIRCUT]
            return f"{'No haircut' if not left else 'Still a haircut'} if {clause}"
        case Kind.INFO:
            return None


def expected_loss(principal: int, discount: int, chance: Decimal, share: Decimal) -> Loss:
    """P x PD x LGD, rounded half up: 4,00,000 x 2 % x 60 % is 4,800."""
    expected = int((principal * chance * share).quantize(Decimal(1), rounding="ROUND_HALF_UP"))
    return Loss(principal=principal, chance=chance, share=share, expected=expected, discount=discount)


def priced(
    outputs: Mapping[str, Any] | None, principal: int | None, discount: int | None, weights: Weights = CURRENT
) -> dict[str, Any] | None:
    """A stored judgement beside the price of today: an invoice is judged before it has one. None stays None.

    The expected loss goes by the stored band and the present chances of default.
    """
    if outputs is None:
        return None
    if principal is None or discount is None:
        return dict(outputs)
    level = outputs["credit"]["band"]
    return {
        **outputs,
        "loss": expected_loss(principal, discount, weights.default_chance[level], weights.loss_share).shape(),
    }


def judge(history: History, weights: Weights = CURRENT) -> Assessment:
    """All three outputs, each reason with its sentence, raw values and counterfactual."""
    judged = _judged(history, weights)
    findings = [
        replace(found, counterfactual=_counterfactual(feature, found, history, weights)) for feature, found in judged
    ]
    by_kind: Mapping[Kind, tuple[Finding, ...]] = {
        kind: tuple(found for found in findings if found.kind is kind) for kind in Kind
    }
    points = _score(findings)
    known, missing = quality.explained(history, weights)
    level = band(points, weights)
    price = history.price
    return Assessment(
        version=weights.version,
        stops=by_kind[Kind.STOP],
        reviews=by_kind[Kind.REVIEW],
        score=points,
        band=level,
        # What weighs most first; equal ones by code, so that the order is always the same.
        reasons=tuple(sorted(by_kind[Kind.POINTS], key=lambda found: (-found.points, found.code))),
        data_quality=known,
        gaps=missing,
        haircut=credit.haircut(history, weights) if by_kind[Kind.HAIRCUT] else None,
        haircut_reasons=by_kind[Kind.HAIRCUT],
        notes=by_kind[Kind.INFO],
        loss=expected_loss(price.principal, price.discount, weights.default_chance[level], weights.loss_share)
        if price
        else None,
    )
