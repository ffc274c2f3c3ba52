import { AppShell, Box, Button, Group, Text, useComputedColorScheme } from '@mantine/core';
import { createRootRoute, createRoute, createRouter, Link, Outlet, useLocation, useNavigate } from '@tanstack/react-router';
import { lazy, Suspense, useEffect } from 'react';
import { useTranslation } from 'react-i18next';
import { Loaded, Loading, Page, Preferences } from '../shared/ui';
import { showAccent } from './accent';
import { ask, SERVICE, useAsk, useMe, useRefresh } from './api';
import { Catalogue, ProductPage, Products } from './catalogue';
import { ContentPage } from './content';
import { Subscriptions } from './subscriptions';

const UsagePage = lazy(() => import('./usage').then((m) => ({ default: m.UsagePage })));
const Issues = lazy(() => import('./issues').then((m) => ({ default: m.Issues })));
const account = (name: 'SignIn' | 'SignOn' | 'SignUp' | 'Reset' | 'Confirm' | 'Profile' | 'Terms') => lazy(() => import('./account').then((m) => ({ default: m[name] })));
const ApiPage = lazy(() => import('./tryit').then((m) => ({ default: m.ApiPage })));

function Shell() {
  const { t } = useTranslation();
  const service = useAsk('/service');
  const me = useMe();
  const refresh = useRefresh();
  const navigate = useNavigate();
  const scheme = useComputedColorScheme('light');
  const shown = service.data;
  const { pathname } = useLocation();
  // The server answers nothing else to visitors either.
  const closed = shown?.signInRequired && me && !me.email && !/^\/(signin|signup|signin-sso|reset|confirm|terms|pages\/.*)\/?$/.test(pathname);
  useEffect(() => showAccent(shown?.accentColor, scheme), [shown?.accentColor, scheme]);
  return (
    <AppShell header={{ height: 56 }} padding="md">
      <a className="skip" href="#main">{t('Skip to the content')}</a>
      <AppShell.Header>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group gap={4} wrap="nowrap" component="nav" aria-label={t('Sections')}>
            <Link to="/" className="nav" activeProps={{}}>{shown?.logo && <img src={shown.logo} alt="" className="logo" />}<Text fw={700} component="span">{shown?.title ?? SERVICE}</Text></Link>
            <Link to="/" className="nav" activeOptions={{ exact: true }} activeProps={{ className: 'active' }}>{t('APIs')}</Link>
            <Link to="/products" className="nav" activeProps={{ className: 'active' }}>{t('Products')}</Link>
            {me?.email && <Link to="/subscriptions" className="nav" activeProps={{ className: 'active' }}>{t('Subscriptions')}</Link>}
            {me?.email && <Link to="/usage" className="nav" activeProps={{ className: 'active' }}>{t('Usage')}</Link>}
            {shown?.pages.map((p) => <Link key={p.name} to="/pages/$page" params={{ page: p.name }} className="nav" activeProps={{ className: 'active' }}>{p.title}</Link>)}
          </Group>
          <Group gap="xs" wrap="nowrap">
            <Preferences />
            {me?.email ? (
              <>
                <Link to="/profile" className="nav">{me.firstName} {me.lastName}</Link>
                <Button size="compact-sm" variant="default" onClick={() => void ask('delete', '/session').then(refresh).then(() => navigate({ to: '/' }))}>{t('Sign out')}</Button>
              </>
            ) : (
              <>
                <Link to="/signin" className="nav">{t('Sign in')}</Link>
                {shown?.signUpEnabled && <Link to="/signup" className="nav">{t('Sign up')}</Link>}
              </>
            )}
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Main id="main" tabIndex={-1}>
        <Box maw={1200} mx="auto"><Loaded query={service}>{() => <Suspense fallback={<Loading />}>{closed ? <Page title={t('Sign in')}><Text>{t('Sign in first.')} <Link to="/signin">{t('Sign in')}</Link></Text></Page> : <Outlet />}</Suspense>}</Loaded></Box>
        {shown && (
          <Group component="footer" gap="md" mt="xl" maw={1200} mx="auto">
            <Text size="sm">{shown.publisherName}</Text>
            {shown.terms && <Link to="/terms">{t('Terms of use')}</Link>}
            <a href={`/${encodeURIComponent(SERVICE)}/llms.txt`}>llms.txt</a>
          </Group>
        )}
      </AppShell.Main>
    </AppShell>
  );
}

const root = createRootRoute({ component: Shell });
const SEARCH = ['q', 'tag', 'page', 'ticket', 'token', 'operation', 'days', 'problem'] as const;
type Search = Partial<Record<(typeof SEARCH)[number], string>>;
const at = <P extends string>(path: P, component: React.ComponentType) =>
  createRoute({
    getParentRoute: () => root,
    path,
    component: component as () => React.ReactNode,
    // Every part of a query is a text.
    validateSearch: (raw: Record<string, unknown>): Search => Object.fromEntries(SEARCH.filter((name) => raw[name] !== undefined).map((name) => [name, String(raw[name])])),
  });

export const router = createRouter({
  routeTree: root.addChildren([
    at('/', Catalogue),
    at('/apis/$api', ApiPage),
    at('/apis/$api/issues', Issues),
    at('/pages/$page', ContentPage),
    at('/usage', UsagePage),
    at('/products', Products),
    at('/products/$product', ProductPage),
    at('/subscriptions', Subscriptions),
    at('/signin', account('SignIn')),
    at('/signup', account('SignUp')),
    at('/reset', account('Reset')),
    at('/confirm', account('Confirm')),
    at('/profile', account('Profile')),
    at('/signin-sso', account('SignOn')),
    at('/terms', account('Terms')),
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
