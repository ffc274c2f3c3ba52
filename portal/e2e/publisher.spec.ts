// What a publisher does every day, by mouse and keyboard only, in a service of its own.
import { expect, test, type Page } from '@playwright/test';
import { check, createService, signIn, watch } from './support';

const SERVICE = process.env.E2E_SECOND_SERVICE ?? 'publishing';

test.describe.configure({ mode: 'serial' });

let page: Page;
const problems: string[] = [];

const section = (name: string) => page.getByRole('navigation', { name: 'Sections' }).getByRole('link', { name, exact: true }).click();

test.beforeAll(async ({ browser }) => {
  page = await (await browser.newContext()).newPage();
  watch(page, problems);
  await signIn(page);
  await createService(page, SERVICE);
});

test('limits of a product are a form that writes its policies', async () => {
  await section('Products');
  await page.getByRole('link', { name: 'Starter' }).click();
  await page.getByRole('tab', { name: 'Limits' }).click();
  await expect(page.getByLabel('Calls of each subscription')).toHaveValue('5');
  await page.getByLabel('Calls of each subscription').fill('50');
  await expect(page.getByText('<rate-limit calls="50"')).toBeVisible();
  await check(page, 'publisher-limits');
  await page.getByRole('button', { name: 'Save the limits' }).click();
  await expect(page.getByText('Saved.')).toBeVisible();
  await page.getByRole('tab', { name: 'Policies' }).click();
  await expect(page.locator('.cm-content')).toContainText('<rate-limit calls="50"');
});

test('a backend has a circuit breaker', async () => {
  await section('Backends');
  await page.getByRole('link', { name: 'Add a backend' }).click();
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('Orders');
  await page.getByRole('textbox', { name: 'URL', exact: true }).fill('ftp://orders.example');
  await page.getByRole('switch', { name: 'Circuit breaker' }).click();
  await page.getByRole('button', { name: 'Create' }).click();
  await expect(page.getByRole('textbox', { name: 'URL', exact: true })).toHaveAttribute('aria-invalid', 'true');
  await page.getByRole('textbox', { name: 'URL', exact: true }).fill('https://orders.example');
  await check(page, 'publisher-backend');
  await page.getByRole('button', { name: 'Create' }).click();
  await expect(page.getByRole('row', { name: /Orders One web service https:\/\/orders\.example on/ })).toBeVisible();
  await check(page, 'publisher-backends');
});

test('an operation is described down to schemas, query parameters and headers', async () => {
  await section('APIs');
  await page.getByRole('link', { name: 'Echo API' }).click();
  await page.getByRole('tab', { name: 'Schemas' }).click();
  await page.getByRole('link', { name: 'Add a schema' }).click();
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('rows');
  await check(page, 'publisher-schema');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('link', { name: 'Add an operation' }).click();
  await page.getByLabel('URL template').fill('/rows/{id}');
  await page.getByRole('combobox', { name: 'Type of id' }).click();
  await page.getByRole('option', { name: 'integer' }).click();
  await page.getByLabel('Display name').fill('Read a row');
  await page.getByRole('tab', { name: 'Query and headers' }).click();
  await page.getByRole('button', { name: 'Add a query parameter' }).click();
  await page.getByLabel('Name of Query parameters 1').fill('colour');
  await page.getByLabel('Allowed values of colour').fill('red, blue');
  await page.getByRole('button', { name: 'Add a header' }).click();
  await page.getByLabel('Name of Request headers 1').fill('X-Team');
  await check(page, 'publisher-operation-query');
  await page.getByRole('tab', { name: 'Responses' }).click();
  await page.getByRole('combobox', { name: 'Status code' }).click();
  await page.getByRole('option', { name: '200 OK' }).click();
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  await page.getByRole('button', { name: 'Add a representation' }).click();
  await page.getByRole('combobox', { name: 'Schema', exact: true }).click();
  await page.getByRole('option', { name: 'rows' }).click();
  await page.getByRole('combobox', { name: 'Type in the schema' }).click();
  await page.getByRole('option', { name: 'Row' }).click();
  await page.getByLabel('Sample').fill('{"id": "1"}');
  await check(page, 'publisher-operation-response');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.getByRole('link', { name: 'Read a row' }).click();
  await expect(page.getByRole('combobox', { name: 'Type of id' })).toHaveValue('integer');
  await page.getByRole('tab', { name: 'Query and headers' }).click();
  await expect(page.getByLabel('Allowed values of colour')).toHaveValue('red, blue');
  await expect(page.getByLabel('Name of Request headers 1')).toHaveValue('X-Team');
  await page.getByRole('tab', { name: 'Responses' }).click();
  await expect(page.getByRole('combobox', { name: 'Type in the schema' })).toHaveValue('Row');
  await expect(page.getByLabel('Sample')).toHaveValue('{"id": "1"}');
});

