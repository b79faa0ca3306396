"""A real headless browser, driven over the Chrome DevTools Protocol."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import tempfile
from typing import Any

import aiohttp
import pytest


def browser_program() -> str:
    """Chromium's headless program, or a skip that says which package brings it."""
    for name in ("chromium-headless-shell", "chromium", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("no Chromium on this computer: apt-get install chromium-headless-shell")


async def look_at(url: str, script: str, wait_s: float) -> tuple[Any, bytes]:
    """Open a page, wait, and give what `script` comes to and a PNG of the page."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [browser_program(), "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", f"--user-data-dir={profile}",
             "--window-size=1200,700", "about:blank"],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            assert process.stderr is not None
            address = ""
            while "DevTools listening on " not in address:
                address = await asyncio.wait_for(asyncio.to_thread(process.stderr.readline), 30)
                assert address or process.poll() is None, "the browser ended"
            return await _visit(address.split("listening on ")[1].strip(), url, script, wait_s)
        finally:
            # Its helpers hold the pipe open: the whole group ends.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stderr is not None:
                process.stderr.close()


async def _visit(address: str, url: str, script: str, wait_s: float) -> tuple[Any, bytes]:
    import base64

    async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=1 << 26) as browser:
        number = 0

        async def call(method: str, target: str | None = None, **given: Any) -> Any:
            nonlocal number
            number += 1
            await browser.send_json({"id": number, "method": method, "params": given} | ({"sessionId": target} if target else {}))
            while True:
                answer = json.loads(await asyncio.wait_for(browser.receive_str(), 30))
                if answer.get("id") == number:
                    assert "error" not in answer, answer
                    return answer["result"]

        target = (await call("Target.createTarget", url=url))["targetId"]
        tab = (await call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        await asyncio.sleep(wait_s)
        value = await call("Runtime.evaluate", tab, expression=script, returnByValue=True)
        picture = await call("Page.captureScreenshot", tab, format="png")
        return value["result"].get("value"), base64.b64decode(picture["data"])
