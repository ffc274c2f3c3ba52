import { Button, Card, Code, Group, SimpleGrid, Stack, Text, TextInput } from '@mantine/core';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Loaded, Page, Problem } from '../shared/ui';
import { ask, useAsk, useMe, useRefresh, useService, type Api, type Product } from './api';
import { Html } from './content';

const PAGE = 30;

function ApiCards({ apis }: { apis: Api[] }) {
  return (
    <SimpleGrid cols={{ base: 1, sm: 2, md: 3 }}>
      {apis.map((a) => (
        <Card key={a.name} withBorder component="article">
          <Text component="h2" fw={600}><Link to="/apis/$api" params={{ api: a.name }}>{a.displayName}</Link>{a.version ? ` ${a.version}` : ''}</Text>
          <Text size="sm" lineClamp={3}>{a.description}</Text>
          <Code mt="xs" className="mono">{a.baseUrl}</Code>
          {a.tags.length > 0 && <Group gap="xs" mt="xs">{a.tags.map((tag) => <Link key={tag.name} to="/" search={{ tag: tag.name }} className="tag">{tag.displayName}</Link>)}</Group>}
        </Card>
      ))}
    </SimpleGrid>
  );
}

export function Catalogue() {
  const { t } = useTranslation();
  const { q = '', tag = '', page = '1' } = useSearch({ strict: false }) as { q?: string; tag?: string; page?: string };
  const number = Math.max(1, Number(page) || 1);
  const navigate = useNavigate();
  const [typed, setTyped] = useState(q);
  const service = useService();
  const tags = useAsk('/tags');
  const query = useAsk('/apis', { query: { q, tag, skip: (number - 1) * PAGE, top: PAGE } });
  const search = (more: { q?: string; tag?: string; page?: string }) => Object.fromEntries(Object.entries({ q, tag, ...more }).filter(([, v]) => v));
  return (
    <Page title={t('APIs')}>
      {service?.welcome && !q && !tag && number === 1 && <Html html={service.welcome} />}
      <form role="search" onSubmit={(e) => { e.preventDefault(); void navigate({ to: '/', search: search({ q: typed }) }); }}>
        <Group gap="xs"><TextInput aria-label={t('Search the APIs')} placeholder={t('Search the APIs')} value={typed} onChange={(e) => setTyped(e.currentTarget.value)} /><Button type="submit" variant="default">{t('Search')}</Button></Group>
      </form>
      {tags.data && tags.data.value.length > 0 && (
        <Group gap="xs" component="nav" aria-label={t('Tags')}>
          <Link to="/" search={search({ tag: '' })} className={`tag${tag ? '' : ' active'}`} aria-current={tag ? undefined : 'true'}>{t('All')}</Link>
          {tags.data.value.map((one) => <Link key={one.name} to="/" search={search({ tag: one.name })} className={`tag${tag === one.name ? ' active' : ''}`} aria-current={tag === one.name ? 'true' : undefined}>{one.displayName}</Link>)}
        </Group>
      )}
      <Loaded query={query}>
        {({ value, count }) => (
          <>
            <Text size="sm" role="status">{t('{{count, number}} APIs', { count })}</Text>
            {value.length === 0 ? <Text>{q || tag ? t('No API matches.') : t('There are no APIs that you may see. Sign in to see those for members.')}</Text> : <ApiCards apis={value} />}
            {count > PAGE && (
              <Group component="nav" aria-label={t('Pages')}>
                {number > 1 && <Link to="/" search={search({ page: String(number - 1) })}>{t('Previous page')}</Link>}
                <Text size="sm">{t('Page {{page}} of {{pages}}', { page: number, pages: Math.ceil(count / PAGE) })}</Text>
                {number * PAGE < count && <Link to="/" search={search({ page: String(number + 1) })}>{t('Next page')}</Link>}
              </Group>
            )}
          </>
        )}
      </Loaded>
    </Page>
  );
}

export function Products() {
  const { t } = useTranslation();
  const query = useAsk('/products');
  return (
    <Page title={t('Products')}>
      <Loaded query={query}>
        {({ value }) => (
          <SimpleGrid cols={{ base: 1, sm: 2, md: 3 }}>
            {value.map((p) => (
              <Card key={p.name} withBorder component="article">
                <Text component="h2" fw={600}><Link to="/products/$product" params={{ product: p.name }}>{p.displayName}</Link></Text>
                <Text size="sm" lineClamp={3}>{p.description}</Text>
              </Card>
            ))}
          </SimpleGrid>
        )}
      </Loaded>
    </Page>
  );
}

export function ProductPage() {
  const { product = '' } = useParams({ strict: false });
  const query = useAsk('/products/{product}', { path: { product } });
  return (
    <Loaded query={query}>
      {(p) => (
        <Page title={p.displayName}>
          {p.descriptionHtml && <Html html={p.descriptionHtml} />}
          {p.subscriptionRequired && <Subscribe product={p} />}
          <ApiCards apis={p.apis} />
        </Page>
      )}
    </Loaded>
  );
}

function Subscribe({ product }: { product: Product }) {
  const { t } = useTranslation();
  const me = useMe();
  const refresh = useRefresh();
  const navigate = useNavigate();
  const [name, setName] = useState(product.displayName);
  const [error, setError] = useState<unknown>();
  if (!me?.email) return <Text><Link to="/signin">{t('Sign in')}</Link> {t('to subscribe.')}</Text>;
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        setError(undefined);
        ask('post', '/subscriptions', { body: { product: product.name, displayName: name } }).then(async () => { await refresh(); await navigate({ to: '/subscriptions' }); }, setError);
      }}
    >
      <Stack gap="xs" maw={480}>
        {error !== undefined && <Problem error={error} />}
        {product.terms && <Text size="sm">{t('By subscribing you accept:')} {product.terms}</Text>}
        <TextInput label={t('Name of your subscription')} required value={name} onChange={(e) => setName(e.currentTarget.value)} />
        {product.approvalRequired && <Text size="sm">{t('The publisher approves each subscription; you get a mail.')}</Text>}
        <Group><Button type="submit">{t('Subscribe')}</Button></Group>
      </Stack>
    </form>
  );
}
