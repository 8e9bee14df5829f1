// What the console says in words.

const REASONS = {
  not_live: "the rule is not live",
  no_consent: "has not agreed to it",
  no_channel: "no way to reach the shopper",
  initial_presence: "was already there when first seen",
  condition_false: "a condition does not hold",
  attribute_missing: "something is not known about the shopper",
  outside_window: "not at this time of day",
  store_closed: "the store is closed",
  quiet_hours: "quiet hours",
  holdout: "in the group that gets nothing, to compare",
  outranked: "a better offer won",
  limit_reached: "had enough offers already",
  budget_spent: "the budget is spent",
  render_failed: "the text could not be made",
  expired: "too late",
  left_zone: "left the zone",
  withdrawn: "taken back",
  undeliverable: "could not be delivered",
  late: "seen too late",
  jumped: "moved faster than anybody can",
};

/** A reason code in plain words. */
export const reason = (code) => REASONS[code] ?? String(code ?? "no reason given").replaceAll("_", " ");

/** "60 s", "5 min". */
export function span(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

/** The verb of a transition, and the word that leads to the zone. */
export function moved(transition) {
  switch (transition.kind) {
    case "enter":
      return transition.initial ? "is already in" : "entered";
    case "exit":
      return transition.cause === "silence" ? "is no longer heard in" : "left";
    case "dwell":
      return `stayed ${span(transition.dwell ?? 0)} in`;
    case "approach":
      return "is on the way to";
    default:
      return "passed through";
  }
}

/** What became of an offer that is over; null while it holds. */
export function over(offer, at) {
  if (offer.state === "withdrawn") return offer.state_reason ? `Taken back: ${reason(offer.state_reason)}` : "Taken back";
  if (offer.state === "failed") return "Could not be delivered";
  if (offer.state === "expired" || offer.expires <= at) return "Expired";
  return null;
}
