// The developer portal, page by page: what a publisher sets about it is set through the management API, everything that a
// developer does is done by mouse and keyboard. PORTICO_URL, PORTICO_ADMIN_EMAIL and PORTICO_ADMIN_PASSWORD come from
// scripts/e2e.sh.
import { expect, test, type Page } from '@playwright/test';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { check as checkPage, manage, serviceOf, watch } from './support';

const SERVICE = 'devportal';
const DANA = 'dana@example.org';
const DANAS = 'plum 7 tractor hills';
// A red square: enough to see where the logo goes.
const LOGO = 'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAYAAACNMs+9AAAAFUlEQVR42mP8z8BQz0AEYBxVSF+FABJADveWkH6oAAAAAElFTkSuQmCC';

test.describe.configure({ mode: 'serial' });

let ROOT: string;
let page: Page;
let portal: string;
const problems: string[] = [];

/** The newest mailed link to an address. */
async function mailed(to: string): Promise<string> {
  const { value } = (await manage('GET', `${ROOT}/mails`)) as { value: { properties: { recipient: string; text: string } }[] };
  const mail = value.find((m) => m.properties.recipient.includes(to) && m.properties.text.includes('?ticket='));
  return /https?:\/\/\S+\/confirm\?ticket=[\w=]+/.exec(mail?.properties.text ?? '')?.[0] ?? '';
}

const check = (name: string) => checkPage(page, `developer-${name}`);

test.beforeAll(async ({ browser }) => {
  ROOT = await serviceOf(SERVICE);
  portal = ((await manage('GET', ROOT)) as { properties: { developerPortalUrl: string } }).properties.developerPortalUrl;

  await manage('PUT', `${ROOT}/documentations/start`, { properties: { title: 'Getting started', content: '# First steps\n\n1. Sign up.\n2. Ask for a **key**.\n\n<script>alert(1)</script>\n\n[Contoso](https://contoso.example)' } });
  await manage('PUT', `${ROOT}/developerPortals/default`, {
    properties: { title: 'Contoso for developers', logo: LOGO, accentColor: '#c2185b', welcome: 'Everything that **Contoso** computes.', pages: ['start'] },
  });
  await manage('PUT', `${ROOT}/portalsettings/signup`, { properties: { enabled: true, termsOfService: { text: '## Fair use\n\nBe *nice*.', enabled: true, consentRequired: true } } });
  await manage('PUT', `${ROOT}/tags/echo`, { properties: { displayName: 'Echoes' } });
  await manage('PUT', `${ROOT}/apis/echo-api/tags/echo`);
  await manage('PUT', `${ROOT}/apis/things?import=true`, {
    properties: {
      path: 'things',
      displayName: 'Things',
      format: 'openapi+json',
      value: JSON.stringify({
        openapi: '3.0.3',
        info: { title: 'Things', version: '1' },
        servers: [{ url: 'http://things.example' }],
        paths: { '/things': { post: { operationId: 'add', summary: 'Add a thing', requestBody: { content: { 'application/json': { schema: { $ref: '#/components/schemas/Thing' } } } }, responses: { 200: { description: 'OK' } } } } },
        components: { schemas: { Thing: { type: 'object', properties: { size: { $ref: '#/components/schemas/Size' } } }, Size: { type: 'integer', minimum: 1 } } },
      }),
    },
  });
  await manage('PUT', `${ROOT}/products/starter/apis/things`);

  page = await (await browser.newContext()).newPage();
  watch(page, problems);
});

test('a visitor sees the publisher\'s look, searches and filters by tag', async () => {
  await page.goto(`${portal}/`);
  await expect(page.getByRole('link', { name: 'Contoso for developers' })).toBeVisible();
  await expect(page.getByText('Everything that Contoso computes.')).toBeVisible();
  await check('branded-catalogue');
  await page.getByRole('navigation', { name: 'Tags' }).getByRole('link', { name: 'Echoes' }).click();
  await expect(page.getByRole('article')).toHaveCount(1);
  await expect(page).toHaveURL(/tag=echo/);
  await page.getByRole('navigation', { name: 'Tags' }).getByRole('link', { name: 'All' }).click();
  await page.getByLabel('Search the APIs').fill('thing');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('article')).toHaveCount(1);
  await expect(page.getByRole('link', { name: 'Things' })).toBeVisible();
});

