// The stream of what happened, newest first.

import { $, h, s } from "./kit.js";
import { moved, reason } from "./words.js";

const MOST = 150; // lines kept on the page
const SIGNS = {
  enter: "M3 8h9M8.5 4.5 12 8l-3.5 3.5",
  exit: "M13 8H4M7.5 4.5 4 8l3.5 3.5",
  dwell: "M8 4.5V8l2.5 1.5M8 2.2a5.8 5.8 0 1 0 0 11.6A5.8 5.8 0 0 0 8 2.2Z",
  sent: "m3.5 8.5 3 3 6-7",
  held: "M4 8h8",
};
const KINDS = { all: "All", sent: "Sent", held: "Withheld", move: "Moves" };

export class Activity {
  constructor({ nameOf, zoneName, ruleName, timeOf, onExplain }) {
    Object.assign(this, { nameOf, zoneName, ruleName, timeOf, onExplain });
    this.rows = new Map(); // id -> {at, order, kind, element}
    this.order = 0;
    this.show = "all";
    for (const [kind, label] of Object.entries(KINDS)) {
      const pressed = String(kind === "all");
      const press = () => this.filter(kind);
      $("filter").append(h("button", { type: "button", "data-kind": kind, "aria-pressed": pressed, onclick: press }, label));
    }
  }

  clear() {
    this.rows.clear();
    $("stream").replaceChildren();
    $("stream-empty").hidden = false;
  }

  say(text) {
    $("stream-empty").textContent = text;
  }

  filter(kind) {
    this.show = kind;
    for (const button of $("filter").children) button.setAttribute("aria-pressed", String(button.dataset.kind === kind));
    for (const row of this.rows.values()) row.element.hidden = !this.shown(row.kind);
  }

  shown(kind) {
    return this.show === "all" || this.show === kind;
  }

  transition(one) {
    const what = h("span", { class: "what" }, h("b", {}, this.nameOf(one.shopper)), ` ${moved(one)} `, h("b", {}, this.zoneName(one.site, one.zone)));
    this.add(one.id, one.at, "move", h("div", { class: "event move" }, sign(SIGNS[one.kind] ?? SIGNS.enter), what, this.time(one.at)));
  }

  decision(one) {
    const sent = one.outcome === "sent";
    const kind = sent ? "sent" : "held";
    const what = h("span", { class: "what" }, h("b", {}, this.ruleName(one.rule)));
    const name = this.nameOf(one.shopper);
    const why = h("span", { class: "why" }, sent ? `Sent to ${name}` : `Withheld from ${name}: ${reason(one.reason)}`);
    const asked = { type: "button", class: `event ${kind}`, onclick: () => this.onExplain(one.id), "aria-haspopup": "dialog" };
    const line = h("button", asked, sign(SIGNS[kind]), what, this.time(one.at), why);
    this.add(one.id, one.at, kind, line);
  }

  time(at) {
    return h("time", { class: "num", datetime: new Date(at * 1000).toISOString() }, this.timeOf(at));
  }

  add(id, at, kind, line) {
    if (this.rows.has(id)) return;
    const element = h("li", { hidden: !this.shown(kind) }, line);
    const row = { at, order: this.order++, kind, element };
    const list = $("stream");
    // Mostly the newest comes last; what is older finds its place.
    let before = list.firstElementChild;
    while (before && this.rows.get(before.dataset.id).at > at) before = before.nextElementSibling;
    element.dataset.id = id;
    list.insertBefore(element, before);
    this.rows.set(id, row);
    $("stream-empty").hidden = true;
    while (this.rows.size > MOST) {
      const last = list.lastElementChild;
      this.rows.delete(last.dataset.id);
      last.remove();
    }
  }
}

const sign = (path) => h("span", { class: "sign" }, s("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, s("path", { d: path })));
