import { Button, Checkbox, Stack, Tabs, Text, TextInput } from '@mantine/core';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { lazy, Suspense, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Loaded, Loading, Page, Problem, State } from '../../shared/ui';
import { call, exists, nameOf, useGet, useList, useRefresh, useService, type Resource, type Schemas } from '../api';
import { Editor, Form, type Field } from '../form';
import { deletion, ResourceTable } from '../table';
import { Limits } from './limits';
import { TagFilter, TagsOf } from './tags';

const PolicyEditor = lazy(() => import('./policy').then((m) => ({ default: m.PolicyEditor })));

type Product = Schemas['ProductContract'];

export function Products() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const search = useSearch({ strict: false }) as { tag?: string };
  return (
    <Page title={t('Products')} actions={<Button renderRoot={(p) => <Link to="/$service/products/new" params={{ service: service.name }} {...p} />}>{t('Add a product')}</Button>}>
      <TagFilter change={(tag) => void navigate({ to: '.', search: { ...search, tag, page: undefined } as never })} />
      <ResourceTable<Product>
        key={search.tag}
        label={t('Products')}
        path={`${service.id}/products${search.tag ? `?tag=${encodeURIComponent(search.tag)}` : ''}`}
        titleOf={(p) => p.properties.displayName}
        bulk={[
          { label: t('Publish'), takes: (p) => p.properties.state !== 'published', run: (p) => call('PATCH', p.id, { properties: { state: 'published' } }, '*') },
          { label: t('Withdraw'), text: t('Developers no longer see it; who is subscribed already goes on calling.'), takes: (p) => p.properties.state === 'published', run: (p) => call('PATCH', p.id, { properties: { state: 'notPublished' } }, '*') },
          deletion(t('Delete'), t('Its subscriptions go too, and their keys stop working.'), '?deleteSubscriptions=true'),
        ]}
        columns={[
          { label: t('Name'), sort: 'displayName', cell: (p) => <Link to="/$service/products/$product" params={{ service: service.name, product: p.name }}>{p.properties.displayName}</Link> },
          { label: t('State'), sort: 'state', cell: (p) => <State value={p.properties.state ?? 'notPublished'} /> },
          { label: t('Approval'), cell: (p) => (p.properties.approvalRequired ? t('required') : t('not required')) },
        ]}
      />
    </Page>
  );
}

function useFields(): Field[] {
  const { t } = useTranslation();
  return [
    { name: 'displayName', label: t('Display name'), required: true },
    { name: 'description', label: t('Description'), kind: 'area' },
    { name: 'terms', label: t('Terms of use'), kind: 'area' },
    { name: 'state', label: t('State'), kind: 'select', options: [{ value: 'published', label: t('published') }, { value: 'notPublished', label: t('notPublished') }], help: t('Developers see published products only.') },
    { name: 'subscriptionRequired', label: t('Calls need a subscription key'), kind: 'switch' },
    { name: 'approvalRequired', label: t('Subscriptions need approval'), kind: 'switch' },
    { name: 'subscriptionsLimit', label: t('Subscriptions for each developer at most'), kind: 'number' },
  ];
}

/** Without a subscription there is nothing to approve and nothing to limit, and the API refuses both. */
const keep = (properties: Record<string, unknown>) => (properties.subscriptionRequired === false ? { ...properties, approvalRequired: null, subscriptionsLimit: null } : properties);

export function AddProduct() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  return (
    <Page title={t('Add a product')}>
      <Form
        fields={useFields()}
        initial={{ state: 'notPublished', subscriptionRequired: true, approvalRequired: false }}
        label={t('Create')}
        submit={async (values) => {
          const name = nameOf(String(values.displayName ?? ''));
          const path = `${service.id}/products/${name}`;
          if (await exists(path)) throw new Error(t('There is a product of that name.'));
          await call('PUT', path, { properties: keep(values) });
          await call('PUT', `${path}/groups/developers`);
          await refresh();
          await navigate({ to: '/$service/products/$product', params: { service: service.name, product: name } });
        }}
      />
    </Page>
  );
}