test('reads a page and the terms; scripts in them do not run', async () => {
  await page.getByRole('link', { name: 'Getting started' }).click();
  await expect(page.getByRole('heading', { name: 'First steps' })).toBeVisible();
  await check('page');
  await page.getByRole('link', { name: 'Terms of use' }).click();
  await expect(page.getByRole('heading', { name: 'Fair use' })).toBeVisible();
  await check('terms');
});

test('reads schemas, and takes the document', async () => {
  await page.goto(`${portal}/apis/things`);
  await page.getByText(/Schema: Request body/).click();
  await expect(page.locator('pre').filter({ hasText: '"minimum": 1' })).toBeVisible();
  await check('schemas');
  const reply = await page.request.get(new URL((await page.getByRole('link', { name: 'JSON' }).getAttribute('href')) ?? '', page.url()).href);
  expect(((await reply.json()) as { info: { title: string } }).info.title).toBe('Things');
  const llms = await (await page.request.get(`${portal}/llms.txt`)).text();
  expect(llms).toContain('[Things](');
});

test('signs up with consent to the terms', async () => {
  await page.getByRole('link', { name: 'Sign up' }).click();
  await page.getByLabel('First name').fill('Dana');
  await page.getByLabel('Last name').fill('Developer');
  await page.getByLabel('E-mail address').fill(DANA);
  await page.locator('input[type=password]').fill(DANAS);
  await page.getByRole('button', { name: 'Sign up' }).click();
  await expect(page.getByRole('alert')).toContainText('consent');
  await check('consent');
  await page.getByLabel('I accept the terms of use').check();
  await page.getByRole('button', { name: 'Sign up' }).click();
  await expect(page.getByText('Open the link in the mail')).toBeVisible();
  await page.goto(await mailed(DANA));
  await check('confirm');
  await page.getByRole('button', { name: 'Confirm the address' }).click();
  await expect(page.getByRole('link', { name: 'Dana Developer' })).toBeVisible();
  await expect(page.getByRole('heading', { level: 1, name: 'APIs' })).toBeVisible();
});

test('subscribes and renames the subscription', async () => {
  await page.getByRole('link', { name: 'Products', exact: true }).click();
  await check('products');
  await page.getByRole('link', { name: 'Starter' }).click();
  await page.getByRole('button', { name: 'Subscribe' }).click();
  await expect(page.getByText('active', { exact: true })).toBeVisible();
  await page.getByRole('button', { name: 'Rename' }).click();
  await page.getByLabel('Name of your subscription').fill('My echo');
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByRole('heading', { name: 'My echo' })).toBeVisible();
});

test('sees the own calls as charts and as a table', async () => {
  await page.goto(`${portal}/apis/echo-api?operation=create-resource`);
  await page.getByRole('combobox', { name: 'Subscription' }).selectOption('My echo');
  await expect(page.getByLabel('Ocp-Apim-Subscription-Key')).toHaveValue(/^[0-9a-f]{32}$/);
  await page.getByRole('button', { name: 'Send' }).click();
  await expect(page.getByTestId('response-status')).toHaveText('200 OK');
  await page.getByRole('link', { name: 'Usage', exact: true }).click();
  // The gateways write their counts every few moments.
  await expect(async () => {
    await page.reload();
    await expect(page.getByRole('row', { name: /Echo API/ })).toBeVisible({ timeout: 5_000 });
  }).toPass({ timeout: 60_000 });
  await check('usage');
  await page.getByLabel('Time range').selectOption('Last day');
  await expect(page).toHaveURL(/days=1/);
  await expect(page.getByRole('row', { name: /Echo API/ })).toBeVisible();
});

