import { AppShell, Box, Burger, Button, Group, Select, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { createRootRoute, createRoute, createRouter, Link, Outlet, useNavigate, useParams } from '@tanstack/react-router';
import { lazy } from 'react';
import { useTranslation } from 'react-i18next';
import { Loaded, Preferences } from '../shared/ui';
import { useServices } from './api';
import { AddApi, ApiPage, Apis, ImportApi, OperationPage } from './pages/apis';
import { Mails, Notifications, TemplatePage, Templates } from './pages/mail';
import { AddGroup, AddUser, GroupPage, Groups, UserPage, Users } from './pages/people';
import { AddProduct, ProductPage, Products } from './pages/products';
import { NewService, Overview, Services, Settings } from './pages/services';
import { AddSubscription, SubscriptionPage, Subscriptions } from './pages/subscriptions';
import { AddNamedValue, NamedValuePage, NamedValues } from './pages/values';
import { SignedIn, useSession } from './session';
import type { Search } from './table';

const GlobalPolicy = lazy(() => import('./pages/policy').then((m) => ({ default: m.GlobalPolicy })));

function Shell() {
  const { t } = useTranslation();
  const { session, signOut } = useSession();
  const [opened, { toggle, close }] = useDisclosure();
  const { service } = useParams({ strict: false });
  const services = useServices();
  const navigate = useNavigate();
  const links: [string, string][] = [
    ['/$service', t('Overview')],
    ['/$service/apis', t('APIs')],
    ['/$service/products', t('Products')],
    ['/$service/subscriptions', t('Subscriptions')],
    ['/$service/users', t('Users')],
    ['/$service/groups', t('Groups')],
    ['/$service/policy', t('Policies')],
    ['/$service/named-values', t('Named values')],
    ['/$service/notifications', t('Notifications')],
    ['/$service/templates', t('E-mail templates')],
    ['/$service/mails', t('Outbox')],
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

const search = (raw: Record<string, unknown>): Search => ({
  ...(typeof raw.q === 'string' || typeof raw.q === 'number' ? { q: String(raw.q) } : {}),
  ...(Number(raw.page) > 1 ? { page: Number(raw.page) } : {}),
  ...(typeof raw.state === 'string' ? { state: raw.state } : {}),
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
