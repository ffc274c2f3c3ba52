import { AppShell, Box, Burger, Button, Group, Kbd, Select, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { createRootRoute, createRoute, createRouter, Link, Outlet, useNavigate, useParams } from '@tanstack/react-router';
import { lazy } from 'react';
import { useTranslation } from 'react-i18next';
import { Loaded, Preferences } from '../shared/ui';
import { useServices } from './api';
import { AddApi, ApiPage, Apis, ImportApi } from './pages/apis';
import { Audit } from './pages/audit';
import { BackendPage, Backends } from './pages/backends';
import { Calls } from './pages/calls';
import { CertificatePage, Certificates } from './pages/certificates';
import { GatewayPage, Gateways } from './pages/gateways';
import { IdentityProviderPage, IdentityProviders } from './pages/identity';
import { DeveloperPortal } from './pages/portal';
import { Mails, Notifications, TemplatePage, Templates } from './pages/mail';
import { OperationPage, SchemaPage } from './pages/operation';
import { AddGroup, AddUser, GroupPage, Groups, UserPage, Users } from './pages/people';
import { AddProduct, ProductPage, Products } from './pages/products';
import { NewService, Services, Settings } from './pages/services';
import { AddSubscription, SubscriptionPage, Subscriptions } from './pages/subscriptions';
import { AddNamedValue, NamedValuePage, NamedValues } from './pages/values';
import { Palette, usePaletteKeys } from './palette';
import { SignedIn, useSession } from './session';
import type { Search } from './table';

// Charts and editors are large and not on every page.
const Overview = lazy(() => import('./pages/dashboard').then((m) => ({ default: m.Overview })));
const GlobalPolicy = lazy(() => import('./pages/policy').then((m) => ({ default: m.GlobalPolicy })));

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
    ['/$service/users', t('Users')],
    ['/$service/groups', t('Groups')],
    ['/$service/policy', t('Policies')],
    ['/$service/named-values', t('Named values')],
    ['/$service/backends', t('Backends')],
    ['/$service/certificates', t('Certificates')],
    ['/$service/identity-providers', t('Identity providers')],
    ['/$service/gateways', t('Gateways')],
    ['/$service/notifications', t('Notifications')],
    ['/$service/portal', t('Developer portal')],
    ['/$service/templates', t('E-mail templates')],
    ['/$service/mails', t('Outbox')],
    ['/$service/audit', t('Audit log')],
    ['/$service/settings', t('Settings')],
  ];
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
            <Link key={to} to={to as '/$service'} params={{ service }} className="nav" activeOptions={{ exact: to === '/$service' }} activeProps={{ className: 'active' }} onClick={close}>{label}</Link>
          ))}
        </AppShell.Navbar>
      )}
      <Palette opened={palette} onClose={closePalette} links={links} service={services.data?.find((s) => s.name.toLowerCase() === service?.toLowerCase())} />
      <AppShell.Main id="main" tabIndex={-1}><Box maw={1200}><Outlet /></Box></AppShell.Main>
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
  ...Object.fromEntries(['state', 'sort', 'range', 'api', 'caller', 'tab'].filter((k) => typeof raw[k] === 'string').map((k) => [k, raw[k]])),
});

const root = createRootRoute({ component: () => <SignedIn><Shell /></SignedIn> });
const home = createRoute({ getParentRoute: () => root, path: '/', component: Services });
const create = createRoute({ getParentRoute: () => root, path: '/new-service', component: NewService });
const service = createRoute({ getParentRoute: () => root, path: '/$service', component: InService });
const at = <P extends string>(path: P, component: React.ComponentType) =>
  createRoute({ getParentRoute: () => service, path, component: component as () => React.ReactNode, validateSearch: search });

const tree = root.addChildren([
  home,
  create,
  service.addChildren([
    at('/', Overview),
    at('/apis', Apis),
    at('/apis/new', AddApi),
    at('/apis/import', ImportApi),
    at('/apis/$api', ApiPage),
    at('/apis/$api/operations/$operation', OperationPage),
    at('/apis/$api/schemas/$schema', SchemaPage),
    at('/calls', Calls),
    at('/backends', Backends),
    at('/backends/$backend', BackendPage),
    at('/identity-providers', IdentityProviders),
    at('/identity-providers/$kind/$provider', IdentityProviderPage),
    at('/certificates', Certificates),
    at('/certificates/$certificate', CertificatePage),
    at('/gateways', Gateways),
    at('/gateways/$gateway', GatewayPage),
    at('/audit', Audit),
    at('/products', Products),
    at('/products/new', AddProduct),
    at('/products/$product', ProductPage),
    at('/subscriptions', Subscriptions),
    at('/subscriptions/new', AddSubscription),
    at('/subscriptions/$subscription', SubscriptionPage),
    at('/users', Users),
    at('/users/new', AddUser),
    at('/users/$user', UserPage),
    at('/groups', Groups),
    at('/groups/new', AddGroup),
    at('/groups/$group', GroupPage),
    at('/policy', GlobalPolicy),
    at('/named-values', NamedValues),
    at('/named-values/new', AddNamedValue),
    at('/named-values/$value', NamedValuePage),
    at('/notifications', Notifications),
    at('/portal', DeveloperPortal),
    at('/templates', Templates),
    at('/templates/$template', TemplatePage),
    at('/mails', Mails),
    at('/settings', Settings),
  ]),
]);

export const router = createRouter({ routeTree: tree, basepath: '/publisher', defaultNotFoundComponent: () => <NotFound /> });

function NotFound() {
  const { t } = useTranslation();
  return <Text>{t('There is no such page.')}</Text>;
}

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
