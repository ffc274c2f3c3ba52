// What a publisher does now and then: labels, fragments, loggers, settings, certificates, and getting back what was deleted. By
// mouse and keyboard only, in a service of its own.
import { expect, test, type Page } from '@playwright/test';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { check, createService, manage, signIn, watch } from './support';

const SERVICE = process.env.E2E_UPKEEP_SERVICE ?? 'upkeep';
const ROOT = `/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/default/providers/Microsoft.ApiManagement/service/${SERVICE}`;

test.describe.configure({ mode: 'serial' });

let page: Page;
const problems: string[] = [];

const section = (name: string) => page.getByRole('navigation', { name: 'Sections' }).getByRole('link', { name, exact: true }).click();
const heading = (name: string) => expect(page.getByRole('heading', { level: 1, name, exact: true })).toBeVisible();
const named = (name: string) => page.getByRole('textbox', { name, exact: true });

test.beforeAll(async ({ browser }) => {
  page = await (await browser.newContext()).newPage();
  watch(page, problems);
  await signIn(page);
  await createService(page, SERVICE);
});

test('tags are made where they are given, and lists are filtered by them', async () => {
  await section('Tags');
  await page.getByRole('link', { name: 'Add a tag' }).click();
  await named('Display name').fill('Billing');
  await page.getByRole('button', { name: 'Create' }).click();
  await expect(page.getByRole('row', { name: /Billing/ })).toBeVisible();
  await section('APIs');
  await page.getByRole('link', { name: 'Echo API' }).click();
  await page.getByRole('tab', { name: 'Tags' }).click();
  const tags = page.getByRole('combobox', { name: 'Tags' }).or(page.getByRole('textbox', { name: 'Tags' }));
  await tags.fill('Finance');
  await page.keyboard.press('Enter');
  await expect(page.getByText('Finance', { exact: true }).first()).toBeVisible();
  await check(page, 'publisher-api-tags');
  await section('APIs');
  await expect(page.getByRole('row', { name: /Echo API/ })).toContainText('Finance');
  await page.getByRole('group', { name: 'Tags' }).getByRole('button', { name: 'Billing' }).click();
  await expect(page).toHaveURL(/tag=billing/);
  await expect(page.getByText('There is nothing here yet.')).toBeVisible();
  await page.getByRole('group', { name: 'Tags' }).getByRole('button', { name: 'Finance' }).click();
  await expect(page.getByRole('row', { name: /Echo API/ })).toBeVisible();
  await check(page, 'publisher-apis');
  await section('Tags');
  await page.getByRole('link', { name: 'Finance' }).click();
  await expect(page.getByRole('table', { name: 'What has it' }).getByRole('link', { name: 'Echo API' })).toBeVisible();
  await check(page, 'publisher-tag');
});

test('a fragment is written, refused with its line, and says who includes it', async () => {
  await section('Policy fragments');
  await page.getByRole('link', { name: 'Add a policy fragment' }).click();
  await named('Name').fill('name-the-team');
  await named('Description').fill('Says which team calls.');
  await page.getByRole('button', { name: 'Create' }).click();
  await heading('name-the-team');
  const editor = page.locator('.cm-content');
  const write = async (text: string) => {
    await editor.click();
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.insertText(text);
    await page.getByRole('button', { name: 'Save the policies' }).click();
  };
  await write('<fragment>\n\t<nonsense />\n</fragment>');
  await expect(page.getByRole('alert')).toContainText(/line 2/i);
  await write('<fragment>\n\t<set-header name="X-Team" exists-action="override">\n\t\t<value>blue</value>\n\t</set-header>\n</fragment>');
  await expect(page.getByText('Saved.')).toBeVisible();
  await check(page, 'publisher-policy-fragment');
  await section('Policies');
  // Until that page is there, the editor is still the fragment's.
  await heading('Policies');
  await write('<policies>\n\t<inbound>\n\t\t<include-fragment fragment-id="name-the-team" />\n\t</inbound>\n\t<backend>\n\t\t<forward-request />\n\t</backend>\n\t<outbound />\n\t<on-error />\n</policies>');
  await expect(page.getByText('Saved.')).toBeVisible();
  await section('Policy fragments');
  await check(page, 'publisher-policy-fragments');
  await page.getByRole('link', { name: 'name-the-team' }).click();
  await expect(page.getByRole('region', { name: 'Who includes it' })).toContainText('/policies/policy');
  await page.getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await expect(page.getByRole('dialog').getByRole('alert')).toContainText('include');
  await page.keyboard.press('Escape');
});

