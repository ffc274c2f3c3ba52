import { Badge, Button, Checkbox, Code, FileButton, Group, MultiSelect, Select, Stack, Tabs, Text, Textarea, TextInput } from '@mantine/core';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { lazy, Suspense, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Failure } from '../../shared/failure';
import { Loaded, Loading, Page, Problem } from '../../shared/ui';
import { call, nameOf, useGet, useList, useRefresh, useService, type Operation, type Resource, type Schemas } from '../api';
import { Editor } from '../form';
import { ResourceTable } from '../table';
import { ApiSchemas } from './operation';
import { Revisions, Versions } from './revisions';

const PolicyEditor = lazy(() => import('./policy').then((m) => ({ default: m.PolicyEditor })));

type Api = Schemas['ApiContract'];

export function Apis() {
  const { t } = useTranslation();
  const service = useService();
  return (
    <Page title={t('APIs')} actions={
      <>
        <Button variant="default" renderRoot={(p) => <Link to="/$service/apis/import" params={{ service: service.name }} {...p} />}>{t('Import an API')}</Button>
        <Button renderRoot={(p) => <Link to="/$service/apis/new" params={{ service: service.name }} {...p} />}>{t('Add an API')}</Button>
      </>
    }>
      <ResourceTable<Api>
        label={t('APIs')}
        path={`${service.id}/apis`}
        filter="isCurrent eq true"
        columns={[
          { label: t('Name'), sort: 'displayName', cell: (a) => <Link to="/$service/apis/$api" params={{ service: service.name, api: a.name }}>{a.properties.displayName}</Link> },
          { label: t('URL'), sort: 'path', cell: (a) => <span className="mono">{service.properties.gatewayUrl}/{a.properties.path}</span> },
          { label: t('Web service URL'), sort: 'serviceUrl', cell: (a) => <span className="mono">{a.properties.serviceUrl}</span> },
        ]}
      />
    </Page>
  );
}

export function AddApi() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const products = useList<Schemas['ProductContract']>(`${service.id}/products`);
  const [values, setValues] = useState({ displayName: '', serviceUrl: '', path: '', scheme: 'both', products: [] as string[] });
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const failure = error instanceof Failure ? error : undefined;
  const set = (more: Partial<typeof values>) => setValues({ ...values, ...more });
  const gateway = service.properties.gatewayUrl ?? '';
  const url = `${gateway}/${values.path.replace(/^\/+|\/+$/g, '')}`;
  const submit = async () => {
    const name = nameOf(values.displayName);
    const path = `${service.id}/apis/${name}`;
    const taken = await call('GET', path).then(() => true, (e: unknown) => { if (e instanceof Failure && e.status === 404) return false; throw e; });
    if (taken) throw new Error(t('There is an API of that name.'));
    await call('PUT', path, {
      properties: {
        displayName: values.displayName,
        serviceUrl: values.serviceUrl || null,
        path: values.path.replace(/^\/+|\/+$/g, ''),
        protocols: values.scheme === 'both' ? ['http', 'https'] : [values.scheme],
        subscriptionRequired: true,
      },
    });
    for (const product of values.products) await call('PUT', `${service.id}/products/${product}/apis/${name}`);
    await refresh();
    await navigate({ to: '/$service/apis/$api', params: { service: service.name, api: name } });
  };
  return (
    <Page title={t('Add an API')}>
      <form onSubmit={(e) => { e.preventDefault(); setBusy(true); setError(undefined); submit().catch(setError).finally(() => setBusy(false)); }}>
        <Stack maw={640}>
          {error !== undefined && <Problem error={error} />}
          <TextInput label={t('Web API name')} required value={values.displayName} error={failure?.of('displayName')} onChange={(e) => set({ displayName: e.currentTarget.value })} />
          <TextInput label={t('Web service URL')} type="url" description={t('Where calls are forwarded to.')} value={values.serviceUrl} error={failure?.of('serviceUrl')} onChange={(e) => set({ serviceUrl: e.currentTarget.value })} />
          <TextInput label={t('Web API URL suffix')} description={t('The part of the URL that names this API.')} value={values.path} error={failure?.of('path')} onChange={(e) => set({ path: e.currentTarget.value })} />
          <Select label={t('URL scheme')} allowDeselect={false} data={[{ value: 'https', label: 'HTTPS' }, { value: 'http', label: 'HTTP' }, { value: 'both', label: 'HTTP, HTTPS' }]} value={values.scheme} error={failure?.of('protocols')} onChange={(v) => set({ scheme: v ?? 'both' })} />
          <Text size="sm">{t('This is what the URL will look like:')} <Code data-testid="resulting-url">{url}</Code></Text>
          <MultiSelect label={t('Products')} description={t('An API can be subscribed to through its products.')} data={products.data?.value.map((p) => ({ value: p.name, label: p.properties.displayName })) ?? []} value={values.products} onChange={(v) => set({ products: v })} />
          <Group><Button type="submit" loading={busy}>{t('Save')}</Button></Group>
        </Stack>
      </form>
    </Page>
  );
}

