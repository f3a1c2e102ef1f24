// Who the visitor is, on all hosts of a site and on its other domains.
//
// Ids are in a cookie of the widest domain that the browser takes. Links to the domains in `domains` take them along, for two minutes, with a
// hash of the ids, the time and the browser: a link that is passed on makes nobody somebody else.
import { browser, config, guarded, html, jar, on } from "./core";

/** Cookies; a page that may have none remembers by itself. */
let cookies: { cookie: string } = html;
if (guarded(() => html.cookie)() == null) cookies = { cookie: "" };

const read = (): string => (/(?:^|; )_rs=([^;]+)/.exec(cookies.cookie) || "")[1] || "";

jar.write_ = (ids) => {
  const set = (domain: string): void => {
    if (read() != ids) {
      cookies.cookie = "_rs=" + ids + domain + ";path=/;samesite=lax;max-age=" + (ids ? 63072e3 : 0);
    }
  };
  location.hostname.split(".").reduceRight((domain, label) => {
    set(";domain=" + label + domain);
    return "." + label + domain;
  }, "");
  set("");
  if (read() != ids) cookies = { cookie: "_rs=" + ids };
};

/** FNV-1a of the ids, the time and what tells this browser. */
const sign = (ids: string, time: any): number => {
  let hash = 2166136261;
  for (const letter of ids + time + browser.userAgent + browser.language) hash = Math.imul(hash ^ letter.charCodeAt(0), 16777619);
  return hash >>> 0;
};

const TOKEN = /([?&])_rl=([^&#]*)(&?)/;
let brought = TOKEN.exec(location.href);

jar.read_ = () => {
  if (brought) {
    const [ids, time, signature] = decodeURIComponent(brought[2]!).split("*") as any;
    brought = null;
    if (Math.abs(Date.now() - time) < 12e4 && signature == sign(ids, time)) jar.write_(ids);
  }
  return read();
};

/** The page's address, without what a link brought. */
export const address = (): string => location.href.replace(TOKEN, (_, before, _token, behind) => behind && before);

const isOther = (host: string): boolean =>
  host != location.hostname && (config.domains || []).some((domain: string) => ("." + host).endsWith("." + domain));

/** Whether a link leaves the site. */
export const isOutbound = (host: string): boolean => host != location.hostname && !isOther(host);

on(html, "click auxclick contextmenu submit", ({ type, target }) => {
  const from = type == "submit" ? target : target.closest("a[href]");
  const name = from.href ? "href" : "action";
  const url = new URL(from[name]);
  const ids = read();
  if (!ids || !isOther(url.hostname)) return;
  const time = Date.now();
  const token = ids + "*" + time + "*" + sign(ids, time);
  if (from.method == "get") {
    const field = html.createElement("input");
    field.type = "hidden";
    field.name = "_rl";
    field.value = token;
    from.append(field);
  } else {
    url.searchParams.set("_rl", token);
    from[name] = url.href;
  }
});
