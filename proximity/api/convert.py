"""Values of the house to what the API answers."""

import msgspec

from proximity.api.schemas import (
    ConsentOut,
    DecisionDetail,
    DecisionOut,
    DeliveryOut,
    DeviceOut,
    OfferOut,
    ShopperOut,
    StageOut,
    TransitionOut,
    VisitOut,
)
from proximity.model import Decision, Device, Shopper, Transition, Visit
from proximity.store.offers import StoredOffer
from proximity.store.outbox import StoredDelivery
from proximity.store.people import Consent

HIDDEN = 24  # characters of an address that a list shows; a webhook's URL may hold a key in its tail


def shopper_out(shopper: Shopper) -> ShopperOut:
    return ShopperOut(
        id=shopper.id,
        name=shopper.name,
        languages=list(shopper.languages),
        timezone=shopper.timezone,
        attributes=shopper.attributes,
        consents=shopper.consents,
    )


def consent_out(consent: Consent) -> ConsentOut:
    return ConsentOut(purpose=consent.purpose, granted=consent.granted, at=consent.at, source=consent.source)


def device_out(device: Device) -> DeviceOut:
    return DeviceOut(id=device.id, kind=device.kind, has_secret=bool(device.secret), has_password=bool(device.password))


def transition_out(transition: Transition) -> TransitionOut:
    return TransitionOut(**msgspec.structs.asdict(transition))


def visit_out(visit: Visit) -> VisitOut:
    return VisitOut(**msgspec.structs.asdict(visit))


def decision_out(decision: Decision) -> DecisionOut:
    return DecisionOut(
        id=decision.id,
        transition=decision.transition,
        rule=decision.rule,
        shopper=decision.shopper,
        site=decision.site,
        zone=decision.zone,
        at=decision.at,
        outcome=decision.outcome,
        reason=decision.reason,
        detail=decision.detail,
    )


def decision_detail(decision: Decision) -> DecisionDetail:
    trace = [StageOut(**msgspec.structs.asdict(stage)) for stage in decision.trace]
    return DecisionDetail(**decision_out(decision).model_dump(), trace=trace)


def offer_out(stored: StoredOffer) -> OfferOut:
    offer = stored.offer
    return OfferOut(
        **{name: getattr(offer, name) for name in OfferOut.model_fields if hasattr(offer, name)},
        state=stored.state,
        state_reason=stored.state_reason,
        seen=stored.seen,
    )


def delivery_out(stored: StoredDelivery) -> DeliveryOut:
    delivery = stored.delivery
    address = delivery.address
    return DeliveryOut(
        id=delivery.id,
        kind=delivery.kind,
        offer=delivery.offer,
        title=stored.offer.title,
        shopper=delivery.shopper,
        channel=delivery.channel,
        address=address if len(address) <= HIDDEN else f"{address[:HIDDEN]}…",
        state=stored.state,
        attempts=stored.attempts,
        due=delivery.due,
        created=delivery.created,
        error=stored.error,
    )