const FORMATS = [
  { value: 'openapi', label: 'OpenAPI 3 (YAML, JSON)' },
  { value: 'swagger-json', label: 'Swagger 2 (JSON)' },
  { value: 'wsdl', label: 'WSDL' },
];

/** Makes an API of a document: pasted, from a file, or behind a link that the server follows. */
export function ImportApi() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const [values, setValues] = useState({ displayName: '', path: '', format: 'openapi', document: '', link: '' });
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const failure = error instanceof Failure ? error : undefined;
  const set = (more: Partial<typeof values>) => setValues((old) => ({ ...old, ...more }));
  const submit = async () => {
    const name = nameOf(values.displayName);
    const path = `${service.id}/apis/${name}`;
    const taken = await call('GET', path).then(() => true, (e: unknown) => { if (e instanceof Failure && e.status === 404) return false; throw e; });
    if (taken) throw new Error(t('There is an API of that name.'));
    const format = !values.link ? values.format : values.format === 'swagger-json' ? 'swagger-link-json' : `${values.format}-link`;
    await call('PUT', path, { properties: { displayName: values.displayName, path: values.path.replace(/^\/+|\/+$/g, ''), format, value: values.link || values.document } });
    await refresh();
    await navigate({ to: '/$service/apis/$api', params: { service: service.name, api: name } });
  };
  return (
    <Page title={t('Import an API')}>
      <form onSubmit={(e) => { e.preventDefault(); setBusy(true); setError(undefined); submit().catch(setError).finally(() => setBusy(false)); }}>
        <Stack maw={800}>
          {error !== undefined && <Problem error={error} />}
          <TextInput label={t('Web API name')} required value={values.displayName} error={failure?.of('displayName')} onChange={(e) => set({ displayName: e.currentTarget.value })} />
          <TextInput label={t('Web API URL suffix')} description={t('The part of the URL that names this API.')} value={values.path} error={failure?.of('path')} onChange={(e) => set({ path: e.currentTarget.value })} />
          <Select label={t('Format')} data={FORMATS} value={values.format} allowDeselect={false} onChange={(v) => set({ format: v ?? 'openapi' })} error={failure?.of('format')} />
          <TextInput label={t('Link to the document')} type="url" description={t('Instead of the document itself.')} value={values.link} onChange={(e) => set({ link: e.currentTarget.value })} />
          <Group><FileButton onChange={(file) => void file?.text().then((document) => set({ document }))}>{(p) => <Button {...p} variant="default">{t('Read a file')}</Button>}</FileButton></Group>
          <Textarea label={t('Document')} autosize minRows={10} maxRows={30} value={values.document} disabled={values.link !== ''} required={values.link === ''} error={failure?.of('value')} onChange={(e) => set({ document: e.currentTarget.value })} styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }} />
          <Group><Button type="submit" loading={busy}>{t('Import')}</Button></Group>
        </Stack>
      </form>
    </Page>
  );
}

