// A page in which a container runs: its address, its window, its cookies, the visitor's choices; and the sandbox's APIs over it, as
// documented. An API that is not here does not exist; one that the template has no permission for throws.
// https://developers.google.com/tag-platform/tag-manager/templates/api
import { Refused, typeOf } from "./sandbox.js";

/** Where these tests have their page. */
export const DEFAULTS = {
  url: "https://shop.example.com/",
  referrer: "",
  title: "Shop",
  encoding: "UTF-8",
  screen: { width: 1920, height: 1080 },
  viewport: { width: 1440, height: 900 },
  containerId: "GTM-TEST",
  now: 1_766_400_600_000,
};

/** What crosses between window and sandbox: copies of the eight types; anything else is undefined. */
function copied(value, seen = new Set()) {
  const type = typeOf(value);
  if (["undefined", "null", "boolean", "number", "string", "function"].includes(type)) return value;
  if (!["object", "array"].includes(type) || seen.has(value)) return undefined;
  const inner = new Set([...seen, value]);
  if (type === "array") return value.map((element) => copied(element, inner));
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) return undefined;
  return Object.fromEntries(Object.entries(value).map(([key, held]) => [key, copied(held, inner)]));
}

/** Below `object`, what a dotted path leads to, and its holder. */
function walk(object, path) {
  const keys = path.split(".");
  const last = keys.pop();
  let holder = object;
  for (const key of keys) holder = holder?.[key];
  return { holder, last, value: holder?.[last] };
}

export class Page {
  cookies = new Map();
  storage = new Map();
  window = {};
  dataLayer = {};
  /** Only what the visitor, or a default, decided: type → granted. */
  consent = {};
  /** Scripts that exist: address → what it does with the window. */
  scripts = new Map();
  injected = [];
  setCookies = [];
  console = [];
  /** What the script was given to send. */
  sent = [];
  #listeners = [];
  #later = [];
  #loaded = new Map();
  #templates = new Map();
  #random = 0;

  constructor(settings = {}) {
    Object.assign(this, structuredClone(DEFAULTS), settings);
  }

