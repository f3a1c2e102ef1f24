// A container with one template in a real page: the sandbox and its APIs over the browser's own window. Bundled for
// tests/browser/tags.py.
import { Page } from "./page.js";
import { Permissions } from "./permissions.js";
import { compile, run } from "./sandbox.js";
import { filledIn, read } from "./template.js";

class Live extends Page {
  #tokens = new Map();

  constructor(containerId) {
    const { location, document } = window;
    super({ url: location.href, referrer: document.referrer, title: document.title, encoding: document.characterSet, containerId, window });
    Object.defineProperty(this, "now", { get: () => Date.now() });
    // As maps, which the APIs expect.
    this.storage = { get: (key) => window.localStorage.getItem(key), set: (key, text) => window.localStorage.setItem(key, text) };
    const cookies = () => new Map(document.cookie.split("; ").map((pair) => [pair.split("=")[0], pair.slice(pair.indexOf("=") + 1)]));
    this.cookies = { has: (name) => cookies().has(name), get: (name) => decodeURIComponent(cookies().get(name)) };
  }

  random(below) {
    return Math.floor(Math.random() * below);
  }

  writeCookie({ name, value, path, secure, samesite }) {
    window.document.cookie = `${name}=${value};path=${path};samesite=${samesite}${secure ? ";secure" : ""}`;
  }

  load(url, onSuccess, onFailure, token) {
    if (!this.#tokens.has(token)) {
      const script = Object.assign(window.document.createElement("script"), { src: url, async: true });
      const loaded = new Promise((resolve, reject) => {
        script.onload = resolve;
        script.onerror = reject;
      });
      this.#tokens.set(token, loaded);
      window.document.head.append(script);
    }
    this.#tokens.get(token).then(onSuccess, onFailure);
  }
}

/** A container of this page with tags of this template. */
export function container(containerId, text) {
  const { fields, code, permissions } = read(text);
  const [program, granted, page] = [compile(code), new Permissions(permissions), new Live(containerId)];
  return {
    page,
    /** Fires a tag on an event of the data layer: how it ended. */
    fire: (values, dataLayer) =>
      new Promise((resolve, reject) => {
        page.dataLayer = dataLayer;
        const apis = page.apis(granted);
        const data = { ...filledIn(fields, values), gtmOnSuccess: () => resolve("success"), gtmOnFailure: () => resolve("failure") };
        try {
          run(program, { require: (name) => apis[name], data });
        } catch (fault) {
          reject(fault);
        }
      }),
  };
}
