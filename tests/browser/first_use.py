"""Somebody who has just started the collector opens its first page in a real Chromium that reaches nothing else.

Called with the collector's port and a folder for the browser's profile, beside which the collector writes its log. Prints as JSON what the
page showed, with the logged token, without and with a wrong one, and what axe-core and the console complain of.
"""

import asyncio
import json
import os
import re
import signal
import sys

from chromium import chromium, note_console

COLLECTOR = "http://localhost:8080"
AXE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../web/node_modules/axe-core/axe.min.js")


async def steps(page, last):
    """Sends a test event and waits until a step says this; all steps, without times and ids."""
    await page.get_by_role("button", name="Send a test event").click()
    log = page.get_by_role("log")
    await log.get_by_text(last).wait_for()
    items = await log.get_by_role("listitem").all()
    return [[await item.get_attribute("class"), await item.inner_text()] for item in items]


async def described(page):
    """Waits until the page says where events go."""
    await page.locator("#destinations").filter(has_text=":").wait_for()


async def try_it(browser, token):
    page = await browser.new_page()
    complaints = note_console(page)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(f"{COLLECTOR}/#{token}")
    await described(page)
    told = {"address": page.url, "top": await page.locator("header").inner_text()}
    told["right"] = await steps(page, re.compile("^In "))
    await page.get_by_label("Admin token").fill("another-token-0123")
    told["wrong"] = await steps(page, "this one is another")
    await page.get_by_label("Admin token").fill("")
    await page.get_by_label("Stream").fill("shop")
    told["none"] = await steps(page, "Taken")
    told["snippet"] = await page.locator("#snippet").inner_text()
    await page.get_by_role("button", name="Copy").click()
    await page.get_by_role("status").get_by_text("by keyboard").or_(page.get_by_text("Copied")).wait_for()
    await page.close()
    return {**told, "asked": asked, "complaints": complaints}


async def look(browser, width, scheme):
    """What axe-core finds, and whether all fits the screen's width."""
    with open(AXE, encoding="utf-8") as file:
        axe = file.read()
    page = await browser.new_page()
    await page.emulate_media(color_scheme=scheme)
    await page.set_viewport_size({"width": width, "height": 800})
    await page.goto(COLLECTOR)
    await described(page)
    await steps(page, "Taken")
    await page.evaluate(axe)
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    fits = await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.close()
    return {"violations": [[rule["id"], rule["impact"], rule["nodes"][0]["html"]] for rule in found["violations"]], "fits": fits}


async def main(port, folder):
    with open(os.path.join(folder, "../output"), encoding="utf-8") as file:
        token = re.search(rf"http://localhost:{port}/#(\w+)", file.read()).group(1)
    async with chromium(folder, {"localhost:8080": port}) as browser:
        told = await try_it(browser, token)
        told["looks"] = [await look(browser, width, scheme) for width in (360, 1280) for scheme in ("light", "dark")]
    print(json.dumps(told))


# Ends it whatever hangs.
signal.alarm(240)
asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
