// A tag of a template, fired in a page; and the tests that the template brings, run as Tag Manager's editor runs them.
// https://developers.google.com/tag-platform/tag-manager/templates/tests
import { isDeepStrictEqual } from "node:util";
import { Page } from "./page.js";
import { Permissions, grants } from "./permissions.js";
import { Refused, compile, run, typeOf } from "./sandbox.js";
import { script } from "./script.js";
import { filledIn, read } from "./template.js";

/** Which permission an API asks for. */
const NEEDS = {
  addConsentListener: "access_consent",
  callInWindow: "access_globals",
  copyFromDataLayer: "read_data_layer",
  copyFromWindow: "access_globals",
  getContainerVersion: "read_container_data",
  getCookieValues: "get_cookies",
  getReferrerUrl: "get_referrer",
  getUrl: "get_url",
  injectScript: "inject_script",
  isConsentGranted: "access_consent",
  localStorage: "access_local_storage",
  logToConsole: "logging",
  readCharacterSet: "read_character_set",
  readTitle: "read_title",
  setCookie: "set_cookies",
  setInWindow: "access_globals",
  templateStorage: "access_template_storage",
};

const requires = (apis, asked) => (name) => {
  if (typeof name !== "string" || !Object.hasOwn(apis, name)) throw new Refused(`there is no API ${String(name)}`);
  asked?.add(name);
  return apis[name];
};

export class Template {
  /** Names of the APIs that its code asked for. */
  asked = new Set();

  constructor(text) {
    Object.assign(this, read(text));
    this.exported = this.permissions;
    this.permissions = new Permissions(this.exported);
    this.program = compile(this.code);
  }

  /** Fires a tag with these fields; how it ended, and what it sent at once. */
  fire(fields, page = new Page()) {
    const before = page.sent.length;
    const ended = [];
    const server = String(fields.gtm_server_domain ?? "").replace(/^(?!https?:)/, "https://").replace(/\/+$/, "");
    const loads = script(page);
    for (const path of ["/static/v6.js", "/api/v1/fetch/v6.js"]) page.scripts.set(server + path, loads);
    const data = {
      ...filledIn(this.fields, fields),
      gtmOnSuccess: () => ended.push("success"),
      gtmOnFailure: () => ended.push("failure"),
      gtmTagId: 1,
      gtmEventId: 1,
    };
    run(this.program, { require: requires(page.apis(this.permissions), this.asked), data });
    page.settle();
    return { sent: page.sent.slice(before), ended, page };
  }

  /** Runs the tests that the template brings: each with its fault, if it has one. */
  test() {
    return this.scenarios.map(({ name, code }) => {
      try {
        this.#scenario(`${this.setup}\n${code}`);
        return { name };
      } catch (error) {
        return { name, fault: error.message };
      }
    });
  }

