// The journey of a publisher and a developer, by mouse and keyboard only, against a running Portico:
// PORTICO_URL (management), AZUREML_URL and AZUREML_KEY (the sample web service), from scripts/e2e.sh.
import { expect, test, type Page } from '@playwright/test';
import { AZUREML, check, EMAIL, KEY, PASSWORD, PORTICO, watch } from './support';

const SERVICE = process.env.E2E_SERVICE ?? 'demoazureml';
const BODY = '{"Inputs": {"input1": {"ColumnNames": ["Col2"], "Values": [["This is a good day"]]}}, "GlobalParameters": {}}';

test.describe.configure({ mode: 'serial' });

let page: Page;
let developer: Page;
let portal: string;
const problems: string[] = [];

test.beforeAll(async ({ browser }) => {
  page = await (await browser.newContext()).newPage();
  developer = await (await browser.newContext()).newPage();
  watch(page, problems);
  watch(developer, problems);
});

test('a publisher signs in', async () => {
  await page.goto(`${PORTICO}/publisher/`);
  await check(page, 'publisher-sign-in');
  await page.getByLabel('E-mail address').fill(EMAIL);
  await page.locator('input[type=password]').fill(PASSWORD);
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'Services' })).toBeVisible();
});

test('creates a service and sees it become ready', async () => {
  await page.getByRole('link', { name: 'Create a service' }).click();
  await page.getByLabel('Name').fill(SERVICE);
  await page.getByLabel('Organization').fill('Contoso');
  await page.getByLabel('Administrator e-mail').fill(EMAIL);
  await check(page, 'publisher-create-service');
  await page.getByRole('button', { name: 'Create', exact: true }).click();
  await expect(page.getByText('The service is ready.')).toBeVisible({ timeout: 60_000 });
  await page.getByRole('link', { name: 'Open the service' }).click();
  await expect(page.getByRole('heading', { name: SERVICE })).toBeVisible();
  portal = (await page.getByRole('link', { name: new RegExp(`/${SERVICE}$`) }).getAttribute('href')) ?? '';
  await check(page, 'publisher-service');
});

test('adds a product whose subscriptions need approval', async () => {
  await page.getByRole('link', { name: 'Products', exact: true }).click();
  await page.getByRole('link', { name: 'Add a product' }).click();
  await page.getByLabel('Display name').fill('AzureML demo');
  await page.getByRole('combobox', { name: 'State' }).click();
  await page.getByRole('option', { name: 'published', exact: true }).click();
  await page.getByRole('switch', { name: 'Subscriptions need approval' }).click();
  await page.getByRole('button', { name: 'Create' }).click();
  await expect(page.getByRole('heading', { name: 'AzureML demo' })).toBeVisible();
  await check(page, 'publisher-product');
});

test('adds the API and sees its URL while typing', async () => {
  await page.getByRole('link', { name: 'APIs', exact: true }).click();
  await page.getByRole('link', { name: 'Add an API' }).click();
  await page.getByLabel('Web API name').fill('AzureML Demo API');
  await page.getByLabel('Web service URL').fill(AZUREML);
  await page.getByLabel('Web API URL suffix').fill('demoazureml');
  await expect(page.getByTestId('resulting-url')).toHaveText(/^http:\/\/127\.[\d.]+:\d+\/demoazureml$/);
  await page.getByRole('combobox', { name: 'Products' }).focus();
  await page.keyboard.press('ArrowDown');
  await page.getByRole('option', { name: 'AzureML demo' }).click();
  await page.keyboard.press('Escape');
  await check(page, 'publisher-add-api');
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByRole('heading', { name: 'AzureML Demo API' })).toBeVisible();
});

