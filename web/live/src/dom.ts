// Elements. Texts are set as texts only: what clients sent is never read as HTML.

type Child = Node | string;

/** An element with attributes and children. */
export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Record<string, string> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** The element with this id, which the page has. */
export function find<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}

/** Sets a text, and only if it is another one, so that nothing is read out or drawn twice. */
export function say(where: HTMLElement, text: string): void {
  if (where.textContent !== text) where.textContent = text;
}

/** Names and values in a description list; elements are kept, so that nothing jumps. */
export function pairs(list: HTMLElement, values: [string, string][]): void {
  while (list.children.length > values.length) list.lastElementChild?.remove();
  values.forEach(([name, value], index) => {
    const place = list.children[index] ?? list.appendChild(element("div", {}, element("dt"), element("dd")));
    say(place.children[0] as HTMLElement, name);
    say(place.children[1] as HTMLElement, value);
  });
}

/** Rows of a table's body; the first cell is the row's heading if `headed`. Elements are kept. */
export function rows(body: HTMLElement, values: string[][], headed = true): void {
  while (body.children.length > values.length) body.lastElementChild?.remove();
  values.forEach((cells, index) => {
    const row = body.children[index] ?? body.appendChild(element("tr"));
    cells.forEach((text, column) => {
      const first = column === 0 && headed;
      const cell = row.children[column] ?? row.appendChild(first ? element("th", { scope: "row" }) : element("td"));
      say(cell as HTMLElement, text);
    });
  });
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const one = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/** A number as people read it. */
export function count(value: number): string {
  return (value < 100 && value % 1 ? one : whole).format(value);
}

/** Bytes as people read them. */
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${count(value)} ${units[at]}`;
}

/** Seconds as people read them. */
export function seconds(value: number): string {
  if (value < 120) return `${count(value)} s`;
  return value < 7200 ? `${count(value / 60)} min` : `${count(value / 3600)} h`;
}

/** The time of day by the reader's clock. */
export function clock(at: number): string {
  return new Date(at).toLocaleTimeString("en-GB", { hour12: false });
}
