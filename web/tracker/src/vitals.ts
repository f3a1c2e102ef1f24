// Web vitals, as Google measures them (https://web.dev/articles/vitals): the largest paint, shifts of the layout, the slowest of interactions.
// Told once a page, when the visitor turns away.
import { guarded } from "./core";
import { partings, say } from "./auto";

const worst: Record<string, number> = {};

const observe = (type: string, seen: (entry: any) => void): boolean =>
  guarded(() => {
    const isKnown = PerformanceObserver.supportedEntryTypes.includes(type);
    if (isKnown) {
      new PerformanceObserver(guarded((list) => list.getEntries().forEach(seen))).observe({
        type,
        buffered: true,
        durationThreshold: 40,
      } as any);
    }
    return isKnown;
  })();

observe("largest-contentful-paint", (entry) => (worst.LCP = entry.startTime));

// Shifts add up while they follow each other.
let sum = 0;
let first = 0;
let last = 0;
const seesShifts = observe("layout-shift", ({ startTime, value, hadRecentInput }) => {
  if (hadRecentInput) return;
  if (startTime - last > 1e3 || startTime - first > 5e3) {
    first = startTime;
    sum = 0;
  }
  last = startTime;
  worst.CLS = Math.max(worst.CLS!, (sum += value));
});
if (seesShifts) worst.CLS = 0;

// Of each fifty interactions the slowest does not count.
const slowest: Record<string, number> = {};
observe("event", ({ interactionId, duration }) => {
  if (!interactionId) return;
  slowest[interactionId] = Math.max(slowest[interactionId] || 0, duration);
  const all = Object.values(slowest).sort((a, b) => b - a);
  worst.INP = all[(all.length / 50) | 0]!;
});

let isTold: unknown;
partings.push(() => {
  if (isTold) return;
  isTold = 1;
  for (const name in worst) {
    const value = worst[name];
    say("vitals", name, { value, metric_value: value, metric_id: name + "-" + performance.timeOrigin });
  }
});
