// The template under ../../static/gtm, and the sandbox in which it is tried: what it must refuse it refuses.
//
//   node --test gtm/gtm.test.js
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Page } from "./page.js";
import { Permissions, matchesUrl } from "./permissions.js";
import { Refused, compile, run } from "./sandbox.js";
import { Template } from "./tag.js";
import { SECTIONS, filledIn, sections } from "./template.js";

const TEXT = readFileSync(new URL("../../static/gtm/template.tpl", import.meta.url), "utf8");
const HOST = "https://collect.example.com";
const row = (name, value, more) => ({ name, value, transformation: "none", store: "none", ...more });
const tag = (fields) => ({ gtm_server_domain: HOST, stream_id: "3", ...fields });

test("all sections are there, in their order", () => {
  assert.deepEqual(Object.keys(sections(TEXT)), SECTIONS);
  assert.throws(() => sections(TEXT.replace("___NOTES___", "___REMARKS___")), /nobody knows/);
  assert.throws(() => sections(TEXT.slice(0, TEXT.indexOf("___TESTS___"))), /has the sections/);
  assert.throws(() => sections(`${TEXT}\n___NOTES___\n`), /twice/);
});

test("fields have the names and defaults of the predecessor's", () => {
  const { fields } = new Template(TEXT);
  const defaults = filledIn(fields, tag({}));
  assert.deepEqual(defaults, {
    gtm_server_domain: HOST,
    stream_id: "3",
    event_type: "standard",
    event_name_standard: "page_view",
    add_common: true,
    add_data_layer: false,
    add_consent_state: false,
    add_common_cookie: false,
    request_type: "post",
    protocol_version: 2,
    addGaParameters: false,
    dataLayerEventPush: false,
    richsstsse: false,
    waitForCookies: false,
    useFetchInsteadOfXHR: true,
    // These it did not have.
    add_ecommerce: false,
    when_denied: "send",
  });
  const without = ["event_name_custom", "custom_data", "user_data", "data_tag_load_script_url", "gaId", "dataLayerEventName", "dataLayerVariableName"];
  assert.deepEqual([...fields.keys()].sort(), [...Object.keys(defaults), ...without].sort());
  assert.equal(fields.get("event_name_standard").selectItems.length, 26);
  const columns = (name) => fields.get(name).simpleTableColumns;
  assert.deepEqual(columns("custom_data").map((column) => column.name), ["name", "value", "transformation", "store"]);
  assert.deepEqual(
    columns("user_data").map((column) => column.selectItems?.map((item) => item.value).join(" ")),
    [
      "email_address phone_number first_name last_name gender db street city region postal_code country user_id",
      undefined,
      "none trim to_lower_case md5 base64 sha256base64 sha256hex",
      "none all localStorage cookies",
    ],
  );
  for (const bad of [{ stream_id: "" }, { data_tag_load_script_url: "ftp://a/b.js" }, { request_type: "get" }, { unknown: 1 }]) {
    assert.throws(() => filledIn(fields, tag(bad)), /the template/, JSON.stringify(bad));
  }
});

test("the guide knows each field and its default", () => {
  const guide = readFileSync(new URL("../../docs/gtm.md", import.meta.url), "utf8");
  const table = guide.slice(guide.indexOf("## Fields"), guide.indexOf("## Values"));
  const rows = table.matchAll(/^\| `(\w+)` \|(.*?)\|/gm);
  const described = [...rows].map(([, name, value]) => [name, value.replaceAll("`", "").trim()]);
  const shown = ({ type, defaultValue }) => (type === "CHECKBOX" ? (defaultValue ? "on" : "off") : String(defaultValue ?? ""));
  const fields = [...new Template(TEXT).fields].map(([name, field]) => [name, shown(field)]);
  assert.deepEqual(described.sort(), fields.sort());
});

test("the tests that it brings pass", () => {
  const results = new Template(TEXT).test();
  assert.ok(results.length >= 30, `${results.length} tests`);
  assert.deepEqual(results.filter(({ fault }) => fault), []);
});

