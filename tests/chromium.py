"""Chromium without a display, driven from Python over a pipe by its DevTools protocol: no package, no open port.

with Browser(folder, "--use-fake-ui-for-media-stream") as browser:
    browser.open(path.as_uri())
    browser.run("document.title")           # the value of an expression, or of what its promise becomes
    browser.console                          # all that the page has said, errors included
"""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """One page of a browser of its own, with its profile in `folder`."""

    def __init__(self, folder, *options):
        to_browser, self.write_end = os.pipe()
        self.read_end, from_browser = os.pipe()
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        command += ["--disable-component-update", "--disable-sync", f"--user-data-dir={folder / 'profile'}"]
        # the protocol is spoken over the numbers 3 and 4
        shell = 'exec "$@" 3<&"$IN" 4>&"$OUT"'.replace("$IN", str(to_browser)).replace("$OUT", str(from_browser))
        shell = shell.replace('"' + str(to_browser) + '"', str(to_browser)).replace(
            f'"{from_browser}"', str(from_browser)
        )
        words = ["bash", "-c", shell, "-", *command, "--remote-debugging-pipe", *options, "about:blank"]
        self.process = subprocess.Popen(
            words, pass_fds=(to_browser, from_browser), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_browser)
        os.close(from_browser)
        self.buffer, self.number, self.console, self.session = b"", 0, [], None
        target = next(t for t in self.send("Target.getTargets")["targetInfos"] if t["type"] == "page")
        attached = {"targetId": target["targetId"], "flatten": True}
        self.session = self.send("Target.attachToTarget", **attached)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method, timeout_s=120, **parameters):
        """The result of a command of the protocol."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + timeout_s
        while True:
            answer = self._next(until)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self, until):
        while b"\0" not in self.buffer:
            ready = select.select([self.read_end], [], [], max(0, until - time.monotonic()))[0]
            piece = os.read(self.read_end, 1 << 20) if ready else b""
            assert piece, "the browser is gone" if ready else "the browser does not answer"
            self.buffer += piece
        message, _, self.buffer = self.buffer.partition(b"\0")
        message = json.loads(message)
        said = message.get("params", {})
        if message.get("method") == "Runtime.consoleAPICalled":
            self.console.append(" ".join(str(argument.get("value")) for argument in said["args"]))
        elif message.get("method") == "Runtime.exceptionThrown":
            self.console.append(json.dumps(said["exceptionDetails"]))
        elif message.get("method") == "Log.entryAdded":
            self.console.append(said["entry"]["text"])
        return message

    def open(self, address):
        """Load a page."""
        self.send("Page.navigate", url=address)
        self.run("new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', done))")

    def run(self, expression, timeout_s=120):
        """The value of an expression, awaited."""
        options = {"awaitPromise": True, "returnByValue": True, "userGesture": True}
        result = self.send("Runtime.evaluate", timeout_s, expression=expression, **options)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, expression, timeout_s=120):
        """Until an expression is true."""
        self.run(
            f"new Promise(done => {{ const look = () => ({expression}) ? done() : setTimeout(look, 50); look(); }})",
            timeout_s,
        )

    def look(self, width, height=900, scheme="light"):
        """Size of the page, and which colours its reader prefers."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path):
        """A picture of the whole page."""
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def __enter__(self):
        """Itself."""
        return self

    def __exit__(self, *exception):
        """End the browser."""
        with contextlib.suppress(AssertionError, BrokenPipeError):
            self.session = None
            self.send("Browser.close", 10)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.write_end)
        os.close(self.read_end)
