// The tracker's core: commands, consent, who the visitor is, what an event says. `delivery` sends it; what else there is
// adds itself to `hooks`, `starts` and `commands`.
//
// Nothing of it throws into the page: whatever the page or the browser calls is guarded.
import { keep, later, listen, ready, remove, storage } from "./delivery";

export type Values = Record<string, any>;

export const page: any = window;
export const html: any = document;
export const browser: any = navigator;
export const script = html.currentScript;

/** What the page configured. */
export let config: Values = {};
/** Functions that add to the parameters of each event. */
export const hooks: ((params: Values, name: string) => void)[] = [];
/** What features do once there is a configuration. */
export const starts: (() => void)[] = [];

/** The same function, which never throws. */
export const guarded = (act: (...args: any[]) => any) => (...args: any[]) => {
  try {
    return act(...args);
  } catch (fault) {
    // The page must not suffer from its statistics.
  }
};

/** Listens before anybody who might stop the event. */
export const on = (target: EventTarget, names: string, act: (event: any) => any): void =>
  names.split(" ").forEach((name) => target.addEventListener(name, guarded(act), true));

/** Milliseconds since 1970, no two the same on a page, so that events keep their order. */
let newest = 0;
export const now = (): number => (newest = Math.max(newest + 1, Date.now()));

const nineDigits = (): number => (1e8 + Math.random() * 9e8) | 0;

/** What no other page is called. */
export const me = "." + nineDigits() + nineDigits();
/** An id of an event: the time, so that they sort, and the page. */
const newId = (): string => now() + me;

// ── Consent ──

let consent: Values | undefined;
/** Whether the visitor's choice is still to come. */
let isOpen: any;
/** Events that wait for a configuration or for that choice. */
let held: [string, Values, Values, number][] = [];

export const mayStore = (): boolean => !consent || consent.analytics_storage != "denied";

export const release = (): void => {
  isOpen = 0;
  held.splice(0).forEach((call) => record(...call));
};

// ── Visitor and session: `client~session~number~last~views` ──

/** Where they are kept. */
export const jar = {
  read_: (): string => storage()._rs || "",
  write_: (ids: string): void => {
    storage()._rs = ids;
  },
};

/** Puts an event into its session; what begins with it is recorded first. The visitor's id. */
const enter = (name: string, base: Values, time: number): string => {
  let [client, session, number, last, views] = jar.read_().split("~") as any[];
  const begins = !(time - last < 18e5);
  const isNew = !client;
  if (isNew) client = [time, nineDigits(), nineDigits(), nineDigits()].join(".");
  if (begins) {
    session = (time / 1e3) | 0;
    number = ~~number + 1;
    views = 0;
  }
  if (name == "page_view") views++;
  jar.write_([client, session, number, time, views].join("~"));
  base.ga_session_id = +session;
  base.ga_session_number = +number;
  base.session_engaged = views > 1 ? "1" : "0";
  // Their ids are the same where two tabs begin a session at once.
  if (begins && isNew) put("first_visit", base, time, client, session + "." + client);
  if (begins) put("session_start", base, time, client, session + "." + client);
  return client;
};

// ── Events ──

let common: Values = {};
let user: Values = {};
let place = 0;
/** Where the visitor is, which changes in a page that navigates by itself. */
export const spot: Values = { page_location: location.href, page_referrer: html.referrer };
const loaded = Date.now();

const put = (name: string, { items, ...event_params }: Values, time: number, client?: string, id?: string): void => {
  const key = newId();
  keep(
    key,
    JSON.stringify({
      event_name: name,
      event_id: id || key,
      timestamp_micros: time * 1e3,
      client_id: client,
      ...user,
      event_params,
      items,
      privacy_info: consent,
      batch_page_id: loaded,
      batch_ordering_id: ++place,
    }),
  );
};

const record = (name: string, base: Values, params: Values, time: number): void => {
  const denied = !mayStore() && (config.denied || "send");
  if (!config.stream || isOpen || denied == "hold") held.push([name, base, params, time]);
  else if (denied != "drop") {
    const client = denied ? undefined : enter(name, base, time);
    put(name, { ...base, ...params }, time, client);
  }
};

export const commands: Record<string, (a: any, b?: any) => void> = {
  event(name, params) {
    if (!name) return;
    params = { ...params };
    hooks.forEach((hook) => hook(params, name));
    const base = {
      ...spot,
      page_title: html.title,
      ...common,
    };
    record(name, base, params, now());
  },
  set(values) {
    common = { ...common, ...values };
  },
  user(id, properties) {
    user = { user_id: id === undefined ? user.user_id : id, user_properties: { ...user.user_properties, ...properties } };
  },
  consent(kind, { wait_for_update, ...states }) {
    const left = remove();
    // A default denial is often followed by the choice of an earlier visit: that keeps who the visitor is.
    if (kind == "update" && states.analytics_storage == "denied") jar.write_("");
    consent = { ...consent, ...states };
    left.forEach(([key, event]) => keep(key, event));
    if (kind == "default") {
      if (wait_for_update) isOpen = setTimeout(guarded(release), wait_for_update);
      return;
    }
    if (!mayStore() && config.denied) held = [];
    release();
  },
  config(stream, options) {
    const isFirst = !config.stream;
    config = { ...config, ...options, stream };
    ready(
      (config.endpoint || new URL(script.src).origin) +
        "/api/v1/streaming/" +
        stream +
        (config.write_key ? "?write_key=" + config.write_key : ""),
    );
    if (isFirst) {
      starts.forEach((start) => start());
      listen();
      release();
      if (config.send_page_view != false) commands.event!("page_view");
    }
    later(1e3);
  },
};

/** Takes over the queue that the page has filled meanwhile. */
export const start = guarded(() => {
  const call = guarded((name, a, b) => commands[name]!(a, b)) as any;
  const { q } = page.rs || ("" as any);
  // Loaded twice.
  if (q === 0) return;
  page.rs = call;
  call.q = 0;
  q && q.forEach((args: any) => call(...args));
  if (!config.stream && script && script.dataset.stream) call("config", script.dataset.stream);
});