test('an operation is tested from its page', async () => {
  await section('Subscriptions');
  await page.getByRole('link', { name: 'Add a subscription' }).click();
  await page.getByLabel('Display name').fill('Test calls');
  await page.getByRole('button', { name: 'Create' }).click();
  await expect(page.getByRole('heading', { name: 'Test calls' })).toBeVisible();
  await section('APIs');
  await page.getByRole('link', { name: 'Echo API' }).click();
  await page.getByRole('link', { name: 'Retrieve resource', exact: true }).click();
  await page.getByRole('tab', { name: 'Test' }).click();
  await page.getByRole('button', { name: 'Send' }).click();
  await expect(page.getByTestId('test-status')).toHaveText('401 Unauthorized');
  await page.getByRole('combobox', { name: 'Subscription' }).click();
  await page.getByRole('option', { name: 'Test calls' }).click();
  await page.getByRole('button', { name: 'Send' }).click();
  await expect(page.getByTestId('test-status')).toHaveText('200 OK');
  await check(page, 'publisher-test');
});

test('the dashboard counts the calls, and the live calls show each', async () => {
  await section('Live calls');
  await expect(page.getByRole('row', { name: / 200 GET / }).first()).toBeVisible({ timeout: 30_000 });
  await check(page, 'publisher-calls');
  await page.getByText('Errors only').click();
  await expect(page.getByRole('row', { name: / 401 GET / }).first()).toBeVisible();
  await expect(page.getByRole('row', { name: / 200 GET / })).toHaveCount(0);
  await page.getByRole('button', { name: /^Details of GET/ }).first().click();
  await expect(page.getByRole('dialog').getByRole('row', { name: /Address of the caller 127\./ })).toBeVisible();
  await check(page, 'publisher-call');
  await page.keyboard.press('Escape');
  await section('Overview');
  await expect(page.getByRole('group', { name: 'In figures' })).toContainText(/Median time\s*[\d.]+ ms/, { timeout: 30_000 });
  await expect(page.getByRole('table', { name: 'APIs' }).getByRole('link', { name: 'Echo API' })).toBeVisible();
  await expect(page.getByRole('table', { name: 'Subscriptions' }).getByRole('link', { name: 'Test calls' })).toBeVisible();
  await check(page, 'publisher-dashboard');
  await page.getByText('7 days').click();
  await expect(page).toHaveURL(/range=7d/);
});

test('the policy editor completes, checks while one types, and shows what is effective', async () => {
  await section('APIs');
  await page.getByRole('link', { name: 'Echo API' }).click();
  await page.getByRole('tab', { name: 'Policies' }).click();
  const editor = page.locator('.cm-content');
  await editor.click();
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.insertText('<policies>\n\t<inbound>\n\t\t<base />\n\t\t');
  await page.keyboard.type('<set-h');
  await expect(page.getByRole('option', { name: /set-header/ })).toBeVisible();
  await check(page, 'publisher-policy-completion');
  await page.getByRole('option', { name: /set-header/ }).click();
  await expect(editor).toContainText('<set-header name="x-request-context-data"');
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.insertText('<policies>\n\t<inbound>\n\t\t<base />\n\t\t<set-header name="X-Team" exists-action="override">\n\t\t\t<value>blue</value>\n\t\t</set-header>\n\t</inbound>\n\t<outbound>\n\t\t<base />\n\t\t<set-status code="418" reason="Teapot" />\n\t</outbound>\n\t<nonsense />\n</policies>');
  const wrong = page.getByText(/line 12/).first();
  await expect(wrong).toBeVisible();
  await page.getByRole('button', { name: 'Show', exact: true }).first().click();
  await page.keyboard.press('End');
  await page.keyboard.press('Shift+Home');
  await page.keyboard.press('Backspace');
  await expect(page.getByText('The server finds nothing wrong with the draft.')).toBeVisible();
  await page.getByRole('tab', { name: 'Workbench' }).click();
  await page.getByLabel('Path and query at the gateway').fill('/echo/resource?param1=x');
  await page.getByLabel('Request headers').fill('Accept: */*');
  await page.getByRole('button', { name: 'Run the draft' }).click();
  await expect(page.getByRole('region', { name: 'The caller gets' })).toContainText('401');
  await page.getByRole('tab', { name: 'Document' }).click();
  await page.getByRole('button', { name: 'Save the policies' }).click();
  await expect(page.getByText('Saved.')).toBeVisible();
  await page.getByRole('tab', { name: 'Effective policies' }).click();
  await page.getByRole('combobox', { name: 'Called through the product' }).click();
  await page.getByRole('option', { name: 'Starter' }).click();
  await expect(page.getByRole('region', { name: 'inbound' })).toContainText(/products\/starter[\s\S]*rate-limit[\s\S]*apis\/echo-api[\s\S]*set-header/);
  await check(page, 'publisher-policy-effective');
});

