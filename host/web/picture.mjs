// Takes README's picture of the explorer: node picture.mjs OUT.png [FRAGMENT [WIDTH HEIGHT [dark]]]
import { browser, explorer, open } from './tests/support.mjs';

const [out, fragment = '', width = '960', height = '808', scheme = 'light'] = process.argv.slice(2);
const [chromium, server] = [await browser(), await explorer()];
const { page } = await open(chromium, `${server.address}#${fragment}`, {
  colorScheme: scheme,
  viewport: { width: Number(width), height: Number(height) },
});
// Until nothing is being computed.
for (let quiet = 0; quiet < 5;) {
  await page.waitForTimeout(300);
  quiet = (await page.locator('.work:visible').count()) > 0 ? 0 : quiet + 1;
}
await page.locator('.settings:visible').evaluate((settings) => (settings.open = false));
await page.waitForTimeout(300);
await page.screenshot({ path: out });
await chromium.close();
server.end();
