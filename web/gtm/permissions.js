// What a template may do: its permissions, in the form in which Tag Manager exports them, as questions.
// https://developers.google.com/tag-platform/tag-manager/templates/permissions

/** A value of the export: 1 text, 2 list, 3 map, 8 truth. */
function plain(value) {
  switch (value.type) {
    case 1:
      return text(value.string);
    case 2:
      return value.listItem.map(plain);
    case 3: {
      check(value.mapKey.length === value.mapValue.length, "a map with as many keys as values");
      return Object.fromEntries(value.mapKey.map((key, at) => [plain(key), plain(value.mapValue[at])]));
    }
    case 8:
      check(typeof value.boolean === "boolean", "true or false");
      return value.boolean;
    default:
      throw new Error(`a permission has a value of the type ${value.type}`);
  }
}

function check(holds, what) {
  if (!holds) throw new Error(`a permission must have ${what}`);
}

function text(value) {
  check(typeof value === "string", "a text");
  return value;
}

/** A key matches itself; with `.*` behind, all below it. */
const matchesKey = (pattern, key) =>
  pattern === "*" || pattern === key || (pattern.endsWith(".*") && key.startsWith(pattern.slice(0, -1)));

/** Whether an address is one of a pattern: https, a host or `*.` and its domain, a path that may end with `*`. */
export function matchesUrl(pattern, url) {
  const parts = /^https:\/\/(\*\.)?([\w.-]+(?::\d+)?)(\/[^?#]*)$/.exec(pattern);
  check(parts, `https, a host and a path in ${pattern}`);
  const [, anySubdomain, host, path] = parts;
  check(!path.slice(0, -1).includes("*"), `no * but at the end of ${pattern}`);
  let parsed;
  try {
    parsed = new URL(url);
  } catch {
    return false;
  }
  if (parsed.protocol !== "https:" || parsed.username || parsed.password) return false;
  const isHost = anySubdomain ? parsed.host === host || parsed.host.endsWith(`.${host}`) : parsed.host === host;
  const isPath = path.endsWith("*") ? parsed.pathname.startsWith(path.slice(0, -1)) : parsed.pathname === path;
  return isHost && isPath;
}

/** Some of the names that every browser's window has: no permission can be had for them. */
const OF_BROWSERS =
  "window self top parent document location history navigator screen innerWidth innerHeight localStorage sessionStorage fetch name status";

const access = (entry, way) => (way === "readwrite" ? entry.read && entry.write : entry[way] === true);

/** Of each permission: what its settings allow. */
const KINDS = {
  access_consent: ({ consentTypes }) => (type, way) => consentTypes.some((entry) => entry.consentType === type && access(entry, way)),
  access_globals: ({ keys }) => {
    const isOfBrowsers = (name) => name in globalThis || OF_BROWSERS.split(" ").includes(name);
    keys.forEach(({ key }) => check(!isOfBrowsers(key.split(".")[0]), `no name that browsers have, ${key}`));
    return (way, key) => keys.some((entry) => entry.key === key && access(entry, way));
  },
  access_local_storage: ({ keys }) => (way, key) => keys.some((entry) => entry.key === key && access(entry, way)),
  access_template_storage: () => () => true,
  get_cookies: ({ cookieAccess, cookieNames }) => {
    check(cookieAccess === "specific" && cookieNames.length > 0, "names of the cookies that are read");
    return (name) => cookieNames.includes(name);
  },
  get_referrer: ({ urlParts }) => () => urlParts === "any",
  get_url: ({ urlParts }) => () => urlParts === "any",
  inject_script: ({ urls }) => (url) => urls.some((pattern) => matchesUrl(pattern, url)),
  logging: ({ environments }) => {
    check(["debug", "all"].includes(environments), "debug or all");
    return () => true;
  },
  read_character_set: () => () => true,
  read_container_data: () => () => true,
  read_data_layer: ({ allowedKeys, keyPatterns }) => {
    check(allowedKeys === "specific" && keyPatterns.length > 0, "the keys that are read");
    return (key) => keyPatterns.some((pattern) => matchesKey(pattern, key));
  },
  read_title: () => () => true,
  set_cookies: ({ allowedCookies }) => (name, options = {}) =>
    allowedCookies.some(
      (entry) =>
        entry.name === name &&
        ["*", options.domain].includes(entry.domain) &&
        ["*", options.path].includes(entry.path) &&
        (entry.secure === "any" || (entry.secure === "secure") === Boolean(options.secure)) &&
        (entry.session === "any" || (entry.session === "session") === !("max-age" in options || "expires" in options)),
    ),
};

/** The permissions of an export, to be asked: `allows("get_cookies", "a")`. What was ever granted is remembered. */
export class Permissions {
  #questions = new Map();
  /** What was granted, as texts. */
  granted = new Set();

  constructor(exported) {
    for (const { instance, isRequired } of exported) {
      const { publicId, versionId } = instance.key;
      check(versionId === "1" && isRequired === true, `the form of an export: ${publicId}`);
      check(Object.hasOwn(KINDS, publicId), `a name that is known: ${publicId}`);
      check(!this.#questions.has(publicId), `its place once: ${publicId}`);
      const settings = Object.fromEntries(instance.param.map(({ key, value }) => [key, plain(value)]));
      this.#questions.set(publicId, KINDS[publicId](settings));
    }
  }

  names() {
    return [...this.#questions.keys()];
  }

  allows(permission, ...details) {
    const question = this.#questions.get(permission);
    const allowed = question !== undefined && question(...details);
    if (allowed) this.granted.add([permission, ...details.filter((detail) => typeof detail === "string")].join(" "));
    return allowed;
  }
}

/** All that an export grants and that can be told apart, as `Permissions.granted` tells it once it was used. */
export function grants(exported) {
  const all = [];
  for (const { instance } of exported) {
    const name = instance.key.publicId;
    const settings = Object.fromEntries(instance.param.map(({ key, value }) => [key, plain(value)]));
    const ways = (entry) => ["read", "write", "execute"].filter((way) => entry[way]);
    switch (name) {
      case "access_consent":
        settings.consentTypes.forEach((entry) => ways(entry).forEach((way) => all.push(`${name} ${entry.consentType} ${way}`)));
        break;
      case "access_globals":
      case "access_local_storage":
        settings.keys.forEach((entry) => ways(entry).forEach((way) => all.push(`${name} ${way} ${entry.key}`)));
        break;
      case "get_cookies":
        settings.cookieNames.forEach((cookie) => all.push(`${name} ${cookie}`));
        break;
      case "set_cookies":
        settings.allowedCookies.forEach((entry) => all.push(`${name} ${entry.name}`));
        break;
      case "read_data_layer":
        settings.keyPatterns.forEach((key) => all.push(`${name} ${key}`));
        break;
      case "inject_script":
        settings.urls.forEach((url) => all.push(`${name} ${url}`));
        break;
      default:
        all.push(name);
    }
  }
  return all;
}
