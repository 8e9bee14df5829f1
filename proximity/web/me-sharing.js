// Sharing the phone's position, from the press of the button to the next press, while the page is open.

import { $, send } from "./kit.js";

const AT_MOST_EVERY = 3000; // ms; a walk through a shop needs no more

export class Sharing {
  constructor(api, words) {
    this.api = api;
    this.words = words;
    this.watch = null;
    this.last = 0;
    this.allowed = null;
  }

  /** Whether the shopper agrees to anything that needs a position. */
  allow(yes) {
    const changed = yes !== this.allowed;
    this.allowed = yes;
    if (!yes) this.stop();
    this.paint(changed ? (yes ? "" : this.words().shareNeeds) : null); // what was said last stays until something changes
  }

  toggle() {
    if (this.watch !== null) {
      this.stop();
      this.paint("");
      return;
    }
    if (!("geolocation" in navigator)) {
      this.paint(this.words().shareNone);
      return;
    }
    const options = { enableHighAccuracy: true, maximumAge: 2000, timeout: 30000 };
    this.watch = navigator.geolocation.watchPosition((position) => void this.take(position), (error) => this.fail(error), options);
    this.paint("");
  }

  stop() {
    if (this.watch === null) return;
    navigator.geolocation.clearWatch(this.watch);
    this.watch = null;
  }

  async take({ coords, timestamp }) {
    if (Date.now() - this.last < AT_MOST_EVERY) return;
    this.last = Date.now();
    const answer = await send("POST", `${this.api}/position`, {
      lat: coords.latitude,
      lon: coords.longitude,
      accuracy: coords.accuracy ?? null,
      speed: coords.speed ?? null,
      course: Number.isFinite(coords.heading) ? coords.heading : null,
      at: timestamp / 1000,
    });
    this.paint(answer?.ok ? this.words().shareSent(Math.round(coords.accuracy)) : this.words().shareFailed);
  }

  fail(error) {
    if (error.code !== error.PERMISSION_DENIED) return; // the watch goes on and tries again
    this.stop();
    this.paint(this.words().shareDenied);
  }

  /** `text` null: the words stay. */
  paint(text) {
    const on = this.watch !== null;
    $("share").disabled = !this.allowed;
    $("share").setAttribute("aria-pressed", String(on));
    $("share").textContent = on ? this.words().shareOn : this.words().shareOff;
    if (text || (text === "" && !on)) $("share-state").textContent = text;
  }
}