test('schemas, caches and authorization servers have forms', async () => {
  await section('Schemas');
  await page.getByRole('link', { name: 'Add a schema' }).click();
  await named('Name').fill('row');
  await named('Document').fill('{"type": "object", "properties": {"id": {"type": "integer"}}}');
  await check(page, 'publisher-global-schema');
  await page.getByRole('button', { name: 'Create' }).click();
  await page.getByRole('link', { name: 'row', exact: true }).click();
  await expect(named('Document')).toHaveValue(/"id": \{/);
  await named('Description').fill('A row.');
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByText('Saved.')).toBeVisible();

  await section('Caches');
  await page.getByRole('link', { name: 'Add a cache' }).click();
  await named('Name').fill('shared');
  await named('Connection string').fill('redis.example.org:6380,password=secret,ssl=True');
  await page.getByRole('button', { name: 'Create' }).click();
  await expect(page.getByRole('row', { name: /shared default \{\{Cache-Connection-/ })).toBeVisible();
  await expect(page.getByText('password=secret')).toHaveCount(0);
  await check(page, 'publisher-caches');

  await section('Authorization servers');
  await page.getByRole('link', { name: 'Add an authorization server' }).click();
  await named('Display name').fill('Contoso OAuth');
  await named('Page where clients are registered').fill('https://login.contoso.example/register');
  await named('Authorization endpoint').fill('https://login.contoso.example/authorize');
  await named('Client id').fill('portal');
  await page.getByLabel('Client secret').first().fill('open-sesame');
  await check(page, 'publisher-authorization-server');
  await page.getByRole('button', { name: 'Create' }).click();
  await page.getByRole('link', { name: 'Contoso OAuth' }).click();
  await expect(page.getByText('open-sesame')).toBeHidden();
  await page.getByRole('button', { name: 'Show the secret' }).click();
  await expect(page.getByText('open-sesame')).toBeVisible();
  await page.getByRole('button', { name: 'Hide the secret' }).click();
});

test('a logger gets calls by a diagnostic', async () => {
  await section('Loggers');
  await page.getByRole('link', { name: 'Add a logger' }).click();
  await named('Name').fill('insights');
  await named('Instrumentation key').fill('00000000-0000-0000-0000-000000000002');
  await page.getByRole('button', { name: 'Create' }).click();
  await expect(page.getByRole('row', { name: /insights Application Insights/ })).toBeVisible();
  await page.getByRole('link', { name: 'Add a diagnostic' }).click();
  await page.getByRole('combobox', { name: 'Logger' }).click();
  await page.getByRole('option', { name: 'insights' }).click();
  await named('Share of the calls in percent').fill('25');
  await named('Request of the caller: bytes of the body').fill('9000');
  await page.getByRole('button', { name: 'Create' }).click();
  await expect(named('Request of the caller: bytes of the body')).toBeFocused();
  await expect(named('Request of the caller: bytes of the body')).toHaveAttribute('aria-invalid', 'true');
  await named('Request of the caller: bytes of the body').fill('512');
  await check(page, 'publisher-diagnostic');
  await page.getByRole('button', { name: 'Create' }).click();
  await expect(page.getByRole('table', { name: 'Diagnostics' }).getByRole('row', { name: /applicationinsights insights 25 % always/ })).toBeVisible();
  await check(page, 'publisher-loggers');
  await page.getByRole('link', { name: 'applicationinsights' }).click();
  await named('Share of the calls in percent').fill('50');
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByText('Saved.')).toBeVisible();
  expect(((await manage('GET', `${ROOT}/diagnostics/applicationinsights`)) as { properties: { sampling: unknown; frontend: unknown } }).properties).toMatchObject({ sampling: { samplingType: 'fixed', percentage: 50 }, frontend: { request: { body: { bytes: 512 } } } });
});

test('a certificate is read from a file, and one that is no certificate is refused at its field', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'certificate-'));
  const file = join(folder, 'client.pfx');
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '20', '-subj', '/CN=client.example', '-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')], { stdio: 'ignore' });
  execFileSync('openssl', ['pkcs12', '-export', '-inkey', join(folder, 'key.pem'), '-in', join(folder, 'cert.pem'), '-out', file, '-passout', 'pass:sesame']);
  await section('Certificates');
  await page.getByRole('link', { name: 'Add a certificate' }).click();
  await named('Name').fill('client');
  const choose = async (buffer: Buffer, name: string) => {
    const chooser = page.waitForEvent('filechooser');
    await page.getByRole('button', { name: 'File', exact: true }).click();
    await (await chooser).setFiles({ name, mimeType: 'application/octet-stream', buffer });
  };
  await choose(Buffer.from('nonsense'), 'nonsense.pfx');
  await page.getByRole('button', { name: 'Create' }).click();
  await expect(page.getByRole('alert')).toBeVisible();
  await choose(readFileSync(file), 'client.pfx');
  await page.getByLabel('Password of the file').first().fill('sesame');
  await check(page, 'publisher-certificate');
  await page.getByRole('button', { name: 'Create' }).click();
  await expect(page.getByRole('row', { name: /client CN=client\.example [0-9A-F]{40} .*\(soon\)/ })).toBeVisible();
  await check(page, 'publisher-certificates');
  await page.getByRole('link', { name: 'client', exact: true }).click();
  await expect(page.getByText('CN=client.example')).toBeVisible();
  await page.getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await expect(page.getByText('There is nothing here yet.')).toBeVisible();
});