  /** Lets everything happen that was put off, such as the loading of scripts. */
  settle() {
    while (this.#later.length > 0) this.#later.shift()();
  }

  /** The visitor decides. */
  choose(type, granted) {
    const before = this.consent[type] !== false;
    this.consent[type] = granted;
    if (before !== granted) this.#listeners.filter((one) => one.type === type).forEach((one) => one.listener(type, granted));
  }

  load(url, onSuccess, onFailure, token) {
    const known = token === undefined ? undefined : this.#loaded.get(token);
    if (known) return this.#later.push(known.works ? onSuccess : onFailure);
    const script = this.scripts.get(url);
    this.injected.push(url);
    if (token !== undefined) this.#loaded.set(token, { works: script !== undefined });
    return this.#later.push(() => {
      script?.(this.window);
      (script ? onSuccess : onFailure)();
    });
  }

  writeCookie(cookie) {
    this.setCookies.push(cookie);
    this.cookies.set(cookie.name, decodeURIComponent(cookie.value));
  }

  /** A whole number below this one. */
  random(below) {
    this.#random = (this.#random * 1_103_515_245 + 12_345) % 2_147_483_648;
    return this.#random % below;
  }

  /** The APIs for a template with these permissions. */
  apis(permissions) {
    const need = (permission, ...details) => {
      if (!permissions.allows(permission, ...details)) {
        throw new Refused(`the permission ${permission} does not allow ${details.map((detail) => JSON.stringify(detail)).join(" ")}`);
      }
    };
    const kinds = (name, given, expected) =>
      expected.forEach((allowed, at) => {
        const type = typeOf(given[at]);
        if (!allowed.split(" ").includes(type)) throw new Refused(`${name} got ${type} as argument ${at + 1}`);
      });
    /** An API that checks what it is given: a type, or several, for each argument. */
    const api = (name, expected, does) => [
      name,
      (...given) => {
        if (given.length > expected.length && expected.at(-1) !== "...") throw new Refused(`${name} got ${given.length} arguments`);
        kinds(name, given, expected.filter((allowed) => allowed !== "..."));
        return does(...given);
      },
    ];
    const any = "undefined null boolean number string object array function";
    const url = new URL(this.url);
    const part = (address, component, hasFragment) => {
      if (address === "") return "";
      const parsed = new URL(address);
      const parts = {
        protocol: parsed.protocol.slice(0, -1),
        host: parsed.hostname,
        port: parsed.port || (parsed.protocol === "https:" ? "443" : "80"),
        path: parsed.pathname,
        query: parsed.search.slice(1),
        extension: /\.(\w+)$/.exec(parsed.pathname)?.[1] ?? "",
        ...(hasFragment && { fragment: parsed.hash.slice(1) }),
      };
      return Object.hasOwn(parts, component ?? "") ? parts[component] : address;
    };
    const template = this.#templates;
    const storageApi = {
      getItem: (key) => (need("access_local_storage", "read", key), this.storage.get(key) ?? null),
      setItem: (key, text) => (need("access_local_storage", "write", key), this.storage.set(key, String(text)), true),
      removeItem: (key) => (need("access_local_storage", "write", key), this.storage.delete(key), true),
    };
    const templateApi = {
      getItem: (key) => (need("access_template_storage"), template.has(key) ? template.get(key) : null),
      setItem: (key, held) => (need("access_template_storage"), template.set(key, held), true),
      removeItem: (key) => (need("access_template_storage"), template.delete(key), true),
      clear: () => (need("access_template_storage"), template.clear()),
    };
    const objects = {
      JSON: {
        parse: (text) => attempt(() => JSON.parse(text)),
        stringify: (held) => attempt(() => JSON.stringify(held)),
      },
      Math: Object.fromEntries(["abs", "ceil", "floor", "max", "min", "pow", "round", "sqrt"].map((name) => [name, Math[name]])),
      Object: {
        keys: (held) => Object.keys(held),
        values: (held) => Object.values(held),
        entries: (held) => Object.entries(held),
        freeze: (held) => Object.freeze(held),
        delete: (held, key) => delete held[key],
      },
      localStorage: storageApi,
      templateStorage: templateApi,
    };
    const functions = Object.fromEntries([
      api("addConsentListener", ["string", "function"], (type, listener) => {
        need("access_consent", type, "read");
        this.#listeners.push({ type, listener });
      }),
      api("callInWindow", ["string", "..."], (path, ...given) => {
        need("access_globals", "execute", path);
        const { holder, value } = walk(this.window, path);
        return typeof value === "function" ? copied(value.apply(holder, given.map((one) => copied(one)))) : undefined;
      }),
      api("callLater", ["function"], (callback) => void this.#later.push(callback)),
      api("copyFromDataLayer", ["string", "undefined number"], (key) => {
        need("read_data_layer", key);
        return copied(key in this.dataLayer ? this.dataLayer[key] : walk(this.dataLayer, key).value);
      }),
      api("copyFromWindow", ["string"], (key) => {
        need("access_globals", "read", key);
        return copied(walk(this.window, key).value);
      }),
      api("decodeUri", ["string"], (text) => attempt(() => decodeURI(text))),
      api("decodeUriComponent", ["string"], (text) => attempt(() => decodeURIComponent(text))),
      api("encodeUri", ["string"], (text) => attempt(() => encodeURI(text))),
      api("encodeUriComponent", ["string"], (text) => attempt(() => encodeURIComponent(text))),
      api("fromBase64", ["string"], (text) =>
        attempt(() => new TextDecoder().decode(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)))),
      ),
      api("generateRandom", ["number", "number"], (min, max) => min + this.random(max - min + 1)),
      api("getContainerVersion", [], () => {
        need("read_container_data");
        return { containerId: this.containerId, debugMode: false, environmentName: "", environmentMode: false, previewMode: false, version: "1" };
      }),
      api("getCookieValues", ["string", "undefined boolean"], (name) => {
        need("get_cookies", name);
        return this.cookies.has(name) ? [this.cookies.get(name)] : [];
      }),
      api("getReferrerUrl", ["undefined null string"], (component) => {
        need("get_referrer");
        return part(this.referrer, component, false);
      }),
      api("getTimestampMillis", [], () => this.now),
      api("getType", [any], typeOf),
      api("getUrl", ["undefined null string"], (component) => {
        need("get_url");
        return part(url.href, component, true);
      }),
      api("injectScript", ["string", "undefined function", "undefined function", "undefined string"], (address, ...rest) => {
        need("inject_script", address);
        const [onSuccess = () => {}, onFailure = () => {}, token] = rest;
        this.load(address, onSuccess, onFailure, token);
      }),
      api("isConsentGranted", ["string"], (type) => {
        need("access_consent", type, "read");
        return this.consent[type] !== false;
      }),
      api("logToConsole", ["..."], (...told) => {
        need("logging");
        this.console.push(told.join(" "));
      }),
      api("makeInteger", [any], (held) => Number.parseInt(held, 10)),
      api("makeNumber", [any], Number),
      api("makeString", [any], String),
      api("makeTableMap", ["array", "string", "string"], (rows, key, held) => Object.fromEntries(rows.map((row) => [row[key], row[held]]))),
      api("parseUrl", ["string"], (text) => attempt(() => new URL(text) && { href: text })),
      api("queryPermission", ["string", "..."], (permission, ...details) => permissions.allows(permission, ...details)),
      api("readCharacterSet", [], () => (need("read_character_set"), this.encoding)),
      api("readTitle", [], () => (need("read_title"), this.title)),
      api("setCookie", ["string", "string", "undefined object", "undefined boolean"], (name, text, options, encode = true) => {
        const known = ["domain", "path", "max-age", "expires", "secure", "samesite"];
        Object.keys(options ?? {}).forEach((key) => known.includes(key) || need(`set_cookies with the option ${key}`));
        need("set_cookies", name, options);
        this.writeCookie({ name, value: encode ? encodeURIComponent(text) : text, ...options });
      }),
      api("setInWindow", ["string", any, "undefined boolean"], (key, held, overrides = false) => {
        need("access_globals", "write", key);
        const { holder, last, value } = walk(this.window, key);
        if (!holder || (value !== undefined && !overrides)) return false;
        holder[last] = copied(held);
        return true;
      }),
      api("sha256", ["string", "function", "undefined function", "undefined object"], (text, onSuccess, onFailure, options) => {
        crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)).then((digest) => {
          const bytes = [...new Uint8Array(digest)];
          const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
          onSuccess(options?.outputEncoding === "hex" ? hex : btoa(String.fromCharCode(...bytes)));
        }, onFailure);
      }),
      api("toBase64", ["string"], (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)))),
    ]);
    return { ...objects, ...functions };
  }
}

function attempt(does) {
  try {
    return does();
  } catch {
    return undefined;
  }
}