export function ProductPage() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const { product = '' } = useParams({ strict: false });
  const path = `${service.id}/products/${product}`;
  const query = useGet<Resource<Product>>(path);
  const fields = useFields();
  const { tab } = useSearch({ strict: false }) as { tab?: string };
  return (
    <Loaded query={query}>
      {({ data }) => (
        <Page title={data.properties.displayName}>
          <Tabs value={tab ?? 'settings'} onChange={(next) => void navigate({ to: '.', search: { tab: next === 'settings' ? undefined : next } as never })} keepMounted={false}>
            <Tabs.List>
              <Tabs.Tab value="settings">{t('Settings')}</Tabs.Tab>
              <Tabs.Tab value="apis">{t('APIs')}</Tabs.Tab>
              <Tabs.Tab value="groups">{t('Visible to')}</Tabs.Tab>
              <Tabs.Tab value="limits">{t('Limits')}</Tabs.Tab>
              <Tabs.Tab value="tags">{t('Tags')}</Tabs.Tab>
              <Tabs.Tab value="policy">{t('Policies')}</Tabs.Tab>
            </Tabs.List>
            <Tabs.Panel value="settings" pt="md">
              <Editor path={path} fields={fields} keep={keep} remove={{ text: t('Its subscriptions go too, and their keys stop working.'), query: '?deleteSubscriptions=true', calls: { report: 'byProduct', field: 'productId', value: `/products/${product}` }, done: () => void navigate({ to: '/$service/products', params: { service: service.name } }) }} />
            </Tabs.Panel>
            <Tabs.Panel value="apis" pt="md"><Links product={path} kind="apis" /></Tabs.Panel>
            <Tabs.Panel value="groups" pt="md"><Links product={path} kind="groups" /></Tabs.Panel>
            <Tabs.Panel value="limits" pt="md"><Limits product={path} /></Tabs.Panel>
            <Tabs.Panel value="tags" pt="md"><TagsOf path={path} /></Tabs.Panel>
            <Tabs.Panel value="policy" pt="md"><Suspense fallback={<Loading />}><PolicyEditor path={`${path}/policies/policy`} /></Suspense></Tabs.Panel>
          </Tabs>
        </Page>
      )}
    </Loaded>
  );
}

/** Which APIs or groups of the service belong to a product. */
function Links({ product, kind }: { product: string; kind: 'apis' | 'groups' }) {
  const { t } = useTranslation();
  const service = useService();
  const refresh = useRefresh();
  const [error, setError] = useState<unknown>();
  const [filter, setFilter] = useState('');
  // A revision that is not current belongs to no product of its own.
  const filters = [...(kind === 'apis' ? ['isCurrent eq true'] : []), ...(filter ? [`contains(displayName,'${filter.replaceAll("'", "''")}')`] : [])];
  const all = useList<{ displayName: string }>(`${service.id}/${kind}?$top=100${filters.length > 0 ? `&$filter=${encodeURIComponent(filters.join(' and '))}` : ''}`);
  const its = useList<{ displayName: string }>(`${product}/${kind}?$top=1000`);
  return (
    <Stack>
      <TextInput label={t('Filter')} value={filter} onChange={(e) => setFilter(e.currentTarget.value)} maw={320} />
      {error !== undefined && <Problem error={error} />}
      <Loaded query={all}>
        {(rows) => (
          <>
            {rows.value.length === 0 && <Text>{t('There is nothing here yet.')}</Text>}
            {rows.value.map((row) => (
              <Checkbox key={row.id} label={row.properties.displayName} disabled={!its.data} checked={its.data?.value.some((x) => x.name === row.name) ?? false}
                onChange={(e) => { setError(undefined); call(e.currentTarget.checked ? 'PUT' : 'DELETE', `${product}/${kind}/${row.name}`).then(refresh, setError); }} />
            ))}
          </>
        )}
      </Loaded>
    </Stack>
  );
}