test('the developer portal gets a look, a page and terms', async () => {
  await section('Developer portal');
  const look = page.getByRole('region', { name: 'Look and pages' });
  await look.getByLabel('Name that visitors see').fill('Contoso for developers');
  await look.getByLabel('Colour of links and buttons').fill('blue');
  await look.getByRole('button', { name: 'Save' }).click();
  await expect(look.getByLabel('Colour of links and buttons')).toHaveAttribute('aria-invalid', 'true');
  await look.getByLabel('Colour of links and buttons').fill('#0b5cad');
  await look.getByRole('button', { name: 'Save' }).click();
  await expect(look.getByRole('status')).toHaveText('Saved.');
  const pages = page.getByRole('region', { name: 'Pages', exact: true });
  await pages.getByRole('button', { name: 'Add a page' }).click();
  await pages.getByLabel('Title').fill('First steps');
  await pages.getByLabel('Content').fill('# Hello');
  await pages.getByRole('button', { name: 'Save the page' }).click();
  await expect(pages.getByText('(not in the menu)')).toBeVisible();
  const terms = page.getByRole('region', { name: 'Sign-up and terms' });
  await terms.getByLabel('Terms of use').fill('Be nice.');
  await terms.getByRole('switch', { name: 'The terms are shown' }).click();
  await terms.getByRole('button', { name: 'Save the terms' }).click();
  await expect.poll(async () => ((await manage('GET', `${ROOT}/portalsettings/signup`)) as { properties: { termsOfService: unknown } }).properties.termsOfService).toMatchObject({ text: 'Be nice.', enabled: true });
  await check(page, 'publisher-developer-portal');
});