  #scenario(code) {
    const page = new Page();
    const real = page.apis(this.permissions);
    const calls = new Map();
    const called = (name, given) => void calls.set(name, [...(calls.get(name) ?? []), given]);
    const mocks = new Map();
    const watched = Object.fromEntries(
      Object.entries(real).map(([name, api]) => [
        name,
        typeof api === "function"
          ? (...given) => {
              called(name, given);
              const mocked = mocks.has(name) ? mocks.get(name) : api;
              return typeof mocked === "function" ? mocked(...given) : mocked;
            }
          : Object.fromEntries(
              Object.entries(api).map(([method, does]) => [method, (...given) => (mocks.get(name)?.[method] ?? does)(...given)]),
            ),
      ]),
    );
    const mocking = (kind) => (name, held) => {
      if (!Object.hasOwn(real, name) || typeof real[name] !== kind) throw new Error(`there is no API ${name} to mock so`);
      if (kind === "object" && typeOf(held) !== "object") throw new Error(`${name} is mocked by an object`);
      mocks.set(name, held);
    };
    const endings = ["gtmOnSuccess", "gtmOnFailure"];
    let assertions = 0;
    const counted = (matchers) => ((assertions += 1), matchers);
    run(compile(code), {
      require: requires(watched),
      mock: mocking("function"),
      mockObject: mocking("object"),
      runCode: (fields) => {
        for (const name of Object.keys(fields)) {
          if (!this.fields.has(name)) throw new Error(`the template has no field ${name}`);
        }
        const data = { ...fields };
        for (const name of endings) data[name] = (...given) => called(name, given);
        run(this.program, { require: requires(watched, this.asked), data });
        page.settle();
      },
      assertThat: (actual, message) => counted(assertThat(actual, message)),
      assertApi: (name) => {
        if (!Object.hasOwn(real, name) && !endings.includes(name)) throw new Error(`there is no API ${name}`);
        return counted(assertApi(name, calls.get(name) ?? []));
      },
      fail: (message) => {
        throw new Error(message ?? "the test says so");
      },
    });
    if (assertions === 0) throw new Error("it asserts nothing");
  }

  /** What is wrong with the permissions: missing for what the code asks for, or granted for nothing. Asked after all tests. */
  permissionFaults() {
    const has = this.permissions.names();
    const needed = new Set([...this.asked].map((name) => NEEDS[name]).filter(Boolean));
    const missing = [...needed].filter((name) => !has.includes(name)).map((name) => `${name} is missing`);
    const idle = has.filter((name) => !needed.has(name)).map((name) => `${name} is granted for nothing`);
    const granted = [...this.permissions.granted];
    const used = (grant) => granted.some((one) => one === grant || one.startsWith(`${grant} `));
    const never = grants(this.exported).filter((grant) => !used(grant)).map((grant) => `${grant} is never used`);
    return [...missing, ...idle, ...never];
  }
}

const shown = (value) => JSON.stringify(value) ?? String(value);

function assertThat(actual, message) {
  const type = typeOf(actual);
  const is = (holds, what) => {
    if (!holds) throw new Error(`${message ? `${message}: ` : ""}${shown(actual)} ${what}`);
  };
  const equal = (expected) => isDeepStrictEqual(actual, expected);
  const has = (one) => (type === "string" ? actual.includes(one) : actual.some((element) => isDeepStrictEqual(element, one)));
  const isType = (expected) => () => is(type === expected, `is ${type}, not ${expected}`);
  return {
    isUndefined: isType("undefined"),
    isDefined: () => is(type !== "undefined", "is undefined"),
    isNull: isType("null"),
    isNotNull: () => is(type !== "null", "is null"),
    isTrue: () => is(actual === true, "is not true"),
    isFalse: () => is(actual === false, "is not false"),
    isTruthy: () => is(actual, "is not truthy"),
    isFalsy: () => is(!actual, "is not falsy"),
    isEqualTo: (expected) => is(equal(expected), `is not ${shown(expected)}`),
    isNotEqualTo: (expected) => is(!equal(expected), "should be something else"),
    isStrictlyEqualTo: (expected) => is(actual === expected, `is not ${shown(expected)}`),
    isGreaterThan: (expected) => is(actual > expected, `is not above ${expected}`),
    isLessThan: (expected) => is(actual < expected, `is not below ${expected}`),
    contains: (...expected) => expected.forEach((one) => is(has(one), `does not contain ${shown(one)}`)),
    doesNotContain: (...expected) => expected.forEach((one) => is(!has(one), `contains ${shown(one)}`)),
    hasLength: (expected) => is(actual.length === expected, `has not the length ${expected}`),
    isEmpty: () => is(actual.length === 0, "is not empty"),
    isArray: isType("array"),
    isBoolean: isType("boolean"),
    isFunction: isType("function"),
    isNumber: isType("number"),
    isObject: isType("object"),
    isString: isType("string"),
  };
}

function assertApi(name, calls) {
  const is = (holds, what) => {
    if (!holds) throw new Error(`${name} ${what}: ${shown(calls)}`);
  };
  const wasCalledWith = (given) => calls.some((call) => isDeepStrictEqual(call, given));
  return {
    wasCalled: () => is(calls.length > 0, "was not called"),
    wasNotCalled: () => is(calls.length === 0, "was called"),
    wasCalledWith: (...given) => is(wasCalledWith(given), `was not called with ${shown(given)}`),
    wasNotCalledWith: (...given) => is(!wasCalledWith(given), `was called with ${shown(given)}`),
  };
}
