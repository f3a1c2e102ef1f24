// The live view: what the collector tells by server-sent events, drawn. It keeps no more than it shows.
import { chart } from "./charts";
import { bytes, clock, count, element, find, pairs, rows, say, seconds } from "./dom";
import { line } from "./story";
import type { Destination, Seen, State, Story } from "./told";

/** So many events stay in the list. */
const MOST_EVENTS = 200;
/** So many seconds are drawn. */
const SECONDS = 120;

const TITLES: Record<string, string> = {
  events: "Events",
  pages: "Pages",
  sources: "Source / medium",
  channels: "Channels",
  countries: "Countries",
  devices: "Devices",
  bots: "Bots",
  streams: "Streams",
};

const rateChart = chart(find("rate"), false);
const minutesChart = chart(find("minutes"), true);
const connection = find("connection");
const form = find<HTMLFormElement>("filter");
const list = find<HTMLOListElement>("events");
const pauseButton = find<HTMLButtonElement>("pause");

let source: EventSource | undefined;
const former: EventSource[] = [];
let before: State | undefined;
const rates: { at: number; value: number }[] = [];

/** Events that came while the list was paused, oldest first. */
let held: Story[] = [];
let isPaused = false;
let missed = 0;

function tell(text: string, state: "open" | "broken" | ""): void {
  say(connection, text);
  connection.className = state;
}

/** The wishes of the form, as a query. */
function query(): string {
  const wishes = new URLSearchParams();
  new FormData(form).forEach((value, name) => {
    if (typeof value === "string" && value.trim()) wishes.set(name, value.trim());
  });
  const text = wishes.toString();
  return text && `?${text}`;
}

function leave(): void {
  for (const one of former.splice(0)) one.close();
}

function connect(): void {
  const next = new EventSource(`/live/events${query()}`);
  // Those before are closed when this one is there, so that somebody looks all the time.
  if (source) former.push(source);
  source = next;
  tell("Connecting…", "");
  next.addEventListener("open", () => {
    if (source !== next) return;
    leave();
    tell("Connected", "open");
  });
  next.addEventListener("error", () => {
    if (source !== next) return;
    leave();
    if (next.readyState === EventSource.CLOSED) {
      tell("The collector does not let this page look; it is asked again in ten seconds", "broken");
      setTimeout(() => source === next && connect(), 10_000);
    } else {
      tell("The connection broke off; trying again…", "broken");
    }
    before = undefined;
  });
  next.addEventListener("state", (event) => source === next && showState(JSON.parse(event.data)));
  next.addEventListener("seen", (event) => source === next && showSeen(JSON.parse(event.data)));
}

function showState(state: State): void {
  const received = state.intake["received"] ?? 0;
  if (before && state.at > before.at) {
    const rate = ((received - (before.intake["received"] ?? 0)) * 1000) / (state.at - before.at);
    rates.push({ at: state.at / 1000, value: Math.max(rate, 0) });
    if (rates.length > SECONDS) rates.shift();
  }
  before = state;
  const rate = rates[rates.length - 1]?.value ?? 0;
  const behind = Math.max(0, ...state.destinations.map((destination) => destination.pending_seconds));
  pairs(find("numbers"), [
    ["Events a second", count(rate)],
    ["Last 30 minutes", count(state.of)],
    ["Refused, all time", count(state.intake["refused"] ?? 0)],
    ["Rejected, all time", count(state.intake["rejected"] ?? 0)],
    ["Furthest behind", seconds(behind)],
    ["Log", bytes(state.log.size_bytes)],
  ]);
  rateChart.draw(state.at / 1000 - SECONDS, state.at / 1000, rates.map(({ at }) => at), rates.map(({ value }) => value));
  const highest = Math.max(0, ...rates.map(({ value }) => value));
  say(find("rate-text"), `${count(rate)} now, ${count(highest)} at the most`);
  showMinutes(state);
  showFlow(state);
  showTables(state);
}

function showMinutes({ minutes }: State): void {
  const end = (minutes[minutes.length - 1]?.at ?? 0) / 1000 + 60;
  minutesChart.draw(end - 30 * 60, end, minutes.map(({ at }) => at / 1000), minutes.map(({ received }) => received));
  const counts = minutes.map(({ received }) => received);
  say(find("minutes-text"), `${count(counts[counts.length - 1] ?? 0)} in this minute, ${count(Math.max(0, ...counts))} at the most`);
  const outcomes = Object.keys(minutes[0]?.outcomes ?? {});
  const table = find("minutes-table");
  const head = table.querySelector("tr");
  if (head && head.children.length !== outcomes.length + 2) {
    const titles = ["Minute", "Received", ...outcomes];
    head.replaceChildren(...titles.map((title) => element("th", { scope: "col" }, title)));
  }
  const body = table.querySelector("tbody");
  // What nobody sees is not drawn.
  if (body && table.closest("details")?.open) {
    const newest = [...minutes].reverse();
    rows(body, newest.map(({ at, received, outcomes: by }) => [clock(at).slice(0, 5), count(received), ...outcomes.map((name) => count(by[name] ?? 0))]));
  }
}

