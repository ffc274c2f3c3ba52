// What the journeys share: who signs in where, and what every page must fulfil.
import AxeBuilder from '@axe-core/playwright';
import { expect, request, type APIRequestContext, type Page } from '@playwright/test';

export const PORTICO = process.env.PORTICO_URL ?? 'http://127.0.0.1:8080';
export const AZUREML = process.env.AZUREML_URL ?? 'http://127.0.0.1:8090/workspaces/demo/services/hashing';
export const KEY = process.env.AZUREML_KEY ?? '';
export const EMAIL = process.env.PORTICO_ADMIN_EMAIL ?? 'admin@localhost';
export const PASSWORD = process.env.PORTICO_ADMIN_PASSWORD ?? '';
const SHOTS = new URL('../../docs/screenshots/', import.meta.url).pathname;

/** Notes what the browser refused: violations of the content security policy, and requests to elsewhere. */
export function watch(watched: Page, problems: string[]) {
  watched.on('console', (message) => {
    if (/Content Security Policy|Refused to/i.test(message.text())) problems.push(message.text());
  });
  watched.on('pageerror', (error) => problems.push(`${watched.url()}: ${error.message}`));
  watched.on('request', (request) => {
    const url = new URL(request.url());
    if (url.protocol.startsWith('http') && url.origin !== new URL(watched.url() === 'about:blank' ? request.url() : watched.url()).origin) {
      if (!request.isNavigationRequest()) problems.push(`a request to ${request.url()}`);
    }
  });
}

let context: Promise<APIRequestContext> | undefined;

/** What a test prepares goes through the management API; what it shows is done by mouse and keyboard. */
export async function manage(method: string, path: string, data?: unknown): Promise<unknown> {
  context ??= (async () => {
    const signedIn = await (await request.newContext()).post(`${PORTICO}/sign-in`, { data: { email: EMAIL, password: PASSWORD } });
    const { access_token } = (await signedIn.json()) as { access_token: string };
    return request.newContext({ extraHTTPHeaders: { authorization: `Bearer ${access_token}` } });
  })();
  const reply = await (await context).fetch(`${PORTICO}${path}${path.includes('?') ? '&' : '?'}api-version=2024-05-01`, { method, data, headers: { 'if-match': '*' } });
  const text = await reply.text();
  expect(reply.ok(), `${method} ${path}: ${text}`).toBe(true);
  return text ? JSON.parse(text) : undefined;
}

/** A service that is ready; its id. */
export async function serviceOf(name: string): Promise<string> {
  const root = `/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/demo/providers/Microsoft.ApiManagement/service/${name}`;
  await manage('PUT', root, { location: 'West Europe', sku: { name: 'Developer', capacity: 1 }, properties: { publisherEmail: EMAIL, publisherName: 'Contoso' } });
  await expect.poll(async () => ((await manage('GET', root)) as { properties: { provisioningState: string } }).properties.provisioningState, { timeout: 60_000 }).toBe('Succeeded');
  return root;
}

/** WCAG A and AA, light and dark; then a picture, where it is given a name for one. */
export async function check(checked: Page, picture?: string, name = picture) {
  for (const scheme of ['light', 'dark'] as const) {
    await checked.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
    await expect(checked.locator('html')).toHaveAttribute('data-mantine-color-scheme', scheme);
    await expect(checked.locator('[aria-busy=true]').filter({ visible: true })).toHaveCount(0);
    // Of all rules only that of contrast depends on the colours. The legacy mode opens no page for each check, and no page here has
    // a frame of another origin that holds more than a mail's text.
    const builder = new AxeBuilder({ page: checked }).setLegacyMode();
    const { violations } = await (scheme === 'light' ? builder.withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']) : builder.withRules(['color-contrast'])).analyze();
    expect.soft(violations.map((v) => `${name} ${scheme}: ${v.id}: ${v.nodes.map((n) => `${n.html} ${n.failureSummary}`).join('\n')}`)).toEqual([]);
  }
  await checked.emulateMedia({ colorScheme: 'light' });
  if (picture) await checked.screenshot({ path: `${SHOTS}${picture}.png` });
}

/** A publisher signs in and creates a service. */
export async function signIn(page: Page) {
  await page.goto(`${PORTICO}/publisher/`);
  await page.getByLabel('E-mail address').fill(EMAIL);
  await page.locator('input[type=password]').fill(PASSWORD);
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'Services' })).toBeVisible();
}

export async function createService(page: Page, name: string) {
  await page.getByRole('link', { name: 'Create a service' }).click();
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Organization').fill('Contoso');
  await page.getByLabel('Administrator e-mail').fill(EMAIL);
  await page.getByRole('button', { name: 'Create', exact: true }).click();
  await expect(page.getByText('The service is ready.')).toBeVisible({ timeout: 60_000 });
  await page.getByRole('link', { name: 'Open the service' }).click();
  await expect(page.getByRole('heading', { name })).toBeVisible();
}
