"""An operator opens the live view in a real Chromium while 1,000 events a second arrive.

Called with the collector's port, a folder for the browser's profile, and the admin token. Prints as JSON what the page showed, by mouse and keyboard, on a
screen and on a phone, in light and dark; what axe-core found; and what the page complained of. The caller knows what is right.
"""

import asyncio
import json
import os
import signal
import sys

from chromium import chromium, note_console

COLLECTOR = "http://localhost:8080"
WEB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../web")
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
BATCH, PAUSE = 50, 0.05
FOCUS = "document.activeElement.id || document.activeElement.tagName + ' ' + document.activeElement.textContent.slice(0, 20)"


async def send(port, stream, body, cookie="__uid__=visitor-0000-17"):
    """Posts a body on a connection of its own; the status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps(body).encode()
    head = f"POST /api/v1/streaming/{stream} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    answer = await reader.read()
    writer.close()
    return int(answer.split()[1])


async def flood(port):
    """1,000 events a second, until it is cancelled."""
    page = lambda number: {"key": "page_location", "value": {"string_value": f"https://shop.test/p/{number}?mail=ann@shop.test"}}
    while True:
        batch = [{"event_name": "page_view", "event_params": [page(number)]} for number in range(BATCH)]
        await asyncio.gather(send(port, "shop", batch), asyncio.sleep(PAUSE))


async def faults(page):
    """What axe-core finds, by rule, impact and place."""
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [[one["id"], one["impact"], node["target"]] for one in found["violations"] for node in one["nodes"]], len(found["passes"])


async def tabbed(page, times):
    """Where the keyboard gets to."""
    places = []
    for _ in range(times):
        await page.keyboard.press("Tab")
        places.append(await page.evaluate(FOCUS))
    return places


async def opened(page):
    """The newest event, opened by keyboard: its headings, and all of its text."""
    await page.locator("#events summary").first.focus()
    await page.keyboard.press("Enter")
    detail = page.locator("#events details[open] .detail").first
    await detail.wait_for()
    return {"headings": await detail.locator("h3").all_inner_texts(), "text": await detail.inner_text()}


async def looks(page, axe):
    """What axe-core says of each way to look at the page, and whether it fits its screen."""
    found = {}
    for name, size in (("desk", DESK), ("phone", PHONE)):
        for scheme in ("light", "dark"):
            await page.set_viewport_size(size)
            await page.emulate_media(color_scheme=scheme)
            await page.evaluate(axe)
            broken, passed = await faults(page)
            width = await page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
            ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
            found[f"{name} {scheme}"] = {"faults": broken, "passed": passed, "width": width, "ground": ground}
    return found


async def main(port, folder, token):
    with open(os.path.join(WEB, "node_modules/axe-core/axe.min.js"), encoding="utf-8") as file:
        axe = file.read()
    told = {}
    credentials = {"username": "operator", "password": token}
    async with chromium(folder, {"localhost:8080": port}, http_credentials=credentials) as browser:
        page = await browser.new_page()
        complaints = note_console(page)
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(f"{COLLECTOR}/live")
        await page.locator("#connection.open").wait_for()
        told["tabbed"] = await tabbed(page, 14)

        flooding = asyncio.create_task(flood(port))
        await page.locator("#events > li").nth(60).wait_for()
        await page.locator("#top-pages tbody tr").nth(9).wait_for()
        told["tables"] = await page.locator("#tables caption").all_inner_texts()
        told["page"] = await page.locator("#top-pages tbody td").first.inner_text()
        told["opened"] = await opened(page)
        # What is open stays, however many come.
        await page.locator("#events > li").nth(199).wait_for()
        told["still_open"] = await page.locator("#events details[open]").count()
        told["most"] = await page.locator("#events > li").count()
        told["missed"] = await page.locator("#showing").inner_text()

        await page.get_by_role("button", name="Pause").click()
        await page.get_by_text("events wait").wait_for()
        before = await page.locator("#events > li").first.inner_text()
        await page.wait_for_timeout(700)
        told["paused"] = before == await page.locator("#events > li").first.inner_text()
        await page.get_by_role("button", name="Pause").press("Space")

        await page.get_by_label("Event", exact=True).fill("purchase")
        await page.keyboard.press("Enter")
        await page.locator("#connection.open").wait_for()
        purchase = {"event_name": "purchase", "event_id": "order-7", "user_id": "joe-17"}
        told["status"] = await send(port, "shop", purchase)
        row = page.locator("#events > li", has_text="purchase").first
        await row.wait_for()
        told["filtered"] = await page.locator("#events .name").all_inner_texts()
        told["purchase"] = await opened(page)
        await page.get_by_role("button", name="Where is it now?").click()
        fate = page.locator("#events pre", has_text="destinations")
        await fate.wait_for()
        told["fate"] = json.loads(await fate.inner_text())

        await page.get_by_label("Show personal fields").check()
        await page.locator("#connection.open").wait_for()
        await send(port, "shop", purchase)
        await row.wait_for()
        told["personal"] = (await opened(page))["text"]

        await page.get_by_role("button", name="Clear").click()
        await page.locator("#events > li").nth(3).wait_for()
        await page.get_by_role("button", name="Pause").click()
        await opened(page)
        told["looks"] = await looks(page, axe)
        flooding.cancel()
        told["complaints"], told["asked"] = complaints, asked
        await page.screenshot(path=os.path.join(folder, "live.png"))
    print(json.dumps(told))


# Ends it whatever hangs.
signal.alarm(240)
asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
