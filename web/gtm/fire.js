// Fires a tag of a template for each case and tells what it sent.
//
//   node gtm/fire.js TEMPLATE CASES FIXTURES
//
// A case has the tag's fields, its page, and the body that shall give the same row: one of the fixtures, or its own. `differences` of a
// case are where this template is meant to send something else than was recorded: parameters by name (null: none), members beside them.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Page } from "./page.js";
import { Template } from "./tag.js";

const [templatePath, casesPath, fixtures] = process.argv.slice(2);
const template = new Template(readFileSync(templatePath, "utf8"));

/** The body that was recorded, with what is meant to be different. */
function expected({ body, differences = {} }) {
  const event = typeof body === "string" ? JSON.parse(readFileSync(join(fixtures, body), "utf8")) : structuredClone(body);
  const params = event.event_params ?? [];
  for (const [key, value] of Object.entries(differences.params ?? {})) {
    const at = params.findIndex((param) => param.key === key);
    const added = value === null ? [] : [{ key, value }];
    if (at >= 0) {
      params.splice(at, 1, ...added);
    } else {
      // A new one comes behind the one that is named.
      params.splice(params.findIndex((param) => param.key === differences.behind) + 1, 0, ...added);
    }
  }
  return { ...event, ...differences.members };
}

const told = JSON.parse(readFileSync(casesPath, "utf8")).map((one) => {
  const { window, cookies, consent, ...settings } = one.page ?? {};
  const page = new Page(settings);
  Object.assign(page.window, window);
  Object.assign(page.consent, consent);
  Object.entries(cookies ?? {}).forEach(([name, value]) => page.cookies.set(name, value));
  for (let times = 0; times < (one.earlier ?? 0); times += 1) template.fire(one.fields, page);
  const { sent, ended } = template.fire(one.fields, page);
  return { name: one.name, path: one.path, expected: JSON.stringify(expected(one)), sent, ended, console: page.console };
});
process.stdout.write(JSON.stringify(told));