test("the tests that it brings fail where the code is broken", () => {
  const breakages = [
    ["'https://' + server", "'http://' + server"],
    ["given === '' || given === ELSEWHERE", "given === ''"],
    ["'/static/v6.js'", "'/static/rs.js'"],
    ["!queryPermission('inject_script', script)", "false"],
    ["getType(browser) !== 'object'", "false"],
    ["makeString(number) === text && isExactWhole(number)", "true"],
    ["hasLeadingZero || magnitude.length > 16", "hasLeadingZero"],
    ["parts.length <= 2 && parts.every(isDigits)", "parts.length <= 2"],
    ["if (value - value !== 0) return undefined;\n    return", "return"],
    ["if (place < 0) {", "if (true) {"],
    ["count === 1 ? id : id + '.' + count", "id"],
    ["+ (gtmEvent || '0')", ""],
    ["data.add_consent_state || isDenied", "data.add_consent_state"],
    ["const user = mayKeep ? rowsOf(data.user_data) : [];", "const user = rowsOf(data.user_data);"],
    ["if (mayKeep) store(", "store("],
    ["if (mayKeep) {\n    payload.client_id", "{\n    payload.client_id"],
    ["localStorage.getItem(VISITOR) || templateStorage", "templateStorage"],
    ["|| templateStorage.getItem('visitor')", ""],
    ["getCookieValues(VISITOR)[0] ||", ""],
    ["(ofTracker && ofTracker.split('~')[0])", "ofTracker"],
    ["mayKeep && consent.ad_storage", "true"],
    ["if (!isGranted || event.waited) return;", "if (event.waited) return;"],
    ["if (!isGranted || event.waited) return;", "if (!isGranted) return;"],
    ["if (event.waited) payload.timestamp_micros", "payload.timestamp_micros"],
    ["isDigest) params.put", "isDigest) properties.put"],
    ["row.name === 'user_id' && text !== ''", "false"],
    ["name !== 'gtm' && name !== 'gtm.element'", "true"],
    ["|| name === 'items' || name === 'item_params'", ""],
    ["WHOLE_NUMBERS.indexOf(name) < 0 || isExactWhole(number)", "true"],
    ["params.putMissing('page_title'", "params.put('page_title'"],
    ["params.putMissing('page_path'", "params.putMissing('page'"],
    ["data.useFetchInsteadOfXHR !== false", "true"],
    ["data.dataLayerEventPush ? data.dataLayerEventName : undefined", "data.dataLayerEventName"],
    ["isDigits(inPath) ? inPath :", "false ? inPath :"],
    ["getUrl('host') === PREVIEW_HOST", "false"],
  ];
  for (const [from, to] of breakages) {
    assert.equal(TEXT.split(from).length, 2, `this is not there once: ${from}`);
    const faults = new Template(TEXT.replace(from, () => to)).test().filter(({ fault }) => fault);
    assert.notDeepEqual(faults, [], `no test sees that "${from}" became "${to}"`);
  }
});

test("it does all that it can with the permissions that it has, and has none besides", () => {
  const template = new Template(TEXT);
  const all = tag({
    add_data_layer: true,
    add_ecommerce: true,
    add_consent_state: true,
    add_common_cookie: true,
    custom_data: [row("a", "b", { transformation: "md5", store: "all" })],
    user_data: [row("user_id", "u", { transformation: "sha256hex", store: "all" })],
    addGaParameters: true,
    gaId: "G-TEST",
    dataLayerEventPush: true,
    dataLayerEventName: "collected",
  });
  assert.deepEqual(template.fire(all).ended, ["success"]);
  const old = template.fire({ ...all, stream_id: undefined, data_tag_load_script_url: `${HOST}/api/v1/fetch/v6.js` });
  assert.deepEqual([old.ended, old.page.console], [["failure"], ["Real Streaming: the stream id is missing"]]);
  assert.deepEqual(template.fire({ ...all, data_tag_load_script_url: `${HOST}/api/v1/fetch/v6.js` }).ended, ["success"]);
  const denied = new Page();
  denied.consent.analytics_storage = false;
  const waiting = template.fire({ ...all, when_denied: "wait" }, denied);
  assert.deepEqual([waiting.ended, waiting.sent], [["success"], []]);
  denied.choose("analytics_storage", true);
  denied.settle();
  assert.equal(denied.sent.length, 1);
  assert.deepEqual(template.permissionFaults(), []);
});

test("a permission that is taken away is missed", () => {
  const { exported } = new Template(TEXT);
  const all = tag({ add_ecommerce: true, add_common_cookie: true, custom_data: [row("a", "b", { transformation: "md5", store: "all" })] });
  for (const { instance } of exported) {
    const template = new Template(TEXT);
    const name = instance.key.publicId;
    template.permissions = new Permissions(exported.filter((other) => other.instance !== instance));
    const page = new Page();
    if (name === "access_consent") page.consent.analytics_storage = false;
    if (name === "inject_script" || name === "logging") {
      const { ended } = name === "logging" ? { ended: ["failure"] } : template.fire(all, page);
      assert.deepEqual(ended, ["failure"], name);
      continue;
    }
    assert.throws(() => template.fire(all, page), Refused, name);
  }
});

