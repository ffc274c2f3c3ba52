import { AppShell, Box, Burger, Button, Group, Kbd, Select, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { createRootRoute, createRoute, createRouter, Link, Outlet, useNavigate, useParams } from '@tanstack/react-router';
import { Fragment, lazy, Suspense, type ComponentType } from 'react';
import { useTranslation } from 'react-i18next';
import { Loaded, Loading, Preferences, Problem } from '../shared/ui';
import { useServices } from './api';
import { Services } from './pages/services';
import { Palette, usePaletteKeys } from './palette';
import { SignedIn, useSession } from './session';
import type { Search } from './table';

/** A page that is loaded when it is first opened, with the editors and charts that only it needs. */
function later<M extends Record<string, unknown>>(load: () => Promise<M>) {
  return (name: { [K in keyof M]: M[K] extends ComponentType ? K : never }[keyof M]) => lazy(async () => ({ default: (await load())[name] as ComponentType }));
}

const apis = later(() => import('./pages/apis'));
const authorization = later(() => import('./pages/authorization'));
const audit = later(() => import('./pages/audit'));
const backends = later(() => import('./pages/backends'));
const caches = later(() => import('./pages/caches'));
const calls = later(() => import('./pages/calls'));
const certificates = later(() => import('./pages/certificates'));
const dashboard = later(() => import('./pages/dashboard'));
const fragments = later(() => import('./pages/fragments'));
const gateways = later(() => import('./pages/gateways'));
const identity = later(() => import('./pages/identity'));
const loggers = later(() => import('./pages/loggers'));
const mail = later(() => import('./pages/mail'));
const operation = later(() => import('./pages/operation'));
const people = later(() => import('./pages/people'));
const policy = later(() => import('./pages/policy'));
const portal = later(() => import('./pages/portal'));
const products = later(() => import('./pages/products'));
const schemas = later(() => import('./pages/schemas'));
const service = later(() => import('./pages/service'));
const subscriptions = later(() => import('./pages/subscriptions'));
const tags = later(() => import('./pages/tags'));
const trash = later(() => import('./pages/trash'));
const values = later(() => import('./pages/values'));
const workspaces = later(() => import('./pages/workspaces'));

function Shell() {
  const { t } = useTranslation();
  const { session, signOut } = useSession();
  const [opened, { toggle, close }] = useDisclosure();
  const { service } = useParams({ strict: false });
  const services = useServices();
  const navigate = useNavigate();
  const [palette, { open: openPalette, close: closePalette }] = useDisclosure();
  usePaletteKeys(openPalette);
  const links: [string, string][] = [
    ['/$service', t('Overview')],
    ['/$service/calls', t('Live calls')],
    ['/$service/apis', t('APIs')],
    ['/$service/products', t('Products')],
    ['/$service/subscriptions', t('Subscriptions')],
    ['/$service/tags', t('Tags')],
    ['/$service/schemas', t('Schemas')],
    ['/$service/policy', t('Policies')],
    ['/$service/policy-fragments', t('Policy fragments')],
    ['/$service/named-values', t('Named values')],
    ['/$service/backends', t('Backends')],
    ['/$service/certificates', t('Certificates')],
    ['/$service/caches', t('Caches')],
    ['/$service/authorization-servers', t('Authorization servers')],
    ['/$service/users', t('Users')],
    ['/$service/groups', t('Groups')],
    ['/$service/identity-providers', t('Identity providers')],
    ['/$service/portal', t('Developer portal')],
    ['/$service/notifications', t('Notifications')],
    ['/$service/templates', t('E-mail templates')],
    ['/$service/mails', t('Outbox')],
    ['/$service/gateways', t('Gateways')],
    ['/$service/loggers', t('Loggers')],
    ['/$service/audit', t('Audit log')],
    ['/$service/trash', t('Trash')],
    ['/$service/workspaces', t('Workspaces')],
    ['/$service/settings', t('Settings')],
  ];
  /** Before which page a heading stands. */
  const headings: Record<string, string> = { '/$service/apis': t('What is offered'), '/$service/policy': t('How calls are handled'), '/$service/users': t('People and portal'), '/$service/gateways': t('Running it') };
  return (
    <AppShell header={{ height: 56 }} navbar={{ width: 220, breakpoint: 'sm', collapsed: { mobile: !opened || !service, desktop: !service } }} padding="md">
      <a className="skip" href="#main">{t('Skip to the content')}</a>
      <AppShell.Header>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group wrap="nowrap">
            {service && <Burger opened={opened} onClick={toggle} hiddenFrom="sm" size="sm" aria-label={t('Menu')} />}
            <Link to="/" className="nav"><Text fw={700} component="span">Portico</Text></Link>
            {service && services.data && (
              <Select
                aria-label={t('Service')}
                data={services.data.map((s) => s.name)}
                value={services.data.find((s) => s.name.toLowerCase() === service.toLowerCase())?.name ?? null}
                allowDeselect={false}
                onChange={(name) => name && void navigate({ to: '/$service', params: { service: name } })}
              />
            )}
          </Group>
          <Group wrap="nowrap" gap="xs">
            <Button size="compact-sm" variant="default" onClick={openPalette} aria-keyshortcuts="Control+K" rightSection={<Kbd size="xs">Ctrl+K</Kbd>}>{t('Go to')}</Button>
            <Text size="sm" visibleFrom="sm">{session.name}</Text>
            <Preferences />
            <Button size="compact-sm" variant="default" onClick={() => void signOut()}>{t('Sign out')}</Button>
          </Group>
        </Group>
      </AppShell.Header>
      {service && (
        <AppShell.Navbar p="xs" aria-label={t('Sections')} style={{ overflowY: 'auto' }}>
          {links.map(([to, label]) => (
            <Fragment key={to}>
            {headings[to] && <Text size="xs" c="dimmed" px={12} pt="sm">{headings[to]}</Text>}
            <Link to={to as '/$service'} params={{ service }} className="nav" activeOptions={{ exact: to === '/$service' }} activeProps={{ className: 'active' }} onClick={close}>{label}</Link>
            </Fragment>
          ))}
        </AppShell.Navbar>
      )}
      <Palette opened={palette} onClose={closePalette} links={links} service={services.data?.find((s) => s.name.toLowerCase() === service?.toLowerCase())} />
      <AppShell.Main id="main" tabIndex={-1}><Box maw={1200}><Suspense fallback={<Loading />}><Outlet /></Suspense></Box></AppShell.Main>
    </AppShell>
  );
}

/** A service's pages need to know it. */
function InService() {
  const { t } = useTranslation();
  const { service } = useParams({ strict: false });
  const services = useServices();
  return (
    <Loaded query={services}>
      {(all) => (all.some((s) => s.name.toLowerCase() === service?.toLowerCase()) ? <Outlet /> : <Text>{t('There is no such service, or you may not see it.')}</Text>)}
    </Loaded>
  );
}

const search = (raw: Record<string, unknown>): Search & Record<string, unknown> => ({
  ...(typeof raw.q === 'string' || typeof raw.q === 'number' ? { q: String(raw.q) } : {}),
  ...(Number(raw.page) > 1 ? { page: Number(raw.page) } : {}),
  ...Object.fromEntries(['state', 'sort', 'range', 'api', 'caller', 'tab', 'tag', 'operation'].filter((k) => typeof raw[k] === 'string').map((k) => [k, raw[k]])),
});

const root = createRootRoute({ component: () => <SignedIn><Shell /></SignedIn> });
const home = createRoute({ getParentRoute: () => root, path: '/', component: Services });
const create = createRoute({
  getParentRoute: () => root,
  path: '/new-service',
  component: service('NewService'),
  validateSearch: (raw: Record<string, unknown>) => Object.fromEntries(['path', 'operation', 'name'].filter((k) => typeof raw[k] === 'string').map((k) => [k, raw[k]])),
});
const inService = createRoute({ getParentRoute: () => root, path: '/$service', component: InService });
const at = <P extends string>(path: P, component: ComponentType) =>
  createRoute({ getParentRoute: () => inService, path, component: component as () => React.ReactNode, validateSearch: search });

const tree = root.addChildren([
  home,
  create,
  inService.addChildren([
    at('/', dashboard('Overview')),
    at('/apis', apis('Apis')),
    at('/apis/new', apis('AddApi')),
    at('/apis/import', apis('ImportApi')),
    at('/apis/$api', apis('ApiPage')),
    at('/apis/$api/operations/$operation', operation('OperationPage')),
    at('/apis/$api/schemas/$schema', operation('SchemaPage')),
    at('/apis/$api/diagnostics/$name', loggers('DiagnosticPage')),
    at('/calls', calls('Calls')),
    at('/tags', tags('Tags')),
    at('/tags/$name', tags('TagPage')),
    at('/schemas', schemas('Schemas')),
    at('/schemas/$name', schemas('SchemaPage')),
    at('/policy-fragments', fragments('PolicyFragments')),
    at('/policy-fragments/$name', fragments('PolicyFragmentPage')),
    at('/caches', caches('Caches')),
    at('/caches/$name', caches('CachePage')),
    at('/authorization-servers', authorization('AuthorizationServers')),
    at('/authorization-servers/$name', authorization('AuthorizationServerPage')),
    at('/loggers', loggers('Loggers')),
    at('/loggers/$name', loggers('LoggerPage')),
    at('/diagnostics/$name', loggers('DiagnosticPage')),
    at('/trash', trash('Trash')),
    at('/workspaces', workspaces('Workspaces')),
    at('/workspaces/$name', workspaces('WorkspacePage')),
    at('/backends', backends('Backends')),
    at('/backends/$backend', backends('BackendPage')),
    at('/identity-providers', identity('IdentityProviders')),
    at('/identity-providers/$kind/$provider', identity('IdentityProviderPage')),
    at('/certificates', certificates('Certificates')),
    at('/certificates/$certificate', certificates('CertificatePage')),
    at('/gateways', gateways('Gateways')),
    at('/gateways/$gateway', gateways('GatewayPage')),
    at('/audit', audit('Audit')),
    at('/products', products('Products')),
    at('/products/new', products('AddProduct')),
    at('/products/$product', products('ProductPage')),
    at('/subscriptions', subscriptions('Subscriptions')),
    at('/subscriptions/new', subscriptions('AddSubscription')),
    at('/subscriptions/$subscription', subscriptions('SubscriptionPage')),
    at('/users', people('Users')),
    at('/users/new', people('AddUser')),
    at('/users/$user', people('UserPage')),
    at('/groups', people('Groups')),
    at('/groups/new', people('AddGroup')),
    at('/groups/$group', people('GroupPage')),
    at('/policy', policy('GlobalPolicy')),
    at('/named-values', values('NamedValues')),
    at('/named-values/new', values('AddNamedValue')),
    at('/named-values/$value', values('NamedValuePage')),
    at('/notifications', mail('Notifications')),
    at('/portal', portal('DeveloperPortal')),
    at('/templates', mail('Templates')),
    at('/templates/$template', mail('TemplatePage')),
    at('/mails', mail('Mails')),
    at('/settings', service('Settings')),
  ]),
]);

export const router = createRouter({ routeTree: tree, basepath: '/publisher', defaultNotFoundComponent: NotFound, defaultErrorComponent: Broken });

function NotFound() {
  const { t } = useTranslation();
  return <Text>{t('There is no such page.')}</Text>;
}

/** A page whose code did not come, because the network or the installation changed meanwhile: what is there now is asked for. */
function Broken({ error }: { error: unknown }) {
  return <Problem error={error} retry={() => window.location.reload()} />;
}

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
