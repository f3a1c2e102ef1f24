// A template of Google Tag Manager (.tpl) taken apart: sections between lines of the form ___NAME___, in the order of Tag
// Manager's own exports. Anything that an import would trip over is an error here.
import { parse as parseYaml } from "yaml";

/** Sections of a template for web pages, in the order of an export. */
export const SECTIONS = [
  "TERMS_OF_SERVICE",
  "INFO",
  "TEMPLATE_PARAMETERS",
  "SANDBOXED_JS_FOR_WEB_TEMPLATE",
  "WEB_PERMISSIONS",
  "TESTS",
  "NOTES",
];

const FIELD_TYPES = ["TEXT", "CHECKBOX", "SELECT", "RADIO", "GROUP", "LABEL", "SIMPLE_TABLE", "PARAM_TABLE"];
const VALIDATORS = ["NON_EMPTY", "REGEX", "POSITIVE_NUMBER", "NON_NEGATIVE_NUMBER", "STRING_LENGTH", "NUMBER", "PERCENTAGE"];
const CONDITIONS = ["EQUALS", "NOT_EQUALS", "PRESENT", "NOT_PRESENT"];

function check(holds, what) {
  if (!holds) throw new Error(`the template ${what}`);
}

/** The sections by name, as text. */
export function sections(text) {
  check(!text.includes("\r"), "has carriage returns");
  const found = {};
  let name;
  for (const line of text.split("\n")) {
    const heading = /^___([A-Z_]+)___$/.exec(line);
    if (heading) {
      name = heading[1];
      check(SECTIONS.includes(name), `has a section that nobody knows, ${name}`);
      check(!(name in found), `has ${name} twice`);
      found[name] = "";
    } else if (name) {
      found[name] += `${line}\n`;
    } else {
      check(line.trim() === "", "begins with something else than a section");
    }
  }
  const names = Object.keys(found);
  check(names.join() === SECTIONS.join(), `has the sections ${names.join()}`);
  return found;
}

/** The template with each section read as what it is. */
export function read(text) {
  const parts = sections(text);
  check(
    parts.TERMS_OF_SERVICE.includes("https://developers.google.com/tag-manager/gallery-tos"),
    "does not name the terms that an import asks for",
  );
  const info = JSON.parse(parts.INFO);
  check(info.type === "TAG", "is no tag");
  check(/^cvt_/.test(info.id), "has no id of a custom template");
  check(info.version === 1 && Array.isArray(info.securityGroups), "has no version and groups");
  check(info.containerContexts?.join() === "WEB", "is not for web pages");
  check(info.displayName && info.description, "has no name and description");
  const parameters = JSON.parse(parts.TEMPLATE_PARAMETERS);
  const fields = fieldsOf(parameters);
  const tests = parseYaml(parts.TESTS);
  check(Array.isArray(tests.scenarios) && tests.scenarios.length > 0, "has no tests");
  for (const scenario of tests.scenarios) {
    check(typeof scenario.name === "string" && typeof scenario.code === "string", "has a test without name or code");
  }
  const names = tests.scenarios.map((scenario) => scenario.name);
  check(new Set(names).size === names.length, "has two tests of one name");
  check(parts.NOTES.trim() !== "", "has no notes");
  return {
    info,
    parameters,
    fields,
    code: parts.SANDBOXED_JS_FOR_WEB_TEMPLATE,
    permissions: JSON.parse(parts.WEB_PERMISSIONS),
    scenarios: tests.scenarios,
    setup: tests.setup ?? "",
    notes: parts.NOTES,
  };
}

/** All fields that hold values, those in groups and behind choices too, by name. */
function fieldsOf(parameters, found = new Map()) {
  for (const field of parameters) {
    check(FIELD_TYPES.includes(field.type), `has a field of the type ${field.type}`);
    check(/^[A-Za-z]\w*$/.test(field.name ?? ""), `has a field with the name ${field.name}`);
    check(!found.has(field.name), `has two fields of the name ${field.name}`);
    for (const validator of field.valueValidators ?? []) {
      check(VALIDATORS.includes(validator.type), `has the rule ${validator.type}`);
      if (validator.type === "REGEX") validator.args.forEach((pattern) => new RegExp(pattern));
    }
    found.set(field.name, field);
    fieldsOf(field.subParams ?? [], found);
    for (const item of field.radioItems ?? []) fieldsOf(item.subParams ?? [], found);
    for (const column of field.simpleTableColumns ?? []) {
      check(column.name && ["TEXT", "SELECT"].includes(column.type), `has a bad column in ${field.name}`);
    }
  }
  for (const field of found.values()) {
    for (const condition of field.enablingConditions ?? []) {
      check(CONDITIONS.includes(condition.type), `has the condition ${condition.type}`);
      check(found.has(condition.paramName), `asks for a field that is not there, ${condition.paramName}`);
    }
  }
  for (const [name, field] of found) {
    if (field.type === "GROUP" || field.type === "LABEL") found.delete(name);
  }
  return found;
}

/** What a tag's code gets as `data` where its fields were filled in so; what Tag Manager would not save is refused. */
export function filledIn(fields, values) {
  const data = {};
  for (const [name, field] of fields) {
    const fallback = field.type === "CHECKBOX" ? false : field.type === "RADIO" ? field.radioItems[0].value : undefined;
    const value = name in values ? values[name] : (field.defaultValue ?? fallback);
    const isAskedFor = (field.enablingConditions ?? []).every(
      ({ paramName, paramValue, type }) => type !== "EQUALS" || (values[paramName] ?? fields.get(paramName).defaultValue) === paramValue,
    );
    if (!isAskedFor) continue;
    const choices = (field.selectItems ?? field.radioItems)?.map((item) => item.value);
    check(!choices || choices.includes(value), `does not offer ${value} in ${name}`);
    for (const validator of field.valueValidators ?? []) {
      const text = value === undefined ? "" : String(value);
      // What a variable gives when the tag fires is not checked.
      const isVariable = typeof value === "object" || (name in values && value === undefined);
      const holds = { NON_EMPTY: () => text !== "", REGEX: () => new RegExp(validator.args[0]).test(text) }[validator.type];
      check(isVariable || !holds || holds(), `does not take "${text}" in ${name}`);
    }
    if (field.type === "SIMPLE_TABLE") {
      for (const row of value ?? []) {
        for (const column of field.simpleTableColumns) {
          row[column.name] = column.name in row ? row[column.name] : column.defaultValue;
          const offered = column.selectItems?.map((item) => item.value);
          check(!offered || offered.includes(row[column.name]), `does not offer ${row[column.name]} in ${name}`);
        }
      }
    }
    if (value !== undefined) data[name] = value;
  }
  for (const name of Object.keys(values)) check(fields.has(name), `has no field ${name}`);
  return data;
}
