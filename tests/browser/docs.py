"""A reader opens the pages of documentation in a real Chromium that reaches nothing but the collector.

Called with the collector's port and a folder for the browser's profile. Prints as JSON what the pages showed, what they asked for, and
what they complained of; the caller knows what is right.
"""

import asyncio
import json
import signal
import sys

from chromium import chromium, note_console

COLLECTOR = "http://localhost:8080"


async def opened(browser, path, read):
    """What `read` finds on a page, with the addresses that the page asked for and its complaints."""
    page = await browser.new_page()
    complaints = note_console(page)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    await page.goto(f"{COLLECTOR}{path}")
    found = await read(page)
    await page.wait_for_load_state("networkidle")
    await page.close()
    return {**found, "asked": asked, "complaints": complaints}


async def try_it_out(page):
    """Sends the example as it stands, from Swagger UI."""
    operation = page.locator(".opblock-post").filter(has_text="/api/v1/streaming/{stream_id}")
    await operation.locator(".opblock-summary-control").click()
    await operation.get_by_role("button", name="Try it out").click()
    example = await operation.locator("textarea.body-param__text").input_value()
    await operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table")
    return {
        "example": json.loads(example),
        "status": (await answer.locator("tbody td.response-col_status").inner_text()).split()[0],
        "body": json.loads(await answer.locator(".microlight, .highlight-code code").first.inner_text()),
    }


async def headings(page):
    """What ReDoc draws."""
    await page.get_by_role("heading", level=1).first.wait_for()
    return {
        "title": await page.title(),
        "headings": [heading.strip() for heading in await page.locator("h1, h2").all_inner_texts()],
    }


async def main(port, folder):
    async with chromium(folder, {"localhost:8080": port}) as browser:
        pages = {"docs": await opened(browser, "/docs", try_it_out), "redoc": await opened(browser, "/redoc", headings)}
        pages["cookies"] = await browser.cookies(COLLECTOR)
    print(json.dumps(pages))


# Ends it whatever hangs.
signal.alarm(240)
asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
