// Keeps the shell of the shopper's page for when there is no network. It holds no data of any shopper.

const CACHE = "shell-1";
const SHELL = "/me/";
const FILES = ["base.css", "me.css", "me.js", "me-words.js", "me-sharing.js", "kit.js", "icon.svg"].map((name) => `/static/${name}`);

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const old = caches.keys().then((names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name))));
  event.waitUntil(old.then(() => self.clients.claim()));
});

async function networkFirst(request, key) {
  const cache = await caches.open(CACHE);
  try {
    const answer = await fetch(request);
    if (answer.ok) await cache.put(key, answer.clone());
    return answer;
  } catch (error) {
    const kept = await cache.match(key);
    if (kept) return kept;
    throw error;
  }
}

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== location.origin) return;
  // Every shopper's page is the same file: it is kept once, under an address without a token.
  if (event.request.mode === "navigate" && url.pathname.startsWith("/me/")) event.respondWith(networkFirst(event.request, SHELL));
  else if (FILES.includes(url.pathname)) event.respondWith(networkFirst(event.request, url.pathname));
});
