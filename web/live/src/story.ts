// One event in the list, and what it opens to.
import { bytes, clock, count, element } from "./dom";
import type { Story } from "./told";

/** The line of an event; what is below is made when it is opened. `follow` shows the events of its user. */
export function line(story: Story, follow: (user: string) => void): HTMLLIElement {
  const total = story.times.length ? (story.times[story.times.length - 1]?.[1] ?? 0) : 0;
  const summary = element(
    "summary",
    {},
    element("time", { datetime: new Date(story.at).toISOString() }, clock(story.at)),
    element("span", { class: "name" }, story.event ?? "(not readable)"),
    element("span", { class: `outcome ${story.outcome}` }, story.outcome),
    element("span", { class: "page" }, [story.stream, story.page].filter(Boolean).join(" · ")),
    element("span", { class: "user" }, story.user ?? ""),
    element("span", { class: "took" }, `${milliseconds(total)} ms`),
  );
  const details = element("details", {}, summary);
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(opened(story, follow));
  });
  return element("li", {}, details);
}

const milliseconds = (micros: number): string => (micros / 1000).toFixed(micros < 10_000 ? 2 : 0);

function opened(story: Story, follow: (user: string) => void): HTMLElement {
  const detail = element("div", { class: "detail" });
  if (story.reason) detail.append(element("p", { class: "error" }, story.reason));
  if (story.user) {
    const user = story.user;
    const button = element("button", { type: "button" }, `Only events of ${user}`);
    button.addEventListener("click", () => follow(user));
    detail.append(element("p", {}, button));
  }
  detail.append(element("h3", {}, "Timing"), timing(story));
  if (story.id) detail.append(fate(story.id));
  detail.append(...request(story), ...enrichment(story), ...row(story));
  return detail;
}

const MEANING: Record<string, string> = {
  read: "request read",
  enriched: "enriched",
  appended: "handed to the log",
  settled: "settled: as safe as the answer says",
};

function timing(story: Story): HTMLElement {
  const table = element("div", { class: "times" });
  const end = Math.max(1, ...story.times.map(([, micros]) => micros));
  let before = 0;
  for (const [step, micros] of story.times) {
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    bar.setAttribute("viewBox", "0 0 100 10");
    bar.setAttribute("preserveAspectRatio", "none");
    bar.setAttribute("aria-hidden", "true");
    const part = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    part.setAttribute("x", `${(before / end) * 100}`);
    part.setAttribute("width", `${Math.max(((micros - before) / end) * 100, 0.5)}`);
    part.setAttribute("height", "10");
    bar.append(part);
    table.append(
      element("span", {}, MEANING[step] ?? step),
      element("span", {}, `${milliseconds(micros)} ms`),
      bar,
    );
    before = micros;
  }
  const holder = element("div", {}, table);
  if (story.sequence !== null && story.outcome !== "refused") {
    holder.append(element("p", { class: "hint" }, `Number ${story.sequence} in the log`));
  }
  return holder;
}

/** Asks what became of an event at each destination. */
function fate(id: string): HTMLElement {
  const button = element("button", { type: "button" }, "Where is it now?");
  const answer = element("div", { role: "status" });
  button.addEventListener("click", async () => {
    answer.textContent = "Asking…";
    try {
      const response = await fetch(`/api/v1/events/${encodeURIComponent(id)}`);
      const told = await response.json();
      answer.replaceChildren(json(told.events ?? told.message, "What became of it"));
    } catch {
      answer.textContent = "The collector does not answer.";
    }
  });
  return element("div", {}, button, answer);
}

function request(story: Story): HTMLElement[] {
  const { method, target, headers, bytes: size, index, payload } = story.request;
  const place = index === null ? "" : `, event ${index + 1} of an array`;
  const parts = [
    element("h3", {}, "Request"),
    element("p", {}, element("code", {}, `${method} ${target}`), ` (${bytes(size)}${place})`),
    list(headers),
  ];
  const sent = payload === null ? element("p", { class: "hint" }, "What was sent is no JSON, or too large to be shown.") : json(payload, "What was sent");
  return [...parts, sent];
}

function enrichment(story: Story): HTMLElement[] {
  const title = element("h3", {}, "Enrichment");
  if (story.row === null && !story.steps) return [];
  if (!story.steps) {
    return [title, element("p", { class: "hint" }, "So many events came at this moment that the steps of this one were not noted.")];
  }
  const steps = element("ol");
  for (const { step, saw, rule, filled } of story.steps) {
    const item = element("li", {}, element("strong", {}, step), `: ${rule}`);
    if (saw.length) item.append(element("p", { class: "hint" }, "saw"), list(saw));
    if (filled.length) item.append(element("p", { class: "hint" }, "filled"), list(filled));
    steps.append(item);
  }
  return [title, steps];
}

function row(story: Story): HTMLElement[] {
  const parts: HTMLElement[] = [];
  if (story.added.length) {
    parts.push(element("p", {}, `Added before it: ${story.added.join(", ")}`));
  }
  if (story.row !== null) {
    parts.push(element("h3", {}, "Row"), json(story.row, "Row"));
  } else if (story.row_bytes > 0) {
    parts.push(element("h3", {}, "Row"), element("p", { class: "hint" }, `Too large to be shown: ${count(story.row_bytes)} bytes.`));
  }
  return parts;
}

function list(pairs: [string, string][]): HTMLElement {
  const made = element("dl", { class: "pairs" });
  for (const [name, value] of pairs) made.append(element("dt", {}, name), element("dd", {}, value));
  return made;
}

/** JSON that can be scrolled by keyboard. */
function json(value: unknown, name: string): HTMLElement {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return element("pre", { tabindex: "0", role: "region", "aria-label": name }, text ?? "");
}
