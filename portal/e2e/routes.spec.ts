// Every address that the portals know, in light and in dark: what no journey visits is still accessible and within its policy.
import { expect, test, type Browser, type Page } from '@playwright/test';
import { readFileSync } from 'node:fs';
import { check, manage, PORTICO, serviceOf, signIn, watch } from './support';

const SERVICE = process.env.E2E_ROUTES_SERVICE ?? 'routes';

/** The addresses in the source of a router. */
function routes(portal: string): string[] {
  const source = readFileSync(new URL(`../src/${portal}/router.tsx`, import.meta.url), 'utf8');
  return [...source.matchAll(/\bat\('([^']+)'/g)].map((match) => match[1]);
}

/** Visits each, and says which broke a rule. */
async function visit(browser: Browser, base: string, addresses: string[], begin: (page: Page) => Promise<void>) {
  const problems: string[] = [];
  const page = await (await browser.newContext()).newPage();
  watch(page, problems);
  await begin(page);
  for (const address of addresses) {
    await page.goto(base + address);
    await expect(page.getByRole('heading', { level: 1 }).first(), address).toBeVisible({ timeout: 30_000 });
    await check(page, undefined, address);
  }
  expect(problems).toEqual([]);
  await page.context().close();
}

let root: string;

test.beforeAll(async () => {
  root = await serviceOf(SERVICE);
  const put = (path: string, properties: Record<string, unknown> = {}) => manage('PUT', `${root}/${path}`, { properties });
  await put('apis/echo-api/schemas/rows', { contentType: 'application/vnd.oai.openapi.components+json', document: { components: { schemas: { Row: { type: 'object' } } } } });
  await put('apis/echo-api/diagnostics/azuremonitor', { loggerId: '/loggers/azuremonitor' });
  await put('diagnostics/azuremonitor', { loggerId: '/loggers/azuremonitor' });
  await put('loggers/insights', { loggerType: 'applicationInsights', credentials: { instrumentationKey: '1' } });
  await put('backends/orders', { url: 'https://orders.example', protocol: 'http' });
  await put('identityProviders/google', { clientId: 'portal', clientSecret: 'secret' });
  await put('tags/billing', { displayName: 'Billing' });
  await put('schemas/row', { schemaType: 'json', document: { type: 'object' } });
  await put('policyFragments/team', { value: '<fragment></fragment>', format: 'rawxml' });
  await put('caches/shared', { connectionString: '{{redis}}', useFromLocation: 'default' });
  await put('authorizationServers/oauth', { displayName: 'OAuth', clientRegistrationEndpoint: 'https://a.example', authorizationEndpoint: 'https://a.example', grantTypes: ['authorizationCode'], clientId: 'a' });
  await put('gateways/plant', { locationData: { name: 'Plant' } });
  await put('groups/team', { displayName: 'Team' });
  await put('users/dana', { firstName: 'Dana', lastName: 'Developer', email: 'dana@example.org', password: 'plum 7 tractor hills', state: 'active' });
  await put('subscriptions/mine', { displayName: 'Mine', scope: `${root}/products/starter`, ownerId: '/users/dana', state: 'active' });
  await put('namedValues/redis', { displayName: 'redis', value: 'localhost' });
  await put('workspaces/team', { displayName: 'Team' });
  await put('documentations/start', { title: 'Start', content: '# Start' });
  await put('developerPortals/default', { pages: ['start'] });
  await put('certificates/none', {}).catch(() => undefined);
});

test('every page of the publisher portal', async ({ browser }) => {
  test.setTimeout(900_000);
  const names: Record<string, string> = {
    '/apis/$api': 'echo-api', '/apis/$api/operations/$operation': 'echo-api create-resource', '/apis/$api/schemas/$schema': 'echo-api rows', '/apis/$api/diagnostics/$name': 'echo-api azuremonitor',
    '/diagnostics/$name': 'azuremonitor', '/loggers/$name': 'insights', '/backends/$backend': 'orders', '/identity-providers/$kind/$provider': 'social google', '/tags/$name': 'billing', '/schemas/$name': 'row',
    '/policy-fragments/$name': 'team', '/caches/$name': 'shared', '/authorization-servers/$name': 'oauth', '/gateways/$gateway': 'plant', '/groups/$group': 'team', '/users/$user': 'dana', '/subscriptions/$subscription': 'mine',
    '/named-values/$value': 'redis', '/workspaces/$name': 'team', '/products/$product': 'starter', '/certificates/$certificate': 'new', '/templates/$template': 'confirmSignUpIdentityDefault',
  };
  const addresses = routes('publisher').map((route) => {
    const values = (names[route] ?? '').split(' ');
    expect(!route.includes('$') || names[route] !== undefined, `${route} has no example here`).toBe(true);
    return `/${SERVICE}${route.replace(/\$\w+/g, () => values.shift() ?? '')}`;
  });
  const tabs = ['settings', 'products', 'schemas', 'policy', 'revisions', 'versions', 'tags', 'diagnostics'].map((tab) => `/${SERVICE}/apis/echo-api?tab=${tab}`);
  const settings = ['hosts', 'sign-in', 'access'].map((tab) => `/${SERVICE}/settings?tab=${tab}`);
  await visit(browser, `${PORTICO}/publisher`, ['/', '/new-service', ...addresses, ...tabs, ...settings], signIn);
});

test('every page of the developer portal', async ({ browser }) => {
  test.setTimeout(400_000);
  const names: Record<string, string> = { '/apis/$api': 'echo-api', '/apis/$api/issues': 'echo-api', '/pages/$page': 'start', '/products/$product': 'starter' };
  const portal = ((await manage('GET', root)) as { properties: { developerPortalUrl: string } }).properties.developerPortalUrl;
  const addresses = routes('developer').map((route) => {
    expect(!route.includes('$') || names[route] !== undefined, `${route} has no example here`).toBe(true);
    return route.replace(/\$\w+/g, () => names[route] ?? '');
  });
  await visit(browser, portal, addresses, async (page) => {
    await page.goto(`${portal}/signin`);
    await page.getByLabel('E-mail address').fill('dana@example.org');
    await page.locator('input[type=password]').fill('plum 7 tractor hills');
    await page.keyboard.press('Enter');
    await expect(page.getByRole('link', { name: 'Dana Developer' })).toBeVisible();
  });
});