function showFlow(state: State): void {
  const body = find("destinations").querySelector("tbody");
  const cells = ({ name, healthy, error, pending, pending_seconds, totals }: Destination): string[] => {
    const { stored = 0, dead_lettered = 0, ...others } = totals;
    const other = Object.entries(others).filter(([, value]) => value > 0);
    return [
      name,
      healthy ? "healthy" : `fails: ${error ?? "unknown"}`,
      count(pending),
      seconds(pending_seconds),
      count(stored),
      count(dead_lettered),
      other.map(([outcome, value]) => `${count(value)} ${outcome}`).join(", ") || "none",
    ];
  };
  if (body) {
    rows(body, state.destinations.map(cells));
    state.destinations.forEach(({ healthy }, index) => body.children[index]?.children[1]?.classList.toggle("error", !healthy));
  }
  const { size_bytes, max_bytes } = state.log;
  const meter = find<HTMLMeterElement>("log");
  meter.value = max_bytes ? size_bytes / max_bytes : 0;
  say(find("log-text"), `${bytes(size_bytes)} of ${bytes(max_bytes)}`);
  pairs(find("ledger"), Object.entries(state.intake).map(([name, value]) => [name, count(value)]));
  pairs(find("refused"), Object.entries(state.refused_requests).map(([name, value]) => [name, count(value)]));
}

function showTables(state: State): void {
  const skipped = state.skipped ? ` ${count(state.skipped)} were too many at once and were skipped.` : "";
  const text = `Of ${count(Math.min(state.counted, state.of))} of ${count(state.of)} events: those that came while somebody looked.${skipped}`;
  say(find("coverage"), text);
  const holder = find("tables");
  for (const [name, title] of Object.entries(TITLES)) {
    let table = document.getElementById(`top-${name}`);
    if (!table) {
      const head = element("tr", {}, element("th", { scope: "col" }, "Value"), element("th", { scope: "col", class: "number" }, "Events"));
      table = element("table", { id: `top-${name}` }, element("caption", {}, title), element("thead", {}, head), element("tbody"));
      holder.append(table);
    }
    const body = table.querySelector("tbody");
    const top = state.tables[name] ?? [];
    const values = top.map(([value, most, error]) => [value, error ? `≤ ${count(most)}` : count(most)]);
    if (body) {
      rows(body, values.length ? values : [["none yet", ""]], false);
      for (const row of body.children) row.children[1]?.classList.add("number");
    }
  }
}

function showSeen(seen: Seen): void {
  missed += seen.missed;
  if (isPaused) {
    held = held.concat(seen.events).slice(-MOST_EVENTS);
  } else {
    insert(seen.events);
  }
  showing();
}

function insert(stories: Story[]): void {
  if (!stories.length) return;
  const lines = stories.slice(-MOST_EVENTS).map((story) => line(story, follow));
  list.prepend(...lines.reverse());
  // What is open, or has the keyboard, stays until it is closed; old ones that are not go.
  for (let index = list.children.length - 1; list.children.length > MOST_EVENTS && index >= 0; index -= 1) {
    const old = list.children[index];
    if (old && !old.querySelector("details[open]") && !old.contains(document.activeElement)) old.remove();
  }
  find("none").hidden = true;
}

function showing(): void {
  const waiting = isPaused ? `Paused; ${count(held.length)} events wait. ` : "";
  const unshown = missed ? `${count(missed)} more that fit came too fast to be shown.` : "";
  say(find("showing"), waiting + unshown);
}

function pause(paused: boolean): void {
  isPaused = paused;
  pauseButton.setAttribute("aria-pressed", `${paused}`);
  if (!paused) {
    insert(held);
    held = [];
  }
  showing();
}

/** Shows what fits the form from now on. */
function apply(): void {
  list.replaceChildren();
  held = [];
  missed = 0;
  find("none").hidden = false;
  showing();
  connect();
}

function follow(user: string): void {
  const field = form.elements.namedItem("user");
  if (field instanceof HTMLInputElement) {
    field.value = user;
    apply();
    field.focus();
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  apply();
});
form.addEventListener("reset", () => setTimeout(apply));
find("f-personal").addEventListener("change", apply);
find("f-outcome").addEventListener("change", apply);
pauseButton.addEventListener("click", () => pause(!isPaused));
// A browser takes no more frames for a page that it has put aside.
addEventListener("pagehide", () => {
  leave();
  source?.close();
});
addEventListener("pageshow", (event) => event.persisted && connect());
connect();
