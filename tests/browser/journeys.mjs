// Visitors with a real browser walk through a site at random: pages, back, reload, two tabs, tabs that close at any moment, while the
// collector answers 503, is not there, or is killed and started again.
//
//   node journeys.mjs BROWSER SITE_PORT COLLECTOR_PORT JOURNEYS SEED
//
// Asks for a new collector by the line {"ask":"restart"}, answered by its port on standard input. Ends with one line: what was recorded in
// which journey, and whether it must be in the table. The caller knows the table.
import { readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const here = new URL(".", import.meta.url);
const puppeteer = createRequire(new URL("../../web/package.json", here))("puppeteer-core");
const [browserName, sitePort, firstPort, journeys, seed] = process.argv.slice(2).map((text, i) => (i ? +text : text));

/** What a call must have been before its tab closed to count as sure, in milliseconds. */
const SURE = 50;
const PATIENCE = 60_000;

/** A sequence of numbers from 0 to 1 that the seed decides (xorshift). */
let state = seed || 1;
function chance() {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) / 2 ** 32;
}
const any = (list) => list[Math.floor(chance() * list.length)];
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const upTo = (ms) => wait(chance() * ms);

// ── Between the pages and the collector ──

let collectorPort = firstPort;
/** How the collector is: `up`, `full` (it answers 503), `down` (nobody answers). */
let mode = "up";
let largest = 0;

const edge = createServer((asked, answer) => {
  if (mode == "down") return asked.socket.destroy();
  const chunks = [];
  asked.on("data", (chunk) => chunks.push(chunk));
  asked.on("error", () => {});
  asked.on("end", () => {
    const body = Buffer.concat(chunks);
    largest = Math.max(largest, body.length);
    if (mode == "full") {
      answer.writeHead(503, {
        "Retry-After": "1",
        "Content-Type": "application/json",
        "Access-Control-Allow-Origin": `http://localhost:${sitePort}`,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": "Retry-After",
      });
      return answer.end('{"status":"error","code":"unavailable","message":"","details":[]}');
    }
    const { host, port } = { host: "127.0.0.1", port: collectorPort };
    const onward = request({ host, port, method: asked.method, path: asked.url, headers: asked.headers }, (got) => {
      answer.writeHead(got.statusCode, got.headers);
      got.pipe(answer);
    });
    onward.on("error", () => answer.socket && answer.socket.destroy());
    onward.end(body);
  });
});

const script = readFileSync(new URL("../../static/rs.js", here));
const html = (edgePort) => `<!doctype html><meta charset="utf-8"><title>Shop</title><link rel="icon" href="data:,">
<script>
window.rs = window.rs || function () { (rs.q = rs.q || []).push(arguments); };
rs('config', 'journey', {endpoint: 'http://localhost:${edgePort}'});
</script>
<script async src="/rs.js"></script>
<body style="height: 300vh"><a id="next" href="/">next</a><form><input name="q"></form></body>`;

const site = createServer((asked, answer) => {
  if (asked.url == "/rs.js") {
    answer.writeHead(200, { "Content-Type": "text/javascript", "Cache-Control": "max-age=3600" });
    return answer.end(script);
  }
  answer.writeHead(200, { "Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store" });
  answer.end(html(edge.address().port));
});

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
async function restart() {
  console.log('{"ask":"restart"}');
  collectorPort = +(await lines.next()).value;
}

// ── A visitor ──

let count = 0;

/** One journey in a browser that knows nobody: what was recorded, each with whether it must be stored. */
async function journey(browser) {
  const context = await browser.createBrowserContext();
  const recorded = [];
  const tabs = [];
  const steps = [];

  /** Whatever a tab recorded, and when that was told. */
  const note = (tab, name) => {
    const event = { name, at: Date.now(), sure: true };
    recorded.push(event);
    tab.events.push(event);
  };
  const arrived = async (tab) => {
    await tab.page.waitForFunction("window.rs && rs.q === 0", { timeout: PATIENCE });
    note(tab, await tab.page.evaluate("location.search"));
  };
  const open = async () => {
    const tab = { page: await context.newPage(), events: [] };
    tabs.push(tab);
    await go(tab);
    return tab;
  };
  const go = async (tab) => {
    await tab.page.goto(`http://localhost:${sitePort}/?p${++count}p`, { timeout: PATIENCE });
    await arrived(tab);
  };
  const record = async (tab, times) => {
    const names = Array.from({ length: times }, () => `e${++count}e`);
    await tab.page.evaluate((all) => all.forEach((name) => rs("event", name, { value: 1, text: "ü".repeat(50) })), names);
    names.forEach((name) => note(tab, name));
  };
  const close = async (tab) => {
    tabs.splice(tabs.indexOf(tab), 1);
    const now = Date.now();
    for (const event of tab.events) event.sure = now - event.at >= SURE;
    await tab.page.close({ runBeforeUnload: chance() < 0.7 });
  };

  const moves = {
    go,
    record: (tab) => record(tab, 1 + Math.floor(chance() * 3)),
    burst: (tab) => record(tab, 25),
    reload: async (tab) => {
      await tab.page.reload({ timeout: PATIENCE });
      await arrived(tab);
    },
    link: async (tab) => {
      const to = `/?p${++count}p`;
      const click = (href) => {
        const link = document.getElementById("next");
        link.href = href;
        link.click();
      };
      await Promise.all([tab.page.waitForNavigation({ timeout: PATIENCE }), tab.page.evaluate(click, to)]);
      await arrived(tab);
    },
    virtual: async (tab) => {
      await tab.page.evaluate((to) => history.pushState(null, "", to), `?p${++count}p`);
      await wait(50);
      note(tab, `?p${count}p`);
    },
    second: async () => { if (tabs.length < 2) await open(); },
    close: async (tab) => {
      await record(tab, 1);
      await upTo(120);
      await close(tab);
      if (!tabs.length) await open();
    },
    full: async () => { mode = "full"; },
    down: async () => { mode = "down"; },
    up: async () => { mode = "up"; },
    pause: () => upTo(1500),
    restart,
  };
  const names = Object.keys(moves).flatMap((name) => Array(name == "restart" ? 1 : 3).fill(name));

  await open();
  const length = 4 + Math.floor(chance() * 8);
  for (let i = 0; i < length; i++) {
    const name = any(names);
    steps.push(name);
    const tab = any(tabs);
    await tab.page.bringToFront();
    await moves[name](tab);
    await upTo(100);
  }
  for (const tab of [...tabs]) await close(tab);

  // The visitor comes once more: what was left is sent.
  mode = "up";
  const last = await open();
  await last.page.waitForFunction(
    "!Object.keys(localStorage).some((key) => key.startsWith('_rs.'))",
    { timeout: PATIENCE, polling: 100 },
  );
  await close(last);
  last.events.forEach((event) => { event.sure = true; });
  await context.close();
  return { steps, events: recorded.map(({ name, sure }) => ({ name, sure })) };
}

const executables = { chromium: "/usr/bin/chromium", firefox: "/usr/bin/firefox-esr" };
const chromiumArgs = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];

edge.listen(0, "127.0.0.1");
site.listen(sitePort, "127.0.0.1");
const browser = await puppeteer.launch({
  browser: browserName == "firefox" ? "firefox" : "chrome",
  executablePath: executables[browserName],
  headless: true,
  timeout: PATIENCE,
  args: browserName == "firefox" ? [] : chromiumArgs,
});
try {
  const all = [];
  for (let i = 0; i < journeys; i++) all.push(await journey(browser));
  console.log(JSON.stringify({ journeys: all, largest }));
} finally {
  await browser.close();
}
process.exit(0);