const OPERATIONS = [
  { verb: 'POST', template: '/execute?api-version={apiversion}&details={details}', name: 'RRS Execute', parameters: { apiversion: '2.0', details: 'true' }, sample: BODY },
  { verb: 'POST', template: '/jobs?api-version={apiversion}', name: 'BES Submit', parameters: { apiversion: '2.0' } },
  { verb: 'POST', template: '/jobs/{jobid}/start?api-version={apiversion}', name: 'BES Start', parameters: { apiversion: '2.0' } },
  { verb: 'GET', template: '/jobs/{jobid}?api-version={apiversion}', name: 'BES Status', parameters: { apiversion: '2.0' } },
  { verb: 'DELETE', template: '/jobs/{jobid}?api-version={apiversion}', name: 'BES Cancel', parameters: { apiversion: '2.0' } },
];

for (const operation of OPERATIONS) {
  test(`adds the operation ${operation.name}`, async () => {
    await page.getByRole('link', { name: 'Add an operation' }).click();
    await page.getByRole('combobox', { name: 'HTTP verb' }).click();
    await page.getByRole('option', { name: operation.verb, exact: true }).click();
    await page.getByLabel('URL template').fill(operation.template);
    await page.getByLabel('Display name').fill(operation.name);
    for (const [name, value] of Object.entries(operation.parameters)) await page.getByLabel(`Default of ${name}`).fill(value);
    if (operation.sample) {
      await check(page, 'publisher-operation');
      await page.getByRole('tab', { name: 'Request body' }).click();
      await page.getByLabel('Sample').fill(operation.sample);
    }
    await page.getByRole('tab', { name: 'Responses' }).click();
    await page.getByRole('combobox', { name: 'Status code' }).click();
    await page.getByRole('option', { name: '200 OK' }).click();
    await page.getByRole('button', { name: 'Add', exact: true }).click();
    await expect(page.getByText('200', { exact: true })).toBeVisible();
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await expect(page.getByRole('link', { name: operation.name })).toBeVisible();
  });
}

test('is told where a policy is wrong, then saves it', async () => {
  await page.getByRole('tab', { name: 'Policies' }).click();
  const editor = page.locator('.cm-content');
  await editor.click();
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.insertText('<policies>\n<inbound>\n<base />\n<no-such-policy />\n</inbound>\n</policies>');
  await page.getByRole('button', { name: 'Save the policies' }).click();
  await expect(page.getByRole('alert')).toContainText(/line 4/i);
  await expect(page.locator('.cm-lintRange-error')).toBeVisible();
  await check(page, 'publisher-policy-error');
  await editor.click();
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.insertText(`<policies>\n<inbound>\n<base />\n<set-header name="Authorization" exists-action="override">\n<value>Bearer ${KEY}</value>\n</set-header>\n</inbound>\n<backend><base /></backend>\n<outbound><base /></outbound>\n<on-error><base /></on-error>\n</policies>`);
  await page.getByRole('button', { name: 'Save the policies' }).click();
  await expect(page.getByText('Saved.')).toBeVisible();
});

test('is told where a document is wrong, then imports it', async () => {
  const document = (version: string) => `openapi: ${version}\ninfo:\n  title: Imported\n  version: "1"\npaths:\n  /things:\n    get:\n      operationId: list-things\n      responses:\n        "200":\n          description: OK\n`;
  await page.getByRole('link', { name: 'APIs', exact: true }).click();
  await page.getByRole('link', { name: 'Import an API' }).click();
  await page.getByLabel('Web API name').fill('Imported API');
  await page.getByLabel('Web API URL suffix').fill('imported');
  await page.getByRole('textbox', { name: 'Document', exact: true }).fill(`${document('3.0.3')}  broken: [\n`);
  await page.getByRole('button', { name: 'Import' }).click();
  await expect(page.getByRole('alert')).toContainText(/line \d+/i);
  await check(page, 'publisher-import-error');
  await page.getByRole('textbox', { name: 'Document', exact: true }).fill(document('3.0.3'));
  await page.getByRole('button', { name: 'Import' }).click();
  await expect(page.getByRole('cell', { name: '/things' })).toBeVisible();
  await page.getByRole('link', { name: 'APIs', exact: true }).click();
  await page.getByRole('link', { name: 'AzureML Demo API' }).click();
});