test('what is typed is not lost by leaving', async () => {
  await section('Settings');
  await named('Organization').fill('Contoso Ltd');
  await section('APIs');
  const dialog = page.getByRole('dialog', { name: 'Leave without saving?' });
  await expect(dialog.getByRole('button', { name: 'Stay' })).toBeFocused();
  await check(page, 'publisher-unsaved');
  await page.keyboard.press('Enter');
  await expect(dialog).toBeHidden();
  await expect(named('Organization')).toHaveValue('Contoso Ltd');
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByText('Saved.')).toBeVisible();
  await named('Organization').fill('Nobody');
  await section('APIs');
  await dialog.getByRole('button', { name: 'Leave' }).click();
  await heading('APIs');
  await section('Settings');
  await expect(named('Organization')).toHaveValue('Contoso Ltd');
});

test('host names, delegation and access by keys are settings', async () => {
  await page.getByRole('tab', { name: 'Host names' }).click();
  await page.getByRole('button', { name: 'Add a host name' }).click();
  await named('Host name').last().fill('api.contoso.example');
  await check(page, 'publisher-host-names');
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByText('Saved.')).toBeVisible();
  await page.reload();
  await expect(named('Host name').last()).toHaveValue('api.contoso.example');
  await page.getByRole('tab', { name: 'Sign-in and delegation' }).click();
  await page.getByRole('switch', { name: 'It takes over subscribing' }).click();
  const delegation = page.locator('form').filter({ has: page.getByRole('switch', { name: 'It takes over subscribing' }) });
  await delegation.getByRole('button', { name: 'Save' }).click();
  await expect(named('Address of your page')).toHaveAttribute('aria-invalid', 'true');
  await named('Address of your page').fill('https://contoso.example/delegation');
  await delegation.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByText('Saved.')).toBeVisible();
  await check(page, 'publisher-delegation');
  await page.getByRole('tab', { name: 'Access by keys' }).click();
  await page.getByRole('switch', { name: 'Signatures with these keys are accepted' }).click();
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByText('on', { exact: true })).toBeVisible();
  await page.getByRole('button', { name: 'Show keys' }).click();
  await expect(page.getByTestId('primary-key')).toHaveText(/^[\w+/]{80,}={0,2}$/);
  await page.getByRole('button', { name: 'Hide keys' }).click();
  await check(page, 'publisher-access');
});

test('several rows are changed at once', async () => {
  for (const name of ['one', 'two', 'three']) await manage('PUT', `${ROOT}/namedValues/${name}`, { properties: { displayName: name, value: name } });
  await section('Named values');
  await page.getByRole('checkbox', { name: 'Choose one' }).check();
  await page.getByRole('checkbox', { name: 'Choose two' }).check();
  await expect(page.getByText('2 rows chosen')).toBeVisible();
  await check(page, 'publisher-chosen');
  await page.getByRole('group', { name: 'With what is chosen' }).getByRole('button', { name: 'Delete' }).click();
  await expect(page.getByRole('dialog')).toContainText('one, two');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await expect(page.getByRole('link', { name: 'two' })).toBeHidden();
  await expect(page.getByRole('link', { name: 'three' })).toBeVisible();
});

