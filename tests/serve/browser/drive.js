// node drive.js CHROMIUM < {"base", "token", "ids", "shots"}: what the page does in a real browser, as one JSON object.
const { chromium } = require("playwright-core");
const { readFileSync } = require("node:fs");

const given = JSON.parse(readFileSync(0, "utf-8"));
const { base, token, ids, shots } = given;
const address = (items, k = 5) => `${base}/#history=${items.map(encodeURIComponent).join(",")}&k=${k}`;
const heard = { requests: [], messages: [], dialogs: [] };

/** A page that lists whatever it requests, logs or pops up. */
async function fresh(browser, url, { known = true, width = 1280, colorScheme = "light", before = async () => {} } = {}) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
  const page = await context.newPage();
  page.on("request", (request) => heard.requests.push(request.url()));
  page.on("console", (message) => heard.messages.push(message.text()));
  page.on("pageerror", (error) => heard.messages.push(String(error)));
  page.on("dialog", (dialog) => { heard.dialogs.push(dialog.message()); dialog.dismiss(); });
  if (known) await page.addInitScript((value) => sessionStorage.setItem("siftrec-token", value), token);
  await before(page);
  page.answer = await page.goto(url);
  return page;
}

const texts = (page, selector) => page.locator(selector).allInnerTexts();
const recommended = (page) => texts(page, "#recommended > li .name");
const past = (page) => texts(page, "#history > li .name");
const focused = (page) => page.evaluate(() => document.activeElement.dataset.key ?? document.activeElement.id);
const act = (page, key) => page.locator(`[data-key="${key}"]`);
const ready = (page) => page.locator("#recommended:not([aria-busy]) > li").first().waitFor();

/** Do something and wait until the recommendations that it leads to are drawn. */
async function settled(page, work) {
  const answer = page.waitForResponse((response) => response.url().endsWith("/v1/recommend"));
  await work();
  await (await answer).finished();
  await ready(page);
  await page.waitForFunction(() => document.getElementById("live").textContent !== "");
}