test('sends a form with a file, and a file alone; an image that comes back is shown', async () => {
  await page.goto(`${portal}/apis/echo-api?operation=modify-resource`);
  await page.getByRole('combobox', { name: 'Subscription' }).selectOption('My echo');
  await expect(page.getByLabel('Ocp-Apim-Subscription-Key')).toHaveValue(/^[0-9a-f]{32}$/);
  await page.getByLabel('Value of header 1').fill('multipart/form-data');
  await page.getByRole('button', { name: 'Add a field' }).click();
  await page.getByLabel('Name of field 1').fill('note');
  await page.getByLabel('Value of field 1').fill('čaj');
  await page.getByRole('button', { name: 'Add a field' }).click();
  await page.getByLabel('Name of field 2').fill('picture');
  await page.getByLabel('Kind of field 2').selectOption('File');
  const chooser = page.waitForEvent('filechooser');
  await page.getByRole('button', { name: 'Value of field 2' }).click();
  await (await chooser).setFiles({ name: 'dot.txt', mimeType: 'text/plain', buffer: Buffer.from('a dot') });
  await expect(page.getByRole('region', { name: 'Code samples' })).toContainText("-F 'picture=@dot.txt'");
  for (const [language, sample] of [['Python', 'open("dot.txt", "rb")'], ['JavaScript', 'form.append("note", "čaj")'], ['C#', 'MultipartFormDataContent'], ['Java', 'boundary'], ['Go', 'CreateFormFile("picture", "dot.txt")'], ['Rust', '.file("picture", "dot.txt")']]) {
    await page.getByRole('combobox', { name: 'Language' }).selectOption(language);
    await expect(page.getByRole('region', { name: 'Code samples' })).toContainText(sample);
  }
  await page.getByRole('button', { name: 'Send' }).click();
  await expect(page.getByTestId('response-status')).toHaveText('200 OK');
  await expect(page.getByTestId('response-content')).toContainText('name="note"');
  await expect(page.getByTestId('response-content')).toContainText('čaj');
  await expect(page.getByTestId('response-content')).toContainText('filename="dot.txt"');
  await check('try-form');
  await page.getByLabel('Value of header 1').fill('image/png');
  const picture = page.waitForEvent('filechooser');
  await page.getByRole('button', { name: 'Request body' }).click();
  await (await picture).setFiles({ name: 'red.png', mimeType: 'image/png', buffer: Buffer.from(LOGO.split(',')[1], 'base64') });
  await page.getByRole('button', { name: 'Send' }).click();
  await expect(page.getByRole('img', { name: 'Response content' })).toBeVisible();
  await expect(page.getByTestId('response-content')).toContainText('bytes that are no text');
});