export function ApiPage() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const { api = '' } = useParams({ strict: false });
  const path = `${service.id}/apis/${api}`;
  const query = useGet<Resource<Api>>(path);
  const params = { service: service.name, api };
  return (
    <Loaded query={query}>
      {({ data }) => (
        <Page title={data.properties.displayName ?? data.name}>
          <Text className="mono">{service.properties.gatewayUrl}/{data.properties.path}</Text>
          <Tabs defaultValue="operations" keepMounted={false}>
            <Tabs.List>
              <Tabs.Tab value="operations">{t('Operations')}</Tabs.Tab>
              <Tabs.Tab value="settings">{t('Settings')}</Tabs.Tab>
              <Tabs.Tab value="products">{t('Products')}</Tabs.Tab>
              <Tabs.Tab value="schemas">{t('Schemas')}</Tabs.Tab>
              <Tabs.Tab value="policy">{t('Policies')}</Tabs.Tab>
              <Tabs.Tab value="revisions">{t('Revisions')}</Tabs.Tab>
              <Tabs.Tab value="versions">{t('Versions')}</Tabs.Tab>
            </Tabs.List>
            <Tabs.Panel value="operations" pt="md">
              <Stack>
                <Group><Button renderRoot={(p) => <Link to="/$service/apis/$api/operations/$operation" params={{ ...params, operation: 'new' }} {...p} />}>{t('Add an operation')}</Button></Group>
                <ResourceTable<Operation>
                  label={t('Operations')}
                  path={`${path}/operations`}
                  columns={[
                    { label: t('Verb'), sort: 'method', cell: (o) => <Badge variant="outline" color="gray" styles={{ label: { color: 'var(--mantine-color-text)' } }}>{o.properties.method}</Badge> },
                    { label: t('Name'), sort: 'displayName', cell: (o) => <Link to="/$service/apis/$api/operations/$operation" params={{ ...params, operation: o.name }}>{o.properties.displayName}</Link> },
                    { label: t('URL template'), sort: 'urlTemplate', cell: (o) => <span className="mono">{o.properties.urlTemplate}</span> },
                  ]}
                />
              </Stack>
            </Tabs.Panel>
            <Tabs.Panel value="settings" pt="md">
              <Editor
                path={path}
                fields={[
                  { name: 'displayName', label: t('Web API name'), required: true },
                  { name: 'description', label: t('Description'), kind: 'area' },
                  { name: 'serviceUrl', label: t('Web service URL') },
                  { name: 'path', label: t('Web API URL suffix') },
                  { name: 'subscriptionRequired', label: t('Calls need a subscription key'), kind: 'switch' },
                ]}
                remove={{
                  text: t('Its operations and policies go too, and its callers get 404.'),
                  items: [{ label: t('Operations'), path: `${path}/operations` }, { label: t('Schemas'), path: `${path}/schemas` }, { label: t('Products'), path: `${path}/products` }, { label: t('Subscriptions'), path: `${service.id}/subscriptions`, filter: `scope eq '/apis/${api}'` }],
                  calls: { report: 'byApi', field: 'apiId', value: `/apis/${api}` },
                  done: () => void navigate({ to: '/$service/apis', params: { service: service.name } }),
                }}
              />
            </Tabs.Panel>
            <Tabs.Panel value="products" pt="md"><ApiProducts api={data} /></Tabs.Panel>
            <Tabs.Panel value="schemas" pt="md"><ApiSchemas path={path} /></Tabs.Panel>
            <Tabs.Panel value="revisions" pt="md"><Revisions api={api} /></Tabs.Panel>
            <Tabs.Panel value="versions" pt="md"><Versions api={data as Resource<Api & { displayName: string; path: string }>} /></Tabs.Panel>
            <Tabs.Panel value="policy" pt="md"><Suspense fallback={<Loading />}><PolicyEditor path={`${path}/policies/policy`} /></Suspense></Tabs.Panel>
          </Tabs>
        </Page>
      )}
    </Loaded>
  );
}

function ApiProducts({ api }: { api: Resource<Api> }) {
  const { t } = useTranslation();
  const service = useService();
  const refresh = useRefresh();
  const [error, setError] = useState<unknown>();
  const all = useList<Schemas['ProductContract']>(`${service.id}/products`);
  const its = useList<Schemas['ProductContract']>(`${service.id}/apis/${api.name}/products`);
  return (
    <Loaded query={all}>
      {(products) => (
        <Stack>
          {error !== undefined && <Problem error={error} />}
          {products.value.length === 0 && <Text>{t('There is nothing here yet.')}</Text>}
          {products.value.map((p) => {
            const link = `${service.id}/products/${p.name}/apis/${api.name}`;
            return (
              <Checkbox key={p.id} label={p.properties.displayName} checked={its.data?.value.some((x) => x.name === p.name) ?? false} disabled={!its.data}
                onChange={(e) => { setError(undefined); call(e.currentTarget.checked ? 'PUT' : 'DELETE', link).then(refresh, setError); }} />
            );
          })}
        </Stack>
      )}
    </Loaded>
  );
}
