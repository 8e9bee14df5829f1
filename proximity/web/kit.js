// Small helpers that both pages use.

/** An element: h("p", {class: "quiet"}, "text", child). Text is always text, never markup. */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same in SVG. */
export function s(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const $ = (id) => document.getElementById(id);

/** GET as JSON; null for any answer but 2xx, so that a page shows what it has. */
export async function get(path) {
  try {
    const answer = await fetch(path, { headers: { accept: "application/json" } });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

/** Anything else; the answer itself, or null when there was none. */
export async function send(method, path, body) {
  try {
    return await fetch(path, {
      method,
      headers: body === undefined ? {} : { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    return null;
  }
}

// The pages count by the service's clock: a laptop that is two minutes off would show offers as over.
let skew = 0;
export function setClock(at) {
  if (typeof at === "number") skew = at - Date.now() / 1000;
}
export const now = () => Date.now() / 1000 + skew;

/** A stream of server-sent events that comes back by itself, also after answers that make a browser give up. */
export function listen(path, { open, lost, events }) {
  let source = null;
  let wait = 1000;
  let timer = 0;
  const connect = () => {
    source = new EventSource(path);
    source.onopen = () => {
      wait = 1000;
      open();
    };
    source.onerror = () => {
      lost();
      if (source.readyState === EventSource.CLOSED) {
        timer = setTimeout(connect, wait);
        wait = Math.min(wait * 2, 15000);
      }
    };
    for (const [kind, handle] of Object.entries(events)) {
      source.addEventListener(kind, (event) => handle(JSON.parse(event.data)));
    }
  };
  connect();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}

/** The part of an offer's time that is left, 0 to 1. */
export function rest(offer, at) {
  return Math.max(0, Math.min(1, (offer.expires - at) / Math.max(1, offer.expires - offer.created)));
}

/** 161 -> "2:41". */
export function minutes(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  const hours = Math.floor(whole / 3600);
  const rest = `${String(Math.floor((whole % 3600) / 60)).padStart(hours ? 2 : 1, "0")}:${String(whole % 60).padStart(2, "0")}`;
  return hours ? `${hours}:${rest}` : rest;
}
