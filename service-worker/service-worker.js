// Keeps the application for visits without a network.
//
// `cargo xtask web` writes the list of files with their SHA-256 into this script, so that a new version of
// any file is a new version of the script, and browsers notice. All versions share one cache whose keys carry the
// digest: an update fetches only what changed, the running version keeps its files until the new one takes over,
// and nobody ever gets a mixture of two.
//
// Written by hand in JavaScript: a WebAssembly one would have to be started before every single file it serves.

/** [path, digest] of everything the application consists of. */
const FILES = [/*FILES*/];
const CACHE = "iap2p-shell";

const digests = new Map(FILES);
const scope = new URL(self.registration.scope);
const key = (path, digest) => new URL(`${path}?sha256=${digest}`, scope).href;

self.addEventListener("install", (event) => event.waitUntil(keepAll()));

self.addEventListener("activate", (event) => event.waitUntil(takeOver()));

// The page asks for it when the user agrees to a new version.
self.addEventListener("message", (event) => {
  if (event.data === "activate") self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const path = pathOf(event.request);
  // Everything else, `bootstrap.json` above all, is the network's business.
  if (digests.has(path)) event.respondWith(serve(path, event.request));
});

/** The path of a request relative to the application, or undefined if it is none of ours. */
function pathOf(request) {
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== scope.origin || !url.pathname.startsWith(scope.pathname)) return undefined;
  const path = url.pathname.slice(scope.pathname.length);
  return path === "" ? "index.html" : path;
}

async function keepAll() {
  const cache = await caches.open(CACHE);
  await Promise.all(FILES.map(async ([path, digest]) => {
    if (!(await cache.match(key(path, digest)))) await cache.put(key(path, digest), await download(path, digest));
  }));
}

/** Fetches a file and makes sure that it is the one meant: during a deployment a server may still have the old one. */
async function download(path, digest) {
  const response = await fetch(new URL(path, scope), { cache: "no-cache" });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  const found = await crypto.subtle.digest("SHA-256", await response.clone().arrayBuffer());
  const text = Array.from(new Uint8Array(found), (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (text !== digest) throw new Error(`${path}: not the version this service worker was made for`);
  return response;
}

async function takeOver() {
  const wanted = new Set(FILES.map(([path, digest]) => key(path, digest)));
  const cache = await caches.open(CACHE);
  const requests = await cache.keys();
  await Promise.all(requests.filter(({ url }) => !wanted.has(url)).map((request) => cache.delete(request)));
  await self.clients.claim();
}

async function serve(path, request) {
  const cache = await caches.open(CACHE);
  // The browser may have deleted it to make room.
  return (await cache.match(key(path, digests.get(path)))) ?? fetch(request);
}
