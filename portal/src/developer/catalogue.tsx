import { Button, Card, Code, Group, SimpleGrid, Stack, Text, TextInput } from '@mantine/core';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Loaded, Page, Problem } from '../shared/ui';
import { ask, useAsk, useMe, useRefresh, type Api, type Product } from './api';

function ApiCards({ apis }: { apis: Api[] }) {
  return (
    <SimpleGrid cols={{ base: 1, sm: 2, md: 3 }}>
      {apis.map((a) => (
        <Card key={a.name} withBorder component="article">
          <Text component="h2" fw={600}><Link to="/apis/$api" params={{ api: a.name }}>{a.displayName}</Link>{a.version ? ` ${a.version}` : ''}</Text>
          <Text size="sm">{a.description}</Text>
          <Code mt="xs" className="mono">{a.baseUrl}</Code>
        </Card>
      ))}
    </SimpleGrid>
  );
}

export function Catalogue() {
  const { t } = useTranslation();
  const { q = '' } = useSearch({ strict: false }) as { q?: string };
  const navigate = useNavigate();
  const [typed, setTyped] = useState(q);
  const query = useAsk<{ value: Api[] }>(`/apis?q=${encodeURIComponent(q)}`);
  return (
    <Page title={t('APIs')}>
      <form role="search" onSubmit={(e) => { e.preventDefault(); void navigate({ to: '/', search: typed ? { q: typed } : {} }); }}>
        <Group gap="xs"><TextInput aria-label={t('Search the APIs')} placeholder={t('Search the APIs')} value={typed} onChange={(e) => setTyped(e.currentTarget.value)} /><Button type="submit" variant="default">{t('Search')}</Button></Group>
      </form>
      <Loaded query={query}>
        {({ value }) => (value.length === 0 ? <Text>{q ? t('No API matches.') : t('There are no APIs that you may see. Sign in to see those for members.')}</Text> : <ApiCards apis={value} />)}
      </Loaded>
    </Page>
  );
}

export function Products() {
  const { t } = useTranslation();
  const query = useAsk<{ value: Product[] }>('/products');
  return (
    <Page title={t('Products')}>
      <Loaded query={query}>
        {({ value }) => (
          <SimpleGrid cols={{ base: 1, sm: 2, md: 3 }}>
            {value.map((p) => (
              <Card key={p.name} withBorder component="article">
                <Text component="h2" fw={600}><Link to="/products/$product" params={{ product: p.name }}>{p.displayName}</Link></Text>
                <Text size="sm">{p.description}</Text>
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
  const query = useAsk<Product>(`/products/${encodeURIComponent(product)}`);
  return (
    <Loaded query={query}>
      {(p) => (
        <Page title={p.displayName}>
          <Text>{p.description}</Text>
          {p.subscriptionRequired && <Subscribe product={p} />}
          <ApiCards apis={p.apis ?? []} />
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
        ask('POST', '/subscriptions', { product: product.name, displayName: name }).then(async () => { await refresh(); await navigate({ to: '/subscriptions' }); }, setError);
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
