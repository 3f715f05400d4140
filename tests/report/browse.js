// node browse.js CHROMIUM PAGE...: what a real browser does with each page, as JSON lines.
const { chromium } = require("playwright-core");

async function visit(browser, path, width, colorScheme) {
  const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
  const requests = [], messages = [];
  page.on("request", (request) => requests.push(request.url()));
  page.on("console", (message) => messages.push(message.text()));
  page.on("pageerror", (error) => messages.push(String(error)));
  page.on("dialog", (dialog) => { messages.push(dialog.message()); dialog.dismiss(); });
  await page.goto(`file://${path}`);
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const automatic = await ground();
  await page.keyboard.press("Tab");
  const first = await page.evaluate(() => document.activeElement.className);
  const seen = await page.evaluate(() => document.activeElement.getBoundingClientRect().left >= 0);
  await page.focus("#colours-auto");
  await page.keyboard.press("ArrowRight");
  const light = await ground();
  await page.keyboard.press("ArrowRight");
  const dark = await ground();
  const sizes = await page.evaluate(() => ({
    overflow: document.documentElement.scrollWidth - window.innerWidth,
    active: document.querySelectorAll("script, img, iframe").length,
    blank: [...document.querySelectorAll("svg.bar, svg.forest, svg.chart")].filter(
      (drawing) => drawing.checkVisibility() && !drawing.getBoundingClientRect().width).length,
  }));
  await page.close();
  return { path, width, colorScheme, requests, messages, first, seen, automatic, light, dark, ...sizes };
}

(async () => {
  const [executablePath, ...paths] = process.argv.slice(2);
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  for (const path of paths)
    for (const width of [380, 1280])
      for (const scheme of ["light", "dark"]) console.log(JSON.stringify(await visit(browser, path, width, scheme)));
  await browser.close();
})();
