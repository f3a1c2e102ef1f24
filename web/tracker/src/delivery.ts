// Delivery: every event is kept until the collector has answered for it.
//
// An event is written to localStorage at once, each under a key of its own, so that tabs never rewrite each other's. One tab at a
// time sends, by a lock: what any tab has left, and pages before. Where nothing may be stored, the page's memory takes
// its place. What was handed to the browser when its page went is sent once more by the next page, for nobody heard the answer: the ids are
// the same, so the collector stores it once.
import { browser, config, guarded, html, mayStore, me, on, page } from "./core";

/** Letters of one request: below the 64 KiB that browsers allow to those which outlive their page, whatever the language. */
const MOST_LETTERS = 2e4;
/** Most events that wait. */
const MOST = 500;
/** For how long the collector surely knows an event again, in milliseconds. */
const WINDOW = 3e5;
/** How old an event may be: the collector takes the time of older ones for wrong. */
const OLDEST = 2592e5;

let url: string;
/** Keys of the storage are `_rs.stream.time.page`, and `.time` behind it if it was handed over when its page went. */
let prefix: string;

type Texts = Record<string, string>;
/** What stands in for a storage that may not be used, is not there, or is full. */
const memory: Texts = {};
let disk = memory;
try {
  disk = localStorage as any;
} catch (fault) {
  // Not in this frame.
}
export const storage = (): Texts => (mayStore() ? disk : memory);

let flying: string[] = [];
let timer: any;
let until = 0;
let failures = 0;
let isBusy: unknown;
let isGone: unknown;
/** What all events get, as JSON behind their last member. */
let rest = "";
export const add = (json: string): void => {
  rest = json;
};

/** Events that wait, by what their keys end with, the oldest first. */
const waiting = (): string[] =>
  Object.keys(storage())
    .filter((key) => !key.indexOf(prefix))
    .map((key) => key.slice(prefix.length))
    .sort()
    .filter((id) => {
      const [made, , handed] = id.split(".") as any;
      return Date.now() - (handed || made) < (handed ? WINDOW : OLDEST) || drop(id);
    });

const text = (id: string): string => storage()[prefix + id]!;

const drop = (id: string): void => {
  delete storage()[prefix + id];
};

export const keep = (id: string, event: string): void => {
  try {
    storage()[prefix + id] = event;
  } catch (fault) {
    disk = memory;
    memory[prefix + id] = event;
  }
  const ids = waiting();
  ids.slice(0, -MOST).forEach(drop);
  if (ids.length > 9) flush();
  later(1e3);
};

/** What waits, which is then kept nowhere. */
export const remove = (): [string, string][] =>
  waiting().map((id) => {
    const event = text(id);
    drop(id);
    return [id, event];
  });

/** Nothing is left in the browser, of no stream. */
export const clear = (): void =>
  Object.keys(disk).forEach((key) => {
    if (!key.indexOf("_rs")) delete disk[key];
  });

/** As many of these as go into one request. */
const take = (ids: string[]): string[] => {
  let length = 0;
  return ids.filter((id, index) => (length += text(id).length) < MOST_LETTERS || !index);
};

const body = (ids: string[]): string => "[" + ids.map((id) => text(id).slice(0, -1) + rest + "}") + "]";

export const later = (pause: number): void => {
  timer = timer || setTimeout(guarded(flush), Math.max(pause, until - Date.now()));
};

const flush = (): void => {
  clearTimeout(timer);
  timer = 0;
  if (until > Date.now()) later(0);
  else if (!isGone && !isBusy) {
    const done = () => (isBusy = 0);
    isBusy = 1;
    (browser.locks ? browser.locks.request(prefix, send) : send()).then(done, done);
  }
};

const send = async (): Promise<void> => {
  for (let ids; (flying = ids = take(waiting()))[0]; ) {
    const sent = body(ids);
    let status = 0;
    let pause = 0;
    let refused: any[] = [];
    try {
      const answer = await fetch(url, {
        method: "POST",
        body: sent,
        credentials: config.credentials || "include",
        keepalive: sent.length < MOST_LETTERS,
        signal: AbortSignal.timeout && AbortSignal.timeout(3e4),
      });
      status = answer.status;
      pause = +(answer.headers.get("Retry-After") || 0);
      if (status > 499) refused = (await answer.json()).details;
    } catch (fault) {
      // No answer, or none of the collector's.
    }
    if (status && status < 500 && status != 408 && status != 429) {
      ids.forEach(drop);
      failures = 0;
    } else {
      // Of an array some may be stored.
      ids.forEach((id, index) => refused[0] && !refused.some((one) => one.index == index) && drop(id));
      until = Date.now() + Math.max(pause, Math.min(60, 2 ** failures++)) * (1 + Math.random()) * 1e3;
      flying = [];
      return later(0);
    }
  }
};

export const ready = (address: string): void => {
  url = address;
  prefix = "_rs." + config.stream + ".";
};

export const listen = (): void => {
  on(page, "pagehide", () => {
    isGone = 1;
    let handed = flying;
    const batch = take(waiting().filter((id) => id.indexOf(me) > 0 && !flying.includes(id)));
    if (batch[0] && browser.sendBeacon(url, body(batch))) handed = handed.concat(batch);
    // A page that came back from the browser's memory may have handed over some before.
    handed.forEach((id) => {
      const event = text(id);
      drop(id);
      if (event) storage()[prefix + id + "." + Date.now()] = event;
    });
    flying = [];
  });
  on(page, "pageshow online", () => {
    isGone = until = 0;
    later(1e3);
  });
  on(html, "visibilitychange", flush);
};