test("nothing is kept or read where storage is denied", () => {
  const page = new Page({ cookies: new Map([["_fbp", "f"], ["__uid__", "u"]]) });
  page.consent.analytics_storage = false;
  const stored = { store: "all" };
  const fields = tag({ add_common_cookie: true, custom_data: [row("a", "b", stored)], user_data: [row("user_id", "u", stored)] });
  const { sent } = new Template(TEXT).fire(fields, page);
  const body = JSON.parse(sent[0].body);
  assert.equal(body.privacy_info.analytics_storage, false);
  for (const name of ["user_id", "client_id", "common_cookie", "_dcid_temp"]) assert.ok(!(name in body), name);
  assert.equal(body.user_properties, null);
  assert.deepEqual([page.setCookies, [...page.storage], page.cookies.size], [[], [], 2]);
  assert.deepEqual(Object.keys(page.window).filter((name) => name.startsWith("gtm_")), []);
});

test("a visitor gets an id as the collector knows it, and keeps it", () => {
  const template = new Template(TEXT);
  const { sent, page } = template.fire(tag({}));
  const { client_id: id } = JSON.parse(sent[0].body);
  assert.match(id, /^\d{13}(\.\d{9}){3}$/);
  const next = new Page({ storage: page.storage });
  assert.equal(JSON.parse(template.fire(tag({}), next).sent[0].body).client_id, id);
  assert.deepEqual([...page.setCookies, ...next.setCookies], []);
});

test("cookies are secure where the page is", () => {
  const fields = tag({ custom_data: [row("a", "b", { store: "cookies" })] });
  for (const [url, secure, samesite] of [["https://shop.example.com/", true, "none"], ["http://shop.example.com/", false, "lax"]]) {
    const { page } = new Template(TEXT).fire(fields, new Page({ url }));
    const value = encodeURIComponent('{"a":"b"}');
    assert.deepEqual(page.setCookies, [{ name: "my_streaming", value, domain: "auto", path: "/", secure, samesite }]);
  }
});

test("the script is loaded once a page", () => {
  const [template, page] = [new Template(TEXT), new Page()];
  for (let times = 0; times < 3; times += 1) template.fire(tag({}), page);
  assert.deepEqual(page.injected, [`${HOST}/static/v6.js`]);
});

test("the sandbox has no more than is documented", () => {
  for (const code of [
    "new Date();",
    "this.a = 1;",
    "class A {}",
    "/a/.test('a');",
    "`a`;",
    "try { a(); } catch (e) {}",
    "throw 'a';",
    "const {a} = {a: 1};",
    "const [a] = [1];",
    "const a = [...[1]];",
    "const f = (...a) => a;",
    "const f = (a = 1) => a;",
    "const a = 1, b = {a};",
    "const a = {['b']: 1};",
    "const a = {b() { return 1; }};",
    "for (const a of [1]) {}",
    "for (const a in {b: 1}) {}",
    "async function f() {}",
    "function* f() {}",
    "const a = {}; a?.b;",
    "null ?? 1;",
    "let a = 1; a ||= 2;",
    "2 ** 3;",
    "1n;",
    "1_000;",
    "const a = {}; delete a.b;",
    "'use strict';",
    "'a' instanceof String;",
    "window.a = 1;",
    "document;",
    "globalThis;",
    "arguments;",
    "eval('1');",
    "Object.keys({});",
    "JSON.stringify({});",
    "Math.floor(1.5);",
    "String(1);",
    "parseInt('1');",
    "encodeURIComponent('a');",
    "console.log('a');",
    "setTimeout(() => {}, 0);",
    "[1].find((a) => a);",
    "[1].includes(1);",
    "[1].flat();",
    "'a'.includes('a');",
    "'a'.startsWith('a');",
    "'a'.padStart(2);",
    "'a'.replaceAll('a', 'b');",
    "'a'.substr(0, 1);",
    "'a'.charCodeAt(0);",
    "(1.5).toFixed(1);",
    "({}).hasOwnProperty('a');",
    "[].constructor('a');",
    "(() => 1).call(null);",
    "const f = 'a'.trim; f();",
    "const a = {}; a.__proto__ = {};",
    "const a = {__proto__: {}};",
    "const a = 1; a = 2;",
    "a = 1;",
    "let a; a.b;",
    "const f = () => a; f(); const a = 1;",
    "while (true) {}",
    "label: for (;;) { break label; }",
    "require('fetch');",
    "require('getTimestamp');",
    "require('sendHttpRequest');",
    "require('toString');",
  ]) {
    const page = new Page();
    const apis = page.apis(new Permissions([]));
    const require = (name) => (Object.hasOwn(apis, name) ? apis[name] : assert.fail(new Refused(name)));
    assert.throws(() => run(compile(code), { require, data: {} }), Refused, code);
  }
});