test('a deleted product comes back with its subscriptions and their keys', async () => {
  await manage('PUT', `${ROOT}/subscriptions/kept`, { properties: { displayName: 'Kept', scope: `${ROOT}/products/starter`, state: 'active' } });
  const key = async () => ((await manage('POST', `${ROOT}/subscriptions/kept/listSecrets`)) as { primaryKey: string }).primaryKey;
  const before = await key();
  await section('Products');
  await page.getByRole('link', { name: 'Starter' }).click();
  await page.getByRole('button', { name: 'Delete' }).click();
  const dialog = page.getByRole('dialog');
  await expect(dialog.getByRole('table', { name: 'What is affected' }).getByRole('row', { name: /^Subscriptions \d+ .*kept/ })).toBeVisible();
  await dialog.getByLabel('Type starter to confirm').fill('starter');
  await dialog.getByRole('button', { name: 'Delete' }).click();
  await expect(page.getByRole('link', { name: 'Starter' })).toBeHidden();
  await section('Trash');
  await expect(page.getByRole('row', { name: /starter Products/ })).toBeVisible();
  await check(page, 'publisher-trash');
  await page.getByRole('button', { name: 'Restore starter' }).click();
  await expect(page.getByText('/products/starter is restored.')).toBeVisible();
  expect(await key()).toBe(before);
  await page.getByRole('button', { name: 'Delete one for good' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete for good' }).click();
  await expect(page.getByRole('row', { name: /^Choose one one / })).toBeHidden();
  await section('Products');
  await expect(page.getByRole('link', { name: 'Starter' })).toBeVisible();
});

test('workspaces are listed with what they hold', async () => {
  await section('Workspaces');
  await page.getByRole('link', { name: 'Add a workspace' }).click();
  await named('Display name').fill('Machine learning');
  await page.getByRole('button', { name: 'Create' }).click();
  await expect(page.getByRole('link', { name: 'Machine learning' })).toBeVisible();
  await manage('PUT', `${ROOT}/workspaces/machine-learning/apis/hash`, { properties: { displayName: 'Hash', path: 'hash', protocols: ['https'] } });
  await page.getByRole('link', { name: 'Machine learning' }).click();
  await expect(page.getByRole('table', { name: 'What it holds' }).getByRole('row', { name: 'APIs 1 Hash' })).toBeVisible();
  await check(page, 'publisher-workspace');
});

test('a long list is filtered, ordered and paged by the server', async () => {
  for (let batch = 0; batch < 12; batch++) await Promise.all(Array.from({ length: 10 }, (_, i) => manage('PUT', `${ROOT}/tags/t${batch * 10 + i}`, { properties: { displayName: `Label ${String(batch * 10 + i).padStart(3, '0')}` } })));
  await section('Tags');
  await expect(page.getByText('122 rows')).toBeVisible();
  await expect(page.getByRole('row')).toHaveCount(26);
  await page.getByRole('button', { name: 'Page 5' }).click();
  await expect(page).toHaveURL(/page=5/);
  await expect(page.getByRole('row')).toHaveCount(23);
  await page.getByRole('button', { name: /^Name/ }).click();
  await expect(page).toHaveURL(/sort=displayName/);
  await expect(page).not.toHaveURL(/page=/);
  await expect(page.getByRole('row').nth(1)).toContainText('Billing');
  await page.keyboard.press('/');
  await expect(page.getByRole('textbox', { name: 'Filter' })).toBeFocused();
  await page.keyboard.type('label 1');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/q=label/);
  await expect(page.getByRole('row').nth(1)).toContainText('Label 100');
  await expect(page.getByRole('row')).toHaveCount(21);
  await page.reload();
  await expect(page.getByRole('row')).toHaveCount(21);
});

test('a deleted service comes back', async () => {
  await section('Settings');
  await page.getByRole('button', { name: 'Delete the service' }).click();
  await expect(page.getByRole('dialog').getByRole('row', { name: /^Products \d+ starter/ })).toBeVisible();
  await page.getByLabel(`Type ${SERVICE} to confirm`).fill(SERVICE);
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await heading('Services');
  const deleted = page.getByRole('region', { name: 'Deleted services' });
  await expect(deleted.getByRole('row', { name: new RegExp(SERVICE) })).toBeVisible();
  await check(page, 'publisher-services');
  await deleted.getByRole('button', { name: `Restore ${SERVICE}` }).click();
  await page.getByRole('table', { name: 'Services' }).getByRole('link', { name: SERVICE }).click();
  await section('Settings');
  await expect(named('Organization')).toHaveValue('Contoso Ltd');
});

test('no page broke the content security policy', () => {
  expect(problems).toEqual([]);
});