test('talks with a WebSocket through the gateway', async () => {
  const server = createServer();
  // Answers what it is told, as RFC 6455 frames it; texts here are shorter than 126 bytes.
  server.on('upgrade', (asked, socket) => {
    const accept = createHash('sha1').update(`${asked.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    socket.on('data', (frame: Buffer) => {
      if ((frame[0] & 0xf) !== 1) return socket.end();
      const text = frame.subarray(6).map((byte, i) => byte ^ frame[2 + (i % 4)]);
      socket.write(Buffer.concat([Buffer.from([0x81, text.length]), text]));
    });
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const { port } = server.address() as AddressInfo;
  await manage('PUT', `${ROOT}/apis/talk`, { properties: { displayName: 'Talk', path: 'talk', type: 'websocket', protocols: ['ws', 'wss'], serviceUrl: `ws://127.0.0.1:${port}` } });
  await manage('PUT', `${ROOT}/products/starter/apis/talk`);
  await page.goto(`${portal}/apis/talk`);
  await page.getByRole('button', { name: 'Connect' }).click();
  await expect(page.getByRole('alert')).toContainText('refused');
  await page.getByRole('combobox', { name: 'Subscription' }).selectOption('My echo');
  await expect(page.getByLabel('Ocp-Apim-Subscription-Key')).toHaveValue(/^[0-9a-f]{32}$/);
  await page.getByRole('button', { name: 'Connect' }).click();
  await expect(page.getByText('connected', { exact: true })).toBeVisible();
  await page.getByLabel('Message', { exact: true }).fill('hello');
  await page.getByRole('button', { name: 'Send' }).click();
  await expect(page.getByRole('log')).toContainText('received hello');
  await check('websocket');
  await page.getByRole('button', { name: 'Disconnect' }).click();
  await expect(page.getByText('not connected')).toBeVisible();
  server.close();
});

test('reports an issue and comments on it', async () => {
  await page.goto(`${portal}/apis/echo-api`);
  await page.getByRole('link', { name: 'Issues' }).click();
  await page.getByLabel('Title').fill('Wrong echo');
  await page.getByLabel('Description').fill('It answers backwards.');
  await page.getByRole('button', { name: 'Report', exact: true }).click();
  await expect(page.getByRole('article').getByText('Wrong echo')).toBeVisible();
  await page.getByRole('button', { name: '0 comments' }).click();
  await page.getByLabel('Comment').fill('Since Tuesday.');
  await page.getByRole('button', { name: 'Add the comment' }).click();
  await expect(page.getByText('Since Tuesday.')).toBeVisible();
  await check('issues');
});

test('changes the password and the address, in Czech too', async () => {
  await page.getByRole('link', { name: 'Dana Developer' }).click();
  await check('profile');
  const change = page.locator('form').filter({ has: page.getByRole('button', { name: 'Change the password' }) });
  await change.getByLabel('Present password').first().fill('wrong');
  await change.getByLabel('New password').first().fill('seven quiet lanterns 9');
  await change.getByRole('button', { name: 'Change the password' }).click();
  await expect(change.getByRole('alert')).toBeVisible();
  await change.getByLabel('Present password').first().fill(DANAS);
  await change.getByRole('button', { name: 'Change the password' }).click();
  await expect(change.getByRole('status')).toBeVisible();
  await page.getByRole('button', { name: 'Česky' }).click();
  await expect(page.getByRole('heading', { name: 'Zrušit účet' })).toBeVisible();
  await check('profile-czech');
  await page.getByRole('button', { name: 'English' }).click();
  const address = page.locator('form').filter({ has: page.getByRole('button', { name: 'Change the address' }) });
  await address.getByLabel('New e-mail address').fill('diana@example.org');
  await address.getByLabel('Present password').first().fill('seven quiet lanterns 9');
  await address.getByRole('button', { name: 'Change the address' }).click();
  await expect(address.getByRole('status')).toBeVisible();
  await page.goto(await mailed('diana@example.org'));
  await page.getByRole('button', { name: 'Confirm the address' }).click();
  // Confirmed, the portal shows its catalogue: who goes elsewhere before that is brought there.
  await expect(page.getByRole('heading', { level: 1, name: 'APIs' })).toBeVisible();
  await page.getByRole('link', { name: 'Dana Developer' }).click();
  await expect(page.getByText('diana@example.org', { exact: true })).toBeVisible();
});

test('closes the account, and comes back with a link of the publisher\'s systems', async () => {
  const close = page.locator('form').filter({ has: page.getByRole('button', { name: 'Close the account' }) });
  await close.getByLabel(/^Type diana/).fill('diana@example.org');
  await close.getByLabel('Present password').first().fill('seven quiet lanterns 9');
  await close.getByRole('button', { name: 'Close the account' }).click();
  await expect(page.getByRole('link', { name: 'Sign in' })).toBeVisible();
  await manage('PUT', `${ROOT}/users/ann`, { properties: { firstName: 'Ann', lastName: 'Novak', email: 'ann@example.org' } });
  const { value } = (await manage('POST', `${ROOT}/users/ann/generateSsoUrl`)) as { value: string };
  await page.goto(value);
  await check('sign-on');
  await page.getByRole('button', { name: 'Continue' }).click();
  await expect(page.getByRole('link', { name: 'Ann Novak' })).toBeVisible();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.goto(value);
  await page.getByRole('button', { name: 'Continue' }).click();
  await expect(page.getByRole('alert')).toContainText('used already');
});

test('the sign-in and reset pages are accessible, and no page broke its policy', async () => {
  await page.goto(`${portal}/signin?problem=exists`);
  await expect(page.getByRole('alert')).toContainText('There is an account with this address already.');
  await check('sign-in');
  await page.getByRole('link', { name: 'I forgot the password' }).click();
  await check('reset');
  expect(problems).toEqual([]);
});
