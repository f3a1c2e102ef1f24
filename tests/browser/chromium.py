"""A real Chromium, Debian's, in which names lead to loopback and nowhere else.

What is not mapped does not resolve, addresses included, so the browser is cut off from every network. It trusts the test's own
authority as it would a company's: out of the NSS database of its home. No check of certificates is switched off.
"""

import contextlib
import json
import os
import subprocess

from playwright.async_api import async_playwright

EXECUTABLE = "/usr/bin/chromium"
PATIENCE_MS = 60_000


def trust(folder, authority):
    """Makes each Chromium with its profile in `folder` trust this certificate authority."""
    database = os.path.join(folder, ".pki/nssdb")
    os.makedirs(database)
    certificate = os.path.join(folder, "authority.pem")
    authority.cert_pem.write_to_path(certificate)
    certutil = ["certutil", "-d", f"sql:{database}"]
    subprocess.run([*certutil, "-N", "--empty-password"], check=True)
    subprocess.run([*certutil, "-A", "-n", "authority", "-t", "C,,", "-i", certificate], check=True)


def choose_cookies_of_others(settings, are_taken):
    """Whether cookies of sites other than the page's are kept. Chrome does by default; a Chromium without a window does not."""
    os.makedirs(settings, exist_ok=True)
    preferences = os.path.join(settings, "Preferences")
    if not os.path.exists(preferences):
        with open(preferences, "w", encoding="utf-8") as file:
            json.dump({"profile": {"cookie_controls_mode": 0 if are_taken else 1}}, file)


@contextlib.asynccontextmanager
async def chromium(folder, ports, takes_cookies_of_others=True):
    """Chromium with its profile in `folder`, where the next one finds it again; `ports` says where each host is."""
    choose_cookies_of_others(os.path.join(folder, "profile/Default"), takes_cookies_of_others)
    rules = [f"MAP {host} 127.0.0.1:{port}" for host, port in ports.items()] + ["MAP * ~NOTFOUND"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch_persistent_context(
            os.path.join(folder, "profile"),
            executable_path=EXECUTABLE,
            env={**os.environ, "HOME": folder},
            timeout=PATIENCE_MS,
            args=["--disable-gpu", "--disable-quic", "--no-proxy-server", f"--host-resolver-rules={','.join(rules)}"],
        )
        browser.set_default_timeout(PATIENCE_MS)
        try:
            yield browser
        finally:
            await browser.close()


def note_console(page):
    """The list to which every complaint of the page's console goes."""
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return complaints