test('decides when somebody else changed the same thing', async () => {
  await page.getByRole('tab', { name: 'Settings' }).click();
  await page.getByLabel('Description').fill('Mine');
  // Somebody else: the same session in another tab.
  const other = await page.context().newPage();
  await other.goto(page.url());
  await other.getByRole('tab', { name: 'Settings' }).click();
  await other.getByLabel('Description').fill('Theirs');
  const saved = other.waitForResponse((r) => r.request().method() === 'PATCH');
  await other.getByRole('button', { name: 'Save' }).click();
  expect((await saved).ok()).toBe(true);
  await other.close();
  await page.getByRole('button', { name: 'Save' }).click();
  const dialog = page.getByRole('dialog', { name: 'Somebody else changed this meanwhile' });
  await expect(dialog).toBeVisible();
  await expect(dialog.getByRole('cell', { name: 'Theirs' })).toBeVisible();
  await check(page, 'publisher-conflict');
  await dialog.getByRole('button', { name: 'Overwrite with mine' }).click();
  await expect(dialog).toBeHidden();
  await expect(page.getByLabel('Description')).toHaveValue('Mine');
});

test('a developer signs up through the mailed link', async () => {
  await developer.goto(`${portal}/`);
  await check(developer, 'developer-catalogue');
  await developer.getByRole('link', { name: 'Sign up' }).click();
  await developer.getByLabel('First name').fill('Dana');
  await developer.getByLabel('Last name').fill('Developer');
  await developer.getByLabel('E-mail address').fill('dana@example.org');
  await developer.locator('input[type=password]').fill('plum 7 tractor hills');
  await check(developer, 'developer-sign-up');
  await developer.getByRole('button', { name: 'Sign up' }).click();
  await expect(developer.getByText('Open the link in the mail')).toBeVisible();
  // The mail, as the publisher's outbox shows it.
  await page.getByRole('link', { name: 'Outbox' }).click();
  await page.getByRole('row', { name: /dana@example\.org.*Confirm/ }).getByRole('button', { name: 'Read' }).click();
  const link = /https?:\/\/\S+\/confirm\?ticket=[\w=]+/.exec(await page.getByRole('dialog').innerText())?.[0] ?? '';
  expect(link).not.toBe('');
  await page.getByRole('button', { name: 'Close' }).click();
  await check(page, 'publisher-outbox');
  await developer.goto(link);
  await developer.getByRole('button', { name: 'Confirm the address' }).click();
  await expect(developer.getByRole('link', { name: 'Dana Developer' })).toBeVisible();
});

test('subscribes, and the publisher approves', async () => {
  await developer.getByRole('link', { name: 'Products', exact: true }).click();
  await developer.getByRole('link', { name: 'AzureML demo' }).click();
  await check(developer, 'developer-product');
  await developer.getByRole('button', { name: 'Subscribe' }).click();
  await expect(developer.getByText('submitted')).toBeVisible();
  await page.getByRole('link', { name: 'Subscriptions', exact: true }).click();
  await page.getByText('Waiting for approval').click();
  await expect(page.getByRole('row', { name: /AzureML demo/ })).toBeVisible();
  await check(page, 'publisher-subscriptions');
  await page.getByRole('button', { name: 'Approve' }).click();
  await expect(page.getByRole('button', { name: 'Approve' })).toBeHidden();
  await developer.reload();
  await expect(developer.getByText('active', { exact: true })).toBeVisible();
  await developer.getByRole('button', { name: 'Show keys' }).click();
  await expect(developer.getByTestId('primary-key')).toHaveText(/^[0-9a-f]{32}$/);
  await developer.getByRole('button', { name: 'Hide keys' }).click();
  await check(developer, 'developer-subscriptions');
});

