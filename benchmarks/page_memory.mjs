// Has the page teach at one size after the other, in one tab of a browser that records nothing, and looks
// what its process holds.
//
// Not by Playwright, as page.mjs: that has the browser keep what pages and service workers have loaded, in
// the very process that is measured. An order comes in as JSON, and figures go out, as there.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const SAMPLE_MS = 200;
const POLL_MS = 200;
const ENDING_MS = 10_000;

const order = JSON.parse(readFileSync(0, "utf8"));
const profile = await mkdtemp(join(tmpdir(), "addapt-page-"));
const browser = spawn(
  order.chromium,
  ["--headless", "--no-sandbox", "--remote-debugging-pipe", `--user-data-dir=${profile}`],
  { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] },
);
const ended = new Promise((resolve) => browser.once("exit", resolve));
const [, , , commands, answers] = browser.stdio;
const waiting = new Map();
let sent = 0;
let received = "";
answers.setEncoding("utf8");
answers.on("data", (text) => {
  const messages = (received + text).split("\0");
  received = messages.pop();
  for (const { id, result, error } of messages.map((message) => JSON.parse(message))) {
    const { resolve, reject } = waiting.get(id) ?? {};
    if (error) reject?.(new Error(error.message));
    else resolve?.(result);
    waiting.delete(id);
  }
});

/** Give the browser, or one tab of it, a command of its protocol. */
function send(method, params = {}, sessionId = undefined) {
  const id = ++sent;
  commands.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Return the bytes of a process that are its own; one that is ending has none. */
function ownBytes(id) {
  const status = readFileSync(`/proc/${id}/status`, "utf8");
  const bytes = (name) => 1024 * Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0);
  return bytes("RssAnon") + bytes("RssShmem");
}

async function teach() {
  const { targetId } = await send("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
  const evaluate = async (expression, returnByValue = true) => {
    const said = await send("Runtime.evaluate", { expression, returnByValue }, sessionId);
    if (said.exceptionDetails) throw new Error(said.exceptionDetails.exception.description);
    return said.result;
  };
  const until = async (condition) => {
    while (!(await evaluate(`Boolean(${condition})`)).value) await pause(POLL_MS);
  };
  await send("Page.navigate", { url: order.address }, sessionId);
  const textOf = (place) => `document.querySelector("${place}")?.textContent`;
  await until(`document.querySelector("#domain option") && !${textOf("#message")}`);
  const folders = `document.querySelector('input[aria-label="Add class folders"]')`;
  const { objectId } = await evaluate(folders, false);
  await send("DOM.setFileInputFiles", { files: [order.train], objectId }, sessionId);
  await until(`/images were added/.test(${textOf("#message")})`);
  const { processInfo } = await send("SystemInfo.getProcessInfo");
  const renderers = processInfo.filter(({ type }) => type === "renderer").map(({ id }) => id);
  const [tab] = renderers.sort((a, b) => ownBytes(b) - ownBytes(a)); // others wait for the next tab
  const press = (name) =>
    evaluate(`[...document.querySelectorAll("button")].find((each) => each.textContent === "${name}").click()`);
  const size = `document.querySelector("#size")`;
  const found = [];
  for (const px of order.sizes) {
    await evaluate(`${size}.value = "${px}"; ${size}.dispatchEvent(new Event("change"))`);
    await pause(POLL_MS);
    const samples = [];
    const timer = setInterval(() => samples.push(ownBytes(tab)), SAMPLE_MS);
    await press("Teach");
    await until(`/^Step [1-9]/.test(${textOf("#progress-words")})`);
    await pause(1000 * order.seconds);
    clearInterval(timer);
    await press("Pause");
    await until(`/^Paused/.test(${textOf("#message")}) && /^Paused/.test(${textOf("#progress-words")})`);
    samples.sort((a, b) => a - b);
    const { value: words } = await evaluate(textOf("#progress-words"));
    found.push({ px, words, most_bytes: samples.at(-1), usual_bytes: samples[samples.length >> 1] });
  }
  return found;
}

try {
  console.log(JSON.stringify(await teach()));
} finally {
  send("Browser.close").catch(() => undefined);
  await Promise.race([ended, pause(ENDING_MS).then(() => browser.kill("SIGKILL"))]);
  await rm(profile, { recursive: true, force: true });
}
process.exit();
