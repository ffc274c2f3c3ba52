import { AppShell, Box, Button, Group, Text } from '@mantine/core';
import { createRootRoute, createRoute, createRouter, Link, Outlet, useNavigate } from '@tanstack/react-router';
import { lazy, Suspense } from 'react';
import { useTranslation } from 'react-i18next';
import { Loaded, Loading, Preferences } from '../shared/ui';
import { ask, SERVICE, useAsk, useMe, useRefresh, type ServiceInfo } from './api';
import { Confirm, Profile, Reset, SignIn, SignUp } from './account';
import { Catalogue, ProductPage, Products } from './catalogue';
import { Subscriptions } from './subscriptions';

const ApiPage = lazy(() => import('./tryit').then((m) => ({ default: m.ApiPage })));

function Shell() {
  const { t } = useTranslation();
  const service = useAsk<ServiceInfo>('/service');
  const me = useMe();
  const refresh = useRefresh();
  const navigate = useNavigate();
  return (
    <AppShell header={{ height: 56 }} padding="md">
      <a className="skip" href="#main">{t('Skip to the content')}</a>
      <AppShell.Header>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group gap={4} wrap="nowrap" component="nav" aria-label={t('Sections')}>
            <Link to="/" className="nav" activeProps={{}}><Text fw={700} component="span">{service.data?.publisherName ?? SERVICE}</Text></Link>
            <Link to="/" className="nav" activeOptions={{ exact: true }} activeProps={{ className: 'active' }}>{t('APIs')}</Link>
            <Link to="/products" className="nav" activeProps={{ className: 'active' }}>{t('Products')}</Link>
            {me?.email && <Link to="/subscriptions" className="nav" activeProps={{ className: 'active' }}>{t('Subscriptions')}</Link>}
          </Group>
          <Group gap="xs" wrap="nowrap">
            <Preferences />
            {me?.email ? (
              <>
                <Link to="/profile" className="nav">{me.firstName} {me.lastName}</Link>
                <Button size="compact-sm" variant="default" onClick={() => void ask('DELETE', '/session').then(refresh).then(() => navigate({ to: '/' }))}>{t('Sign out')}</Button>
              </>
            ) : (
              <>
                <Link to="/signin" className="nav">{t('Sign in')}</Link>
                <Link to="/signup" className="nav">{t('Sign up')}</Link>
              </>
            )}
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Main id="main" tabIndex={-1}>
        <Box maw={1200} mx="auto"><Loaded query={service}>{() => <Suspense fallback={<Loading />}><Outlet /></Suspense>}</Loaded></Box>
      </AppShell.Main>
    </AppShell>
  );
}

const root = createRootRoute({ component: Shell });
const at = <P extends string>(path: P, component: React.ComponentType) =>
  createRoute({
    getParentRoute: () => root,
    path,
    component: component as () => React.ReactNode,
    validateSearch: (raw: Record<string, unknown>): { q?: string; ticket?: string; operation?: string } => ({
      ...(raw.q !== undefined ? { q: String(raw.q) } : {}),
      ...(raw.ticket !== undefined ? { ticket: String(raw.ticket) } : {}),
      ...(raw.operation !== undefined ? { operation: String(raw.operation) } : {}),
    }),
  });

export const router = createRouter({
  routeTree: root.addChildren([
    at('/', Catalogue),
    at('/apis/$api', ApiPage),
    at('/products', Products),
    at('/products/$product', ProductPage),
    at('/subscriptions', Subscriptions),
    at('/signin', SignIn),
    at('/signup', SignUp),
    at('/reset', Reset),
    at('/confirm', Confirm),
    at('/profile', Profile),
  ]),
  basepath: `/${SERVICE}`,
  // Tickets are random texts; as JSON some of them would read as numbers.
  parseSearch: (text) => Object.fromEntries(new URLSearchParams(text)),
  stringifySearch: (search) => {
    const text = new URLSearchParams(Object.entries(search).filter(([, v]) => v !== undefined) as [string, string][]).toString();
    return text ? `?${text}` : '';
  },
  defaultNotFoundComponent: NotFound,
});

function NotFound() {
  const { t } = useTranslation();
  return <Text>{t('There is no such page.')}</Text>;
}

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