test('tries the API: 200 and 1 1 2 2 0 2 0 1', async () => {
  await developer.getByRole('link', { name: 'APIs', exact: true }).click();
  await developer.getByRole('link', { name: 'AzureML Demo API' }).click();
  await developer.getByRole('navigation', { name: 'Operations' }).getByRole('link', { name: /RRS Execute/ }).click();
  await expect(developer.getByRole('textbox', { name: 'Request body' })).toHaveValue(BODY);
  await developer.getByRole('combobox', { name: 'Subscription' }).selectOption('AzureML demo');
  await expect(developer.getByLabel('Ocp-Apim-Subscription-Key')).toHaveValue(/^[0-9a-f]{32}$/);
  await developer.getByRole('button', { name: 'Send' }).click();
  await expect(developer.getByTestId('response-status')).toHaveText('200 OK');
  await expect(developer.getByTestId('requested-url')).toHaveText(/\/demoazureml\/execute\?api-version=2\.0&details=true$/);
  await expect(developer.getByTestId('response-headers')).toContainText('content-type: application/json');
  const reply = JSON.parse(await developer.getByTestId('response-content').innerText()) as { Results: { output1: { value: { Values: string[][] } } } };
  expect(reply.Results.output1.value.Values[0].slice(-8).join(' ')).toBe('1 1 2 2 0 2 0 1');
  await developer.getByTestId('response-content').scrollIntoViewIfNeeded();
  await check(developer, 'developer-try-it');
});

test('sees a wrong key refused', async () => {
  await developer.getByLabel('Ocp-Apim-Subscription-Key').fill('wrong');
  await developer.getByRole('button', { name: 'Send' }).click();
  await expect(developer.getByTestId('response-status')).toHaveText('401 Unauthorized');
});

test('sees clearly that a limit is reached', async () => {
  await developer.getByRole('link', { name: 'Products', exact: true }).click();
  await developer.getByRole('link', { name: 'Starter' }).click();
  await developer.getByRole('button', { name: 'Subscribe' }).click();
  await expect(developer.getByRole('article').filter({ hasText: 'Starter' }).first()).toBeVisible();
  await developer.getByRole('link', { name: 'APIs', exact: true }).click();
  await developer.getByRole('link', { name: 'Echo API' }).click();
  await developer.getByRole('navigation', { name: 'Operations' }).getByRole('link', { name: /Create resource/ }).click();
  await developer.getByRole('combobox', { name: 'Subscription' }).selectOption('Starter');
  await expect(developer.getByLabel('Ocp-Apim-Subscription-Key')).toHaveValue(/^[0-9a-f]{32}$/);
  // The new product allows five calls a minute.
  for (let call = 0; call < 6; call++) {
    const answered = developer.waitForResponse((r) => r.url().endsWith('/relay'));
    await developer.getByRole('button', { name: 'Send' }).click();
    await answered;
  }
  await expect(developer.getByTestId('response-status')).toHaveText('429 Too Many Requests');
  await expect(developer.getByRole('alert')).toContainText('The limit of calls is reached.');
  await developer.getByRole('alert').scrollIntoViewIfNeeded();
  await check(developer, 'developer-limit');
});

test('the publisher sees the calls, and no page broke its policy', async () => {
  await page.getByRole('link', { name: 'Overview' }).click();
  await expect(page.getByRole('row', { name: /AzureML Demo API/ })).toBeVisible({ timeout: 40_000 });
  await check(page, 'publisher-overview');
  for (const section of ['Users', 'Groups', 'Named values', 'Notifications', 'E-mail templates', 'Settings']) {
    await page.getByRole('link', { name: section, exact: true }).click();
    await expect(page.getByRole('heading', { name: section, level: 1 })).toBeVisible();
    await check(page, `publisher-${section.toLowerCase().replaceAll(' ', '-')}`);
  }
  await page.getByRole('button', { name: 'Sign out' }).click();
  await expect(page.getByRole('heading', { name: 'Sign in to Portico' })).toBeVisible();
  expect(problems).toEqual([]);
});