test('the workbench traces each step of a draft', async () => {
  await page.getByRole('tab', { name: 'Settings' }).click();
  await page.getByRole('switch', { name: 'Calls need a subscription key' }).click();
  const saved = page.waitForResponse((r) => r.request().method() === 'PATCH');
  await page.getByRole('button', { name: 'Save' }).click();
  expect((await saved).ok()).toBe(true);
  await page.getByRole('tab', { name: 'Policies' }).click();
  await page.getByRole('tab', { name: 'Workbench' }).click();
  await page.getByLabel('Path and query at the gateway').fill('/echo/resource?param1=x');
  await page.getByRole('button', { name: 'Run the draft' }).click();
  await expect(page.getByRole('region', { name: 'The caller gets' })).toContainText('418');
  await expect(page.getByRole('row', { name: /outbound api \d+ set-status/ })).toBeVisible();
  await page.getByLabel('Name of the test').fill('Is a teapot');
  await page.getByRole('button', { name: 'Keep the call as a test' }).click();
  await expect(page.getByRole('row', { name: /Is a teapot/ })).toBeVisible();
  await page.getByRole('button', { name: 'Run the tests' }).click();
  await expect(page.getByRole('row', { name: /Is a teapot.*as expected/ })).toBeVisible();
  await check(page, 'publisher-workbench');
  await page.getByRole('button', { name: 'Details of step 1', exact: true }).click();
  await expect(page.getByRole('dialog')).toContainText('x-team');
  await page.keyboard.press('Escape');
});

test('an OpenID Connect provider keeps its secret hidden until asked', async () => {
  await section('Identity providers');
  await page.getByRole('link', { name: 'Add an OpenID Connect provider' }).click();
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('Contoso login');
  await page.getByLabel('Metadata endpoint').fill('https://login.contoso.example/.well-known/openid-configuration');
  await page.getByLabel('Client id').fill('portal');
  await page.getByLabel('Client secret').fill('open-sesame');
  await page.getByRole('button', { name: 'Create' }).click();
  await expect(page.getByRole('row', { name: /Contoso login OpenID Connect portal/ })).toBeVisible();
  await check(page, 'publisher-identity-providers');
  await page.getByRole('link', { name: 'Contoso login' }).click();
  await expect(page.getByText('open-sesame')).toBeHidden();
  await page.getByRole('button', { name: 'Show the secret' }).click();
  await expect(page.getByText('open-sesame')).toBeVisible();
  await page.getByRole('button', { name: 'Hide the secret' }).click();
  await check(page, 'publisher-identity-provider');
});

test('gateways show which revision each process serves, and a new one gets its token', async () => {
  await section('Gateways');
  await expect(page.getByRole('region', { name: 'Built-in gateway' }).getByRole('row', { name: / live$/ })).toBeVisible();
  await check(page, 'publisher-gateways');
  await page.getByRole('link', { name: 'Add a gateway' }).click();
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('Plant');
  await page.getByLabel('Name of the location').fill('Enschede');
  await page.getByRole('button', { name: 'Create' }).click();
  await expect(page.getByText('No process of it has reported yet.')).toBeVisible();
  await page.getByRole('tab', { name: 'Run it' }).click();
  await page.getByRole('button', { name: 'Generate a token' }).click();
  await expect(page.getByText(/PORTICO_GATEWAY_TOKEN='[^']{40,}'/)).toBeVisible();
  await page.getByRole('tab', { name: 'APIs' }).click();
  await page.getByRole('checkbox', { name: 'Echo API' }).click();
  await expect(page.getByRole('checkbox', { name: 'Echo API' })).toBeChecked();
  await check(page, 'publisher-gateway');
});

test('a revision is made, becomes current, and stands in the change log; a version stands beside the original', async () => {
  await section('APIs');
  await page.getByRole('link', { name: 'Echo API' }).click();
  await page.getByRole('tab', { name: 'Revisions' }).click();
  await page.getByRole('button', { name: 'Add a revision' }).click();
  await page.getByRole('dialog').getByLabel('Description').fill('Louder');
  await page.getByRole('dialog').getByRole('button', { name: 'Create' }).click();
  await expect(page).toHaveURL(/rev%3D2|rev=2/);
  await page.getByRole('tab', { name: 'Revisions' }).click();
  await expect(page.getByRole('row', { name: /Revision 2 Louder/ })).toBeVisible();
  await page.getByRole('button', { name: 'Make revision 2 current' }).click();
  await page.getByLabel('Notes for the change log').fill('Echoes louder.');
  await page.getByRole('dialog').getByRole('button', { name: 'Make current' }).click();
  await expect(page.getByRole('row', { name: /Revision 2 current Louder/ })).toBeVisible();
  await expect(page.getByRole('table', { name: 'Change log' }).getByRole('row', { name: /2 Echoes louder\./ })).toBeVisible();
  await check(page, 'publisher-revisions');
  await section('APIs');
  await page.getByRole('link', { name: 'Echo API' }).click();
  await page.getByRole('tab', { name: 'Versions' }).click();
  await page.getByLabel('New version').fill('v2');
  await page.getByRole('button', { name: 'Add a version' }).click();
  await expect(page).toHaveURL(/echo-api-v2/);
  await page.getByRole('tab', { name: 'Versions' }).click();
  await expect(page.getByRole('row', { name: /v2 Echo API/ })).toBeVisible();
  await expect(page.getByRole('row', { name: /Original Echo API/ })).toBeVisible();
  await check(page, 'publisher-versions');
});

test('the palette goes anywhere by keyboard', async () => {
  const palette = async () => {
    await page.keyboard.press('ControlOrMeta+k');
    // What is typed before goes nowhere.
    await expect(page.getByRole('combobox', { name: 'Go to or do' })).toBeFocused();
  };
  await palette();
  await page.keyboard.type('orders');
  await expect(page.getByRole('option', { name: 'Orders Backend' })).toBeVisible();
  await check(page, 'publisher-palette');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'Orders' })).toBeVisible();
  await page.keyboard.press('Tab');
  await palette();
  await page.keyboard.type('audit');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'Audit log' })).toBeVisible();
});