const stories = {
  async asksForTheToken(browser) {
    const page = await fresh(browser, `${base}/`, { known: false });
    await page.locator("#token-form").waitFor();
    await page.waitForFunction(() => document.activeElement.id === "token");
    const problem = await page.locator("#problem").innerText();
    await page.keyboard.type("wrong-token-wrong-token");
    await page.keyboard.press("Enter");
    await page.getByText("refused the token").waitFor();
    await page.locator("#token").fill(token);
    await settled(page, () => page.keyboard.press("Enter"));
    const left = heard.messages.splice(0).filter((message) => !message.includes("401"));
    return { problem, hidden: await page.locator("#token-form").isHidden(), left };
  },

  async takesTheTokenFromTheAddress(browser) {
    const page = await fresh(browser, `${base}/#token=${token}&history=${encodeURIComponent(ids[0])}&k=3`, { known: false });
    await ready(page);
    return { hash: await page.evaluate(() => location.hash), count: (await recommended(page)).length };
  },

  async isInert(browser) {
    const page = await fresh(browser, address(ids));
    await ready(page);
    await page.locator("#history .marks").first().waitFor();
    const active = await page.evaluate(() => document.querySelectorAll("img, iframe, object, body script, main svg svg, [onerror], [onload], [style]").length);
    const marks = await texts(page, "#history .marks");
    const bars = await page.locator("#history svg.stack rect").count();
    const drawn = await page.evaluate(() => [...document.querySelectorAll("svg.stack rect")].filter((part) => part.getBoundingClientRect().width > 0).length);
    return { policy: page.answer.headers()["content-security-policy"], active, past: await past(page), marks, bars, drawn, model: await page.locator("#model").innerText() };
  },

  async worksByKeyboard(browser) {
    const page = await fresh(browser, `${base}/`);
    await ready(page);
    await page.keyboard.press("Tab");
    const skip = await page.evaluate(() => document.activeElement.className);
    await page.keyboard.press("Enter");
    const search = await focused(page);
    await page.keyboard.type("ONERROR");
    await page.getByText("1 match", { exact: true }).first().waitFor();
    await page.keyboard.press("ArrowDown");
    const found = await focused(page);
    const stops = await page.locator('#found button[tabindex="0"]').count();
    await settled(page, () => page.keyboard.press("Enter"));
    const stayed = await focused(page);
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("Control+a");
    await page.keyboard.type("film 33");
    await page.waitForFunction(() => document.querySelector("#found .title")?.textContent.startsWith("Film 33"));
    await page.keyboard.press("Enter");
    await settled(page, () => page.keyboard.press("Enter"));
    const added = await past(page);
    await act(page, "later:0").focus();
    await settled(page, () => page.keyboard.press("Space"));
    const [swapped, followed] = [await past(page), await focused(page)];
    const outline = await page.evaluate(() => parseFloat(getComputedStyle(document.activeElement).outlineWidth));
    await act(page, "similar:0").focus();
    await page.keyboard.press("Enter");
    await page.locator("#similar-items > li").first().waitFor();
    const inside = await page.evaluate(() => document.getElementById("similar").contains(document.activeElement));
    await page.keyboard.press("Escape");
    const back = await focused(page);
    await act(page, "remove:1").focus();
    await settled(page, () => page.keyboard.press("Enter"));
    const neighbour = await focused(page);
    await settled(page, () => page.keyboard.press("Enter"));
    return { skip, search, found, stops, stayed, added, swapped, followed, outline, inside, back, neighbour, end: await focused(page), left: await past(page) };
  },

  async isReproducedByItsAddress(browser) {
    const page = await fresh(browser, `${base}/`);
    await ready(page);
    await settled(page, () => act(page, "found:3").click());
    await settled(page, () => act(page, "add:0").click());
    await page.locator("#k").fill("7");
    await settled(page, () => page.keyboard.press("Tab"));
    const url = page.url();
    const other = await fresh(browser, url);
    await ready(other);
    const told = [await past(page), await recommended(page), await past(other), await recommended(other)];
    await other.evaluate((hash) => { location.hash = hash; }, "history=%E0%A4%A&k=ten&other=1");
    await other.locator("#unread").waitFor();
    return { told, unread: await other.locator("#unread").innerText() };
  },

  async showsWhatRemovingDoes(browser) {
    const page = await fresh(browser, address(ids.slice(0, 4), 10));
    await ready(page);
    const before = await recommended(page);
    await settled(page, () => act(page, "remove:3").dblclick());
    await page.locator("#change").waitFor();
    const after = await recommended(page);
    const told = { change: await page.locator("#change").innerText(), moves: await texts(page, "#recommended .move > :first-child"), live: await page.locator("#live").innerText(), rows: (await past(page)).length };
    await settled(page, () => act(page, "undo").click());
    await page.getByText("Undone").first().waitFor();
    return { before, after, ...told, undone: await recommended(page) };
  },

  async dropsWhatIsOvertaken(browser) {
    const page = await fresh(browser, address([]));
    await ready(page);
    let slow = true;
    await page.route("**/v1/recommend", async (route) => {
      const answer = await route.fetch();
      if (slow) { slow = false; await new Promise((done) => setTimeout(done, 1200)); }
      await route.fulfill({ response: answer }).catch(() => {});
    });
    const asked = page.waitForRequest("**/v1/recommend");
    await act(page, "found:0").click();
    await asked;
    await settled(page, () => act(page, "found:1").click());
    const soon = await recommended(page);
    await page.waitForTimeout(1500);
    const late = await recommended(page);
    const alone = await fresh(browser, page.url().replace(/k=\d+/, "k=5"));
    await ready(alone);
    return { soon, late, alone: await recommended(alone), rows: (await past(page)).length };
  },

  async saysWhatIsWrong(browser) {
    const page = await fresh(browser, address([ids[0], "no such <b>id</b>"]));
    await ready(page);
    const unknown = await page.locator("#history-note").innerText();
    const skipped = await texts(page, "#history .mark");
    const said = { unknown, skipped };
    await page.route("**/v1/**", (route) => route.abort());
    await act(page, "found:1").click();
    await page.getByText("does not answer").waitFor();
    await page.unroute("**/v1/**");
    await page.locator("#problem").waitFor({ state: "hidden" });
    said.rows = (await past(page)).length;
    const error = { error: { what: "busy", where: null } };
    await page.route("**/v1/recommend", (route) => route.fulfill({ status: 503, headers: { "Retry-After": "1" }, json: error }));
    await act(page, "found:2").click();
    await page.getByText("busy or not ready").waitFor();
    await page.unroute("**/v1/recommend");
    await page.locator("#problem").waitFor({ state: "hidden" });
    await act(page, "known").click();
    await page.waitForFunction(() => document.querySelectorAll("#history > li").length === 3);
    await ready(page);
    heard.messages = heard.messages.filter((message) => !/503|ERR_FAILED/.test(message));
    const empty = await fresh(browser, `${base}/`, { before: async (page) => {
      await page.route("**/v1/search?**", (route) => route.fulfill({ json: { items: [] } }));
      await page.route("**/v1/recommend", (route) => route.fulfill({ json: { model: "m", items: [], unknown: [], fallback: true, explanation: null } }));
    } });
    await empty.getByText("The catalog is empty").first().waitFor();
    said.empty = await empty.locator("#recommended-note").innerText();
    return said;
  },

  async fitsEveryScreen(browser) {
    const seen = [];
    for (const width of [380, 1280])
      for (const colorScheme of ["light", "dark"]) {
        const page = await fresh(browser, address(ids, 10), { width, colorScheme });
        await ready(page);
        await settled(page, () => act(page, "remove:1").click());
        await page.locator("#change").waitFor();
        const sizes = await page.evaluate(() => ({
          overflow: document.documentElement.scrollWidth - window.innerWidth,
          ground: getComputedStyle(document.body).backgroundColor,
          small: [...document.querySelectorAll("button, input")].filter((each) => each.checkVisibility() && each.getBoundingClientRect().height < 24).length,
        }));
        if (shots) await page.screenshot({ path: `${shots}/page-${width}-${colorScheme}.png`, fullPage: true });
        seen.push({ width, colorScheme, ...sizes });
      }
    return seen;
  },
};

(async () => {
  const browser = await chromium.launch({ executablePath: process.argv[2], args: ["--no-sandbox"] });
  const told = {};
  for (const [name, story] of Object.entries(stories)) {
    try {
      told[name] = await story(browser);
    } catch (error) {
      throw new Error(`${name}: ${error.stack}`);
    } finally {
      for (const context of browser.contexts()) await context.close();
    }
  }
  await browser.close();
  console.log(JSON.stringify({ ...told, heard }));
})().catch((error) => { console.error(error); process.exit(1); });