test("what the sandbox has works as in a browser", () => {
  const code = `
    const f = function(a) { return a + 1; };
    let text = '';
    for (let i = 0; i < 3; i++) { if (i === 1) continue; text += i; }
    let n = 0;
    do { n += 2; } while (n < 5);
    switch (text) { case 'x': n = 0; break; case '02': n++; default: n += 10; }
    const o = {a: {b: [1, 2]}, 'c-d': null};
    o.a.e = o.a.b.map((x) => f(x)).filter((x) => x > 2).concat([7]);
    function early(x) { while (true) { if (x > 3) return x; x = x * 2; } }
    return [text, n, o, early(1), typeof missing, 'a,b'.split(',').length, 'abc'.charAt(1), -n % 4, !0 && (1, 2), 'b' in o.a];`;
  assert.deepEqual(run(compile(code), {}), ["02", 17, { a: { b: [1, 2], e: [3, 7] }, "c-d": null }, 4, "undefined", 2, "b", -1, 2, true]);
});

test("APIs refuse what no permission grants", () => {
  const { permissions } = new Template(TEXT);
  const apis = new Page().apis(permissions);
  for (const [name, ...given] of [
    ["injectScript", "https://collect.example.com/static/other.js"],
    ["injectScript", "http://collect.example.com/static/v6.js"],
    ["injectScript", "https://collect.example.com.evil.test/static/v6.js"],
    ["callInWindow", "alert"],
    ["callInWindow", "gtmBrowserId"],
    ["copyFromWindow", "dataTagSendData"],
    ["copyFromWindow", "dataLayer"],
    ["setInWindow", "dataTagSendData", 1],
    ["getCookieValues", "session"],
    ["setCookie", "_fbp", "1", {}],
    ["setCookie", "__uid__", "1", {}],
    ["setCookie", "my_streaming", "1", { httponly: true }],
    ["copyFromDataLayer", "user"],
    ["copyFromDataLayer", "ecommerce.items"],
    ["isConsentGranted", "other_storage"],
    ["addConsentListener", "other_storage", () => {}],
    ["getUrl", 1],
    ["getTimestampMillis", 1],
  ]) {
    assert.throws(() => apis[name](...given), Refused, `${name} ${given[0]}`);
  }
  for (const method of ["getItem", "setItem", "removeItem"]) assert.throws(() => apis.localStorage[method]("other", "1"), Refused);
  assert.equal(apis.queryPermission("inject_script", `${HOST}/static/v6.js`), true);
  assert.equal(apis.queryPermission("send_pixel", `${HOST}/static/v6.js`), false);
});

test("addresses match patterns as documented", () => {
  for (const [pattern, url, does] of [
    ["https://a.test/b.js", "https://a.test/b.js", true],
    ["https://a.test/b.js", "https://a.test/b.js?c=d", true],
    ["https://a.test/b.js", "https://a.test/b.jsx", false],
    ["https://a.test/b.js", "https://b.a.test/b.js", false],
    ["https://a.test/b.js", "https://a.test:8443/b.js", false],
    ["https://a.test/b.js", "https://user@a.test/b.js", false],
    ["https://a.test/b.js", "http://a.test/b.js", false],
    ["https://a.test/b.js", "//a.test/b.js", false],
    ["https://a.test/*", "https://a.test/b/c.js", true],
    ["https://a.test/b/*", "https://a.test/c.js", false],
    ["https://*.a.test/", "https://b.a.test/", true],
    ["https://*.a.test/", "https://ba.test/", false],
  ]) {
    assert.equal(matchesUrl(pattern, url), does, `${pattern} ${url}`);
  }
  for (const pattern of ["http://a.test/", "https://a.test", "*://a.test/", "https://a*.test/", "https://a.test/*/b"]) {
    assert.throws(() => matchesUrl(pattern, "https://a.test/"), /a permission/, pattern);
  }
});
