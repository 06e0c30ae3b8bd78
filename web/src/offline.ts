// The service worker: the page works offline, and is isolated wherever it is hosted.
//
// Isolation gives threads. It needs two headers, which hosts of static files do not send.

interface Scope {
  addEventListener(kind: string, listener: (event: Fetching & Waiting) => void): void;
  skipWaiting(): Promise<void>;
  clients: { claim(): Promise<void> };
  registration: { scope: string };
}
interface Waiting {
  waitUntil(work: Promise<unknown>): void;
}
interface Fetching {
  request: Request;
  respondWith(response: Promise<Response>): void;
}

const scope = self as unknown as Scope;
const CACHE = "addapt";
// Named by their content, so that they never change.
const LASTING = /\.(onnx|weights)$/;

scope.addEventListener("install", (event) => event.waitUntil(scope.skipWaiting()));
scope.addEventListener("activate", (event) => event.waitUntil(scope.clients.claim()));
scope.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  const { scope: own } = scope.registration;
  // What a device says of its domains is never an old answer.
  if (method === "GET" && url.startsWith(own) && !url.startsWith(`${own}api/`))
    event.respondWith(answer(event.request));
});

async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  const lasts = LASTING.test(new URL(request.url).pathname);
  const kept = lasts ? await cache.match(request) : undefined;
  if (kept) return isolated(kept);
  try {
    const response = await fetch(request);
    if (response.ok) {
      const copy = response.clone();
      await cache.put(request, copy).catch(() => undefined); // a full storage: then not offline
      if (request.url.endsWith("/page.json")) await forgetOld(cache, await response.clone().text());
    }
    return isolated(response);
  } catch (error) {
    const last = await cache.match(request);
    if (last) return isolated(last);
    throw error;
  }
}

/** Delete lasting files that the page no longer names. */
async function forgetOld(cache: Cache, description: string): Promise<void> {
  for (const { url } of await cache.keys()) {
    const { pathname } = new URL(url);
    if (LASTING.test(pathname) && !description.includes(pathname.split("/").at(-1)!))
      await cache.delete(url);
  }
}

function isolated(response: Response): Response {
  if (response.type === "opaque" || response.redirected) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  const { status, statusText } = response;
  const body = status === 304 || status === 204 ? null : response.body;
  return new Response(body, { status, statusText, headers });
}
