// Makes the README's pictures: visitors go through the shop of `make demo`, then the live view is drawn.
//
// node pictures.mjs FOLDER
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import puppeteer from "puppeteer-core";

const SHOP = "http://localhost:8090/";
const LIVE = "http://localhost:8080/live";
const PASSWORD = "only-for-the-demo";
const WAYS = ["", "?utm_source=newsletter&utm_medium=email&utm_campaign=autumn", "?gclid=abc", "?utm_source=instagram&utm_medium=social"];
const BROWSERS = [
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
  "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
  "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0",
];

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });
const browser = await puppeteer.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });

/** A visitor who buys something, or almost. */
async function visit(number) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  await page.setUserAgent({ userAgent: BROWSERS[number % BROWSERS.length] });
  await page.goto(SHOP + WAYS[number % WAYS.length]);
  await page.click("#granted");
  await page.evaluate((place) => document.querySelectorAll(".shelf a")[place].click(), number % 6);
  await page.waitForSelector("#add");
  await page.click("#add");
  await page.goto(SHOP + "cart.html");
  if (number % 2) {
    await page.click("#buy");
    await page.waitForSelector("#order");
  }
  // What the last page records leaves within a second.
  await new Promise((done) => setTimeout(done, 1500));
  await context.close();
}

/** Draws a page as it is once `ready` is there. */
async function draw(name, address, ready, height, more = async () => {}) {
  const page = await browser.newPage();
  await page.setViewport({ width: 1200, height });
  await page.authenticate({ username: "demo", password: PASSWORD });
  await page.goto(address);
  await page.waitForSelector(ready);
  await more(page);
  await page.screenshot({ path: join(folder, name) });
}

const visitors = async () => {
  for (let number = 0; number < 12; number++) await visit(number);
};
// The live view shows what comes while it is looked at.
await draw("live.png", LIVE, "main", 1250, visitors);
await browser.close();
