// Why a decision came out as it did: the words, then each stage with the values it saw.

import { $, get, h } from "./kit.js";
import { reason } from "./words.js";

export async function explain(id, { nameOf, ruleName, zoneName, timeOf }) {
  const answer = await get(`/api/v1/decisions/${encodeURIComponent(id)}/explain`);
  const sheet = $("explain");
  const close = h("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => sheet.close() }, "×");
  if (!answer?.decision) {
    sheet.replaceChildren(close, h("div", { class: "inner" }, h("h2", { id: "explain-title" }, "This decision cannot be read now")));
  } else {
    const one = answer.decision;
    const sent = one.outcome === "sent";
    sheet.replaceChildren(
      close,
      h(
        "div",
        { class: "inner" },
        h("span", { class: `badge ${sent ? "sent" : "held"}` }, sent ? "Sent" : "Withheld"),
        h("h2", { id: "explain-title" }, ruleName(one.rule)),
        h("p", { class: "when" }, `${nameOf(one.shopper)}, ${zoneName(one.site, one.zone)}, ${timeOf(one.at)}`),
        h("p", { class: sent ? "why sent" : "why" }, sent ? "Every step said yes." : `${capital(reason(one.reason))}${one.detail ? `: ${one.detail}` : ""}.`),
        h("h3", { class: "heading" }, "Step by step"),
        h("ol", { class: "stages" }, ...one.trace.map(stage)),
        h("details", {}, h("summary", {}, "The same as text"), h("p", { class: "words" }, answer.text)),
      ),
    );
  }
  if (!sheet.open) sheet.showModal();
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function stage(one) {
  const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  const values = Object.entries(one.values).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, shown(value))]);
  return h(
    "li",
    { class: one.passed ? "yes" : "no" },
    h("span", { class: "tick", "aria-hidden": "true" }, one.passed ? "✓" : "–"),
    one.where ? h("span", { class: "where" }, one.where) : null,
    h("b", {}, capital(one.name)),
    h("span", { class: "sr" }, one.passed ? " passed. " : " said no. "),
    one.detail ? h("p", { class: "quiet" }, one.detail) : null,
    values.length ? h("dl", {}, ...values) : null,
  );
}

// A click beside the sheet closes it, as people expect.
$("explain").addEventListener("click", (event) => {
  if (event.target === event.currentTarget) event.currentTarget.close();
});