test('the audit log says who did what, newest first', async () => {
  const first = page.getByRole('row').nth(1);
  await expect(first).toContainText('apis/echo-api');
  await check(page, 'publisher-audit');
  await page.keyboard.press('/');
  await page.keyboard.type('echo-api/policies');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/q=echo-api/);
  await expect(page.getByRole('row', { name: /policies\/policy/ }).first()).toBeVisible();
  await page.getByRole('button', { name: /^Details of/ }).first().click();
  await expect(page.getByRole('dialog').getByRole('row', { name: /^value / })).toBeVisible();
  await check(page, 'publisher-audit-entry');
  await page.keyboard.press('Escape');
});

test('a list is put in order by the server', async () => {
  await section('Products');
  await page.getByRole('button', { name: /^Name/ }).click();
  await page.getByRole('button', { name: /^Name/ }).click();
  await expect(page).toHaveURL(/sort=-displayName/);
  await expect(page.getByRole('columnheader', { name: 'Name' })).toHaveAttribute('aria-sort', 'descending');
  await expect(page.getByRole('row').nth(1)).toContainText('Unlimited');
});

test('regenerating a key says what breaks; deleting a product counts what goes and wants its name', async () => {
  await section('Subscriptions');
  await page.getByRole('link', { name: 'Test calls' }).click();
  await page.getByRole('button', { name: 'Regenerate primary key' }).click();
  await expect(page.getByRole('dialog').getByRole('row', { name: /Calls of the last 7 days [1-9]/ })).toBeVisible();
  await check(page, 'publisher-regenerate');
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
  await section('Products');
  await page.getByRole('link', { name: 'Starter' }).click();
  await page.getByRole('button', { name: 'Delete' }).click();
  const dialog = page.getByRole('dialog');
  await expect(dialog.getByRole('row', { name: /Subscriptions [1-9]/ })).toBeVisible();
  await expect(dialog.getByRole('button', { name: 'Delete' })).toBeDisabled();
  await check(page, 'publisher-delete');
  await dialog.getByLabel('Type starter to confirm').fill('starter');
  await dialog.getByRole('button', { name: 'Delete' }).click();
  await expect(page.getByRole('heading', { name: 'Products' })).toBeVisible();
  await expect(page.getByRole('link', { name: 'Starter' })).toBeHidden();
});

test('every section opens in Czech, too', async () => {
  await page.getByRole('button', { name: 'Česky' }).click();
  await expect(page.locator('html')).toHaveAttribute('lang', 'cs');
  const links = page.getByRole('navigation', { name: 'Oddíly' }).getByRole('link');
  const names = await links.allInnerTexts();
  expect(names).toContain('Auditní záznam');
  for (const name of names.slice(1)) {
    await links.getByText(name, { exact: true }).click();
    await expect(page.getByRole('heading', { level: 1, name, exact: true })).toBeVisible();
  }
  await check(page, 'publisher-settings-cs');
  await page.getByRole('button', { name: 'English' }).click();
  await expect(page.locator('html')).toHaveAttribute('lang', 'en');
});

test('no page broke the content security policy', () => {
  expect(problems).toEqual([]);
});
